import type { X509Certificate } from "node:crypto";
import type { Sha256 } from "@secai/formats/digest";
import { parseEndorsementCertificate } from "@secai/measure/endorsement";
import { type LogEvent, parseEventLog, replayLog } from "@secai/measure/event-log";
import { type PublicArea, parseEndorsementKey, parsePublicArea } from "@secai/measure/public-area";
import { parseQuote, parseQuoteSignature, type Quote, type QuoteSignature } from "@secai/measure/quote";
import { parseUserspaceLog } from "@secai/measure/userspace-log";
import { derive, type Found } from "./found.ts";
import type { Evidence } from "./runtime-evidence.ts";

/** A machine's evidence with its binary parts parsed, and the nonce it was asked with. Parsed is not believed. */
export interface RuntimeFacts {
  /** Hex; what the verifier asked with, not what the evidence says it was. */
  readonly nonce: string;
  readonly evidence: Evidence;
  readonly quote: Found<Quote>;
  readonly signature: Found<QuoteSignature>;
  readonly attestationKey: Found<PublicArea>;
  readonly endorsementKey: Found<PublicArea>;
  readonly endorsementCertificate: Found<X509Certificate>;
  readonly activation: Activation;
  /** When the question was asked. */
  readonly at: Date;
  readonly events: Found<readonly LogEvent[]>;
  /** PCR values that the firmware's and systemd's logs lead to. */
  readonly replay: Found<ReadonlyMap<number, Sha256>>;
}

/** Whether the machine opened a credential that only the TPM with both its keys can open; nobody asked when evidence came by itself. */
export type Activation = "not-asked" | "opened" | "not-opened";

export interface Asked {
  readonly activation: Activation;
  readonly at: Date;
}
/** For callers whose policy names no TPM makers: then nothing depends on the time. */
const ASKED_NOTHING_MORE: Asked = { activation: "not-asked", at: new Date(0) };

function present<T>(value: T | undefined, code: string, detail: string): Found<T> {
  return value === undefined ? { state: "absent", code, detail } : { state: "found", value };
}

/** Pure. @throws nothing */
export function runtimeFacts(evidence: Evidence, nonce: string, { activation, at }: Asked = ASKED_NOTHING_MORE): RuntimeFacts {
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
    endorsementKey: derive(
      present(evidence.quote?.endorsementKey, "EK_MISSING", "the machine showed no endorsement key"),
      parseEndorsementKey,
    ),
    endorsementCertificate: derive(
      present(evidence.quote?.endorsementCertificate, "EK_CERTIFICATE_MISSING", "the TPM holds no certificate of its maker"),
      parseEndorsementCertificate,
    ),
    activation,
    at,
    events,
    replay: userspace.state === "found" ? derive(events, (found) => replayLog(found, userspace.value)) : userspace,
  };
}
