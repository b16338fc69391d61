import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { sourceDateEpoch, tool } from "./tool.ts";

/** Same text, same digits: salts and identifiers only need to differ between versions, not to be secret. */
export const derived = (purpose: string): string => createHash("sha256").update(`secai ${purpose}`).digest("hex");

/** A stable UUID (RFC 9562 version 8). */
export function derivedUuid(purpose: string): string {
  const hex = derived(purpose);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** A compressed erofs image of a tree. Same tree, same bytes; a whole number of 4096-byte blocks. */
export function makeErofs(
  tree: string,
  image: string,
  { label, uuid, compression }: Readonly<Record<"label" | "uuid" | "compression", string>>,
): void {
  tool("mkfs.erofs", [
    "--quiet",
    `-z${compression}`,
    "-C65536",
    `-T${sourceDateEpoch()}`,
    "--all-time",
    `-U${uuid}`,
    `-L${label}`,
    image,
    tree,
  ]);
}

export interface VerityTree {
  readonly salt: string;
  readonly uuid: string;
  /** Where in `hash` the tree begins, when that is the data's own file. */
  readonly hashOffset?: number;
}

/** Writes the dm-verity hash tree of `data` to `hash`, which may be the same file. Returns the root hash. @throws Error */
export function makeVerity(data: string, hash: string, { salt, uuid, hashOffset }: VerityTree): string {
  tool("veritysetup", [
    "format",
    "--hash=sha256",
    `--salt=${salt}`,
    `--uuid=${uuid}`,
    "--root-hash-file=/tmp/root-hash",
    ...(hashOffset === undefined ? [] : [`--hash-offset=${hashOffset}`, `--data-blocks=${hashOffset / 4096}`]),
    data,
    hash,
  ]);
  const rootHash = readFileSync("/tmp/root-hash", "utf8").trim();
  if (!/^[0-9a-f]{64}$/.test(rootHash)) throw new Error(`veritysetup wrote no root hash but ${rootHash.length} characters`);
  return rootHash;
}
