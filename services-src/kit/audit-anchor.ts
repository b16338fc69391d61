import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type AuditKey, GENESIS, keyedMac, type Link } from "./audit-chain.ts";
import { KitError } from "./errors.ts";
import { readBounded, writeAtomic } from "./files.ts";

/** What an anchor file vouches for: the chain begins after `first` (older records were rotated out) and reaches at least `head`. */
export interface Anchor {
  readonly first: Link;
  readonly head: Link;
}

export const NEW_ANCHOR: Anchor = { first: GENESIS, head: GENESIS };

const ANCHOR_TAG = "SecAI-Audit-Anchor-v1\0";
// A slot fills one file system block, so that a torn write of one slot never touches the other.
const SLOT_BYTES = 4096;
const SLOTS = 2;

interface SlotBody extends Anchor {
  readonly generation: number;
}

/**
 * The anchor lies in a file of two slots that are written in turn, each with one write and one flush: half the flushes of a rename, and
 * after a torn write the other slot still holds the state before. The highest genuine generation counts.
 */
export interface AnchorFile {
  write(anchor: Anchor): Promise<void>;
  close(): Promise<void>;
}

/** @throws KitError AUDIT_MAC if no slot is genuine, FILE_UNREADABLE if there is no file */
export async function readAnchor(path: string, key: AuditKey): Promise<SlotBody> {
  const bytes = await readBounded(path, SLOTS * SLOT_BYTES);
  const bodies = Array.from({ length: SLOTS }, (_, index) =>
    openSlot(key, bytes.subarray(index * SLOT_BYTES, (index + 1) * SLOT_BYTES)),
  );
  const genuine = bodies.filter((body) => body !== undefined).sort((a, b) => b.generation - a.generation)[0];
  if (genuine === undefined)
    throw new KitError("AUDIT_MAC", { expected: `an anchor written with this log's key in ${path}`, actual: "none" });
  return genuine;
}

/** Makes the anchor of a log that does not exist yet. */
export async function createAnchor(path: string, key: AuditKey): Promise<void> {
  await writeAtomic(path, Buffer.concat([sealSlot(key, { ...NEW_ANCHOR, generation: 0 }), Buffer.alloc(SLOT_BYTES)]), 0o600);
}

/** Opens an existing anchor for writing. `generation` is the one that `readAnchor` found. */
export async function openAnchor(path: string, key: AuditKey, generation: number): Promise<AnchorFile> {
  const file: FileHandle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  let last = generation;
  return {
    async write(anchor) {
      const next = last + 1;
      await file.write(sealSlot(key, { ...anchor, generation: next }), 0, SLOT_BYTES, (next % SLOTS) * SLOT_BYTES);
      await file.datasync();
      last = next;
    },
    close: () => file.close(),
  };
}

function sealSlot(key: AuditKey, { first, head, generation }: SlotBody): Buffer {
  const body = { first, generation, head, schema: 1 };
  const slot = Buffer.alloc(SLOT_BYTES, " ");
  slot.write(JSON.stringify({ ...body, mac: keyedMac(key, ANCHOR_TAG, body) }));
  slot.write("\n", SLOT_BYTES - 1);
  return slot;
}

function openSlot(key: AuditKey, slot: Buffer): SlotBody | undefined {
  try {
    const { mac, ...body } = JSON.parse(slot.toString("utf8")) as SlotBody & { mac: string };
    return keyedMac(key, ANCHOR_TAG, body) === mac ? body : undefined;
  } catch {
    return undefined;
  }
}
