import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { canonicalJson, type JsonValue } from "@secai/formats/canonical-json";
import { KitError } from "./errors.ts";

/** Key of an audit log: 32 bytes. */
export type AuditKey = Uint8Array;

/** A point of the chain: the sequence number and MAC of the record that stands there. */
export interface Link {
  readonly seq: number;
  readonly mac: string;
}

export interface AuditRecord extends Link {
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  /** What happened, e.g. "decision". */
  readonly type: string;
  readonly data: { readonly [key: string]: JsonValue };
  /** MAC of the record before. */
  readonly prev: string;
}

/** What the first record follows. */
export const GENESIS: Link = { seq: 0, mac: "0".repeat(64) };

/** Longest line of a log, newline included. */
export const MAX_LINE_BYTES = 1 << 20;

// One key, two uses (records and anchors): the tag keeps a MAC of the one from ever being one of the other.
const RECORD_TAG = "SecAI-Audit-Record-v1\0";

export function keyedMac(key: AuditKey, tag: string, value: unknown): string {
  return macOf(key, tag, canonicalJson(value));
}

/** The key as OpenSSL has it: made once for each, not for each record. */
const keyObjects = new WeakMap<AuditKey, KeyObject>();

function keyObjectOf(key: AuditKey): KeyObject {
  const known = keyObjects.get(key) ?? createSecretKey(key);
  keyObjects.set(key, known);
  return known;
}

function macOf(key: AuditKey, tag: string, canonical: string): string {
  return createHmac("sha256", keyObjectOf(key))
    .update(tag + canonical)
    .digest("hex");
}

/** What a record is made of. `data` is already in its RFC 8785 form: most of a record, and its writer has looked at its length anyway. */
export interface Entry extends Pick<AuditRecord, "time" | "type"> {
  readonly data: string;
}

/**
 * The record that follows `link`, and its line. The line is the RFC 8785 form of the record, so that no byte of it is without meaning;
 * the MAC covers everything else in the record, `prev` and `seq` included.
 */
export function sealRecord(key: AuditKey, link: Link, { data, time, type }: Entry): { link: Link; line: string } {
  const seq = link.seq + 1;
  // The members in their RFC 8785 order: data, mac, prev, seq, time, type.
  const rest = `"prev":${JSON.stringify(link.mac)},"seq":${seq},"time":${JSON.stringify(time)},"type":${JSON.stringify(type)}}`;
  const mac = macOf(key, RECORD_TAG, `{"data":${data},${rest}`);
  return { link: { seq, mac }, line: `{"data":${data},"mac":"${mac}",${rest}\n` };
}

/**
 * Checks that a whole line is the record that follows `link`.
 * @throws KitError AUDIT_MAC (not written with this key, or edited), AUDIT_CHAIN_BROKEN (genuine, but not the next one)
 */
export function openRecord(key: AuditKey, link: Link, line: Uint8Array): AuditRecord {
  const record = parseRecord(line, link.seq + 1);
  const { mac, ...body } = record;
  if (keyedMac(key, RECORD_TAG, body) !== mac) unauthentic(link.seq + 1);
  if (record.seq !== link.seq + 1 || record.prev !== link.mac) {
    throw new KitError("AUDIT_CHAIN_BROKEN", {
      expected: `record ${link.seq + 1} after the one before it`,
      actual: `record ${record.seq}`,
    });
  }
  return record;
}

function parseRecord(line: Uint8Array, seq: number): AuditRecord {
  const text = Buffer.from(line).toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    unauthentic(seq);
  }
  // Equal to its own canonical form: no duplicate key, no white space, nothing that two readers could see differently.
  if (typeof value !== "object" || value === null || `${canonicalJson(value)}\n` !== text) unauthentic(seq);
  const record = value as Partial<AuditRecord>;
  if (typeof record.seq !== "number" || typeof record.mac !== "string" || typeof record.prev !== "string") unauthentic(seq);
  return value as AuditRecord;
}

function unauthentic(seq: number): never {
  throw new KitError("AUDIT_MAC", { expected: `record ${seq} as it was written`, actual: "other bytes" });
}
