import { hkdfSync } from "node:crypto";
import { type AuditKey, type AuditRecord, GENESIS, type Link, openRecord } from "@secai/kit/audit-chain";
import { readLines } from "@secai/kit/audit-verify";
import { CodedError } from "@secai/kit/errors";
import { RecorderError, type RecorderErrorCode } from "../errors.ts";

/**
 * The store's own keys, from the key of the audit chain (HKDF, RFC 5869): a genuine line of the audit log, the journal or a snapshot is
 * never genuine in one of the others.
 */
export function storeKeys(auditKey: AuditKey): { readonly journal: AuditKey; readonly snapshot: AuditKey } {
  const derive = (use: string): AuditKey => new Uint8Array(hkdfSync("sha256", auditKey, "", `SecAI-Incident-${use}-v1`, 32));
  return { journal: derive("Journal"), snapshot: derive("Snapshot") };
}

const codes: Readonly<Record<string, RecorderErrorCode>> = {
  AUDIT_MAC: "STORE_MAC",
  AUDIT_CHAIN_BROKEN: "STORE_BROKEN",
  AUDIT_TRUNCATED: "STORE_TRUNCATED",
};

/** The kit's chain speaks of an audit log; what it finds here is about the store. */
export function storeError(file: string, error: unknown): unknown {
  const code = error instanceof CodedError ? codes[error.code] : undefined;
  if (code === undefined) return error;
  const { expected = "-", actual = "-" } = error as CodedError;
  return new RecorderError(code, { expected: `${file}: ${expected}`, actual, cause: error });
}

export interface ChainEnd {
  readonly head: Link;
  /** Bytes of whole, genuine records. */
  readonly size: number;
  /** The file goes on with something that is no record. */
  readonly torn: boolean;
}

/**
 * Reads a chain that follows `start`. From record `sealedTo` on, a line that is no record is a torn tail; before it, it is a refusal.
 * @throws RecorderError STORE_MAC, STORE_BROKEN
 */
export async function readChainFile(
  path: string,
  key: AuditKey,
  { start = GENESIS, sealedTo }: { readonly start?: Link; readonly sealedTo: number },
  visit: (record: AuditRecord) => void,
): Promise<ChainEnd> {
  let head = start;
  let size = 0;
  for await (const line of readLines(path)) {
    let record: AuditRecord;
    try {
      record = openRecord(key, head, line);
    } catch (error) {
      if (head.seq >= sealedTo) return { head, size, torn: true };
      throw storeError(path, error);
    }
    visit(record);
    head = { seq: record.seq, mac: record.mac };
    size += line.length;
  }
  return { head, size, torn: false };
}
