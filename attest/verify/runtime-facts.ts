import type { Sha256 } from "@secai/formats/digest";
import { type LogEvent, parseEventLog, replayLog } from "@secai/measure/event-log";
import { type PublicArea, parsePublicArea } from "@secai/measure/public-area";
import { parseQuote, parseQuoteSignature, type Quote, type QuoteSignature } from "@secai/measure/quote";
import { parseUserspaceLog } from "@secai/measure/userspace-log";
import { derive, type Found } from "./release-evidence.ts";
import type { Evidence } from "./runtime-evidence.ts";

/** A machine's evidence with its binary parts parsed, and the nonce it was asked with. Parsed is not believed. */
export interface RuntimeFacts {
  /** Hex; what the verifier asked with, not what the evidence says it was. */
  readonly nonce: string;
  readonly evidence: Evidence;
  readonly quote: Found<Quote>;
  readonly signature: Found<QuoteSignature>;
  readonly attestationKey: Found<PublicArea>;
  readonly events: Found<readonly LogEvent[]>;
  /** PCR values that the firmware's and systemd's logs lead to. */
  readonly replay: Found<ReadonlyMap<number, Sha256>>;
}

function present<T>(value: T | undefined, code: string, detail: string): Found<T> {
  return value === undefined ? { state: "absent", code, detail } : { state: "found", value };
}

/** Pure. @throws nothing */
export function runtimeFacts(evidence: Evidence, nonce: string): RuntimeFacts {
  const quote = present(evidence.quote, "TPM_ABSENT", "the machine has no TPM, or its kernel no driver for it");
  const events = derive(present(evidence.eventLog, "EVENT_LOG_MISSING", "the firmware gave no event log"), parseEventLog);
  const userspace = derive(
    present(evidence.userspaceLog, "EVENT_LOG_MISSING", "systemd kept no measurement log"),
    parseUserspaceLog,
  );
  return {
    nonce,
    evidence,
    quote: derive(quote, ({ message }) => parseQuote(message)),
    signature: derive(quote, ({ signature }) => parseQuoteSignature(signature)),
    attestationKey: derive(quote, ({ attestationKey }) => parsePublicArea(attestationKey)),
    events,
    replay: userspace.state === "found" ? derive(events, (found) => replayLog(found, userspace.value)) : userspace,
  };
}
