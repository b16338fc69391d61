import { canonicalJson, parseCanonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import type { StepRecord } from "../step.ts";

const MAX_RECORD_BYTES = 64 << 20;

/**
 * `record.json` of a cache entry: the step's record and its digest. It is written after the outputs are on the disk, so its presence
 * with the right seal says that the entry is whole.
 */
export function printRecord(record: StepRecord): string {
  return `${canonicalJson({ schema: 1, record, seal: sha256(canonicalJson(record)) })}\n`;
}

/** The record in `bytes`, or undefined when it is torn, altered, of another version or of another step. */
export function parseRecord(bytes: Uint8Array, key: Sha256): StepRecord | undefined {
  try {
    const { schema, record, seal } = parseCanonicalJson(bytes, MAX_RECORD_BYTES) as unknown as Sealed;
    return schema === 1 && record.key === key && sha256(canonicalJson(record)) === seal ? record : undefined;
  } catch {
    return undefined;
  }
}

interface Sealed {
  readonly schema: unknown;
  readonly record: StepRecord;
  readonly seal: unknown;
}
