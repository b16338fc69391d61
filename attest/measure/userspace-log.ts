import { type Sha256, sha256 } from "@secai/formats/digest";
import { MeasureError } from "./errors.ts";
import type { Extension } from "./event-log.ts";

/** Largest /run/log/systemd/tpm2-measure.log read, in bytes. */
export const MAX_USERSPACE_LOG_BYTES = 1024 * 1024;
const MAX_RECORDS = 4096;
const RECORD_SEPARATOR = "\u001e";

/** A measurement that systemd made after the kernel was up. */
export interface UserspaceEvent extends Extension {
  /** The measured text, such as a boot phase; undefined when the record has none or its digest is of something else. */
  readonly text: string | undefined;
}

function bad(expected: string, actual: string, cause?: unknown): MeasureError {
  return new MeasureError("USERSPACE_LOG_MALFORMED", { expected, actual, cause });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sha256Of(digests: unknown): Sha256 {
  const list = Array.isArray(digests) ? digests.filter(isRecord).filter(({ hashAlg }) => hashAlg === "sha256") : [];
  const digest = list[0]?.digest;
  if (list.length !== 1 || typeof digest !== "string" || !/^[0-9a-f]{64}$/.test(digest))
    throw bad("one SHA-256 digest", "none or several");
  return digest as Sha256;
}

function parseRecord(line: string): UserspaceEvent {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch (cause) {
    throw bad("a JSON record", "other text", cause);
  }
  if (!isRecord(record)) throw bad("a JSON object", "another value");
  const pcr = record.pcr;
  if (typeof pcr !== "number" || !Number.isInteger(pcr) || pcr < 0 || pcr > 23)
    throw bad("a PCR below 24", String(pcr).slice(0, 40));
  const digest = sha256Of(record.digests);
  const content = record.content;
  const text = isRecord(content) ? content.string : undefined;
  return { pcr, digest, text: typeof text === "string" && sha256(text) === digest ? text : undefined };
}

/**
 * Parses systemd's log of its own measurements: a JSON text sequence (RFC 7464) of CEL-JSON like records. Records about NV indexes
 * (no `pcr`) are refused: this project makes none. Nothing in it is true until its replay equals quoted PCR values.
 * @throws MeasureError USERSPACE_LOG_MALFORMED
 */
export function parseUserspaceLog(bytes: Uint8Array): readonly UserspaceEvent[] {
  if (bytes.length > MAX_USERSPACE_LOG_BYTES) throw bad(`at most ${MAX_USERSPACE_LOG_BYTES} bytes`, `${bytes.length}`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw bad("UTF-8", "other bytes", cause);
  }
  const [before, ...lines] = text.split(RECORD_SEPARATOR);
  if (before !== "") throw bad("a record separator first", "other bytes");
  if (lines.length > MAX_RECORDS) throw bad(`at most ${MAX_RECORDS} records`, `${lines.length}`);
  return lines.map((line) => {
    if (!line.endsWith("\n")) throw bad("records that end with a newline", "a torn one");
    return parseRecord(line);
  });
}
