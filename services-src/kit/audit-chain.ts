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

/** How every line ends; what is before it, and what follows the MAC, is what the MAC is of. */
const LINE_END =
  /,"mac":"([0-9a-f]{64})",("prev":"([0-9a-f]{64})","seq":([1-9][0-9]{0,15}),"time":"[^"\\]*","type":"[^"\\]*"\})\n$/;
/** Longer than any end of a line. */
const MAX_END_BYTES = 1024;

/**
 * Checks that a whole line is the record that follows `link`. The MAC is of the line's own bytes, so that nothing is believed, or even
 * parsed, that was not written with the key: no second spelling, no duplicate key, no white space.
 * @throws KitError AUDIT_MAC (not written with this key, or edited), AUDIT_CHAIN_BROKEN (genuine, but not the next one)
 */
export function openRecord(key: AuditKey, link: Link, line: Uint8Array): AuditRecord {
  const bytes = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  const end = LINE_END.exec(bytes.toString("latin1", Math.max(0, bytes.length - MAX_END_BYTES)));
  if (end === null) unauthentic(link.seq + 1);
  const [whole, mac, rest = "", prev, seq] = end;
  const hmac = createHmac("sha256", keyObjectOf(key)).update(RECORD_TAG);
  hmac.update(bytes.subarray(0, bytes.length - whole.length)).update(`,${rest}`, "latin1");
  if (hmac.digest("hex") !== mac) unauthentic(link.seq + 1);
  if (Number(seq) !== link.seq + 1 || prev !== link.mac) {
    throw new KitError("AUDIT_CHAIN_BROKEN", {
      expected: `record ${link.seq + 1} after the one before it`,
      actual: `record ${seq}`,
    });
  }
  try {
    return JSON.parse(bytes.toString("utf8")) as AuditRecord;
  } catch {
    unauthentic(link.seq + 1);
  }
}

function unauthentic(seq: number): never {
  throw new KitError("AUDIT_MAC", { expected: `record ${seq} as it was written`, actual: "other bytes" });
}
