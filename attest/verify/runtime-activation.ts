import { timingSafeEqual } from "node:crypto";
import { canonicalJson, parseCanonicalJson } from "@secai/formats/canonical-json";
import { FormatError } from "@secai/formats/errors";
import { literal, object, parseShape, text } from "@secai/formats/shape";
import { makeCredential } from "@secai/measure/credential";
import { MeasureError } from "@secai/measure/errors";
import { parseEndorsementKey, parsePublicArea } from "@secai/measure/public-area";
import { RuntimeError } from "./runtime-errors.ts";
import type { Evidence } from "./runtime-evidence.ts";
import { nullable } from "./runtime-state.ts";

const MAX_ANSWER_BYTES = 4096;
/** What goes to the machine: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET as lower-case hex. */
export const CREDENTIAL = /^([0-9a-f]{2}){64,1024}$/;

/** What the collector answers to a credential; null: its TPM could not open it. */
const answerShape = object({ schema: literal(1), secret: nullable(text(/^([0-9a-f]{2}){1,64}$/, 128)) });

export function printActivation(secret: Uint8Array | undefined): string {
  return `${canonicalJson({ schema: 1, secret: secret === undefined ? null : Buffer.from(secret).toString("hex") })}\n`;
}

/** @throws RuntimeError EVIDENCE_MALFORMED */
function parseActivation(bytes: Uint8Array): Buffer {
  try {
    const { secret } = parseShape(answerShape, parseCanonicalJson(bytes, MAX_ANSWER_BYTES), "an opened credential");
    return Buffer.from(secret ?? "", "hex");
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new RuntimeError("EVIDENCE_MALFORMED", { expected: cause.expected ?? "-", actual: cause.actual ?? cause.code, cause });
  }
}

/**
 * A credential with `secret` for the keys that the evidence shows, as hex; undefined when it shows none that are well formed, which the
 * checks of those keys refuse by themselves.
 */
export function credentialFor({ quote }: Evidence, secret: Uint8Array): string | undefined {
  if (quote?.endorsementKey === undefined) return undefined;
  try {
    const { name } = parsePublicArea(quote.attestationKey);
    return makeCredential(parseEndorsementKey(quote.endorsementKey), name, secret).toString("hex");
  } catch (error) {
    if (error instanceof MeasureError) return undefined;
    throw error;
  }
}

/** Whether the collector's answer holds the secret. @throws RuntimeError EVIDENCE_MALFORMED */
export function isOpened(answer: Uint8Array, secret: Uint8Array): boolean {
  const found = parseActivation(answer);
  return found.length === secret.length && timingSafeEqual(found, secret);
}
