import { createHash } from "node:crypto";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Fault, type Hasher, type Identity, identityOf, isSame, readInto } from "./hash-file.ts";

const MAX_ENTRIES = 25_000;
const MAX_FILES = 20_000;
const MAX_NAME_BYTES = 4096;
const MAX_FILE_BYTES = 50n << 30n;
const MAX_TOTAL_BYTES = 64n << 30n;

export type DirectoryOutcome =
  | { readonly sha256: string; readonly size: number }
  | { readonly fault: Fault | "limit"; readonly detail: string };
type Refusal = Extract<DirectoryOutcome, { readonly fault: unknown }>;

interface Member {
  readonly name: Buffer;
  readonly path: string;
  readonly identity: Identity;
}

/**
 * SHA-256 over "SecAI-Directory-Hash-v1" NUL and, for each file in the byte order of its path within the directory: u64be length of that
 * path, the path, u64be size, content. Refuses links of both kinds, specials, names that are not UTF-8, and what changes meanwhile.
 */
export async function hashDirectory(folder: string, hasher: Hasher): Promise<DirectoryOutcome> {
  const members = listMembers(folder);
  if ("fault" in members) return members;
  const hash = createHash("sha256").update("SecAI-Directory-Hash-v1\0");
  for (const { name, path, identity } of members.files) {
    const read = await readInto(hash, path, hasher, (size) => {
      hash
        .update(u64be(BigInt(name.length)))
        .update(name)
        .update(u64be(size));
    });
    if ("fault" in read) return read;
    if (!isSame(read.identity, identity)) return { fault: "moving", detail: name.toString() };
  }
  const again = listMembers(folder);
  if ("fault" in again || !isSameListing(members.files, again.files)) return { fault: "moving", detail: "its entries changed" };
  return { sha256: hash.digest("hex"), size: Number(members.total) };
}

/** Everything that `hashDirectory` would read, without reading it: equal for as long as nothing changed. */
export function directoryIdentity(folder: string): string | Refusal {
  const members = listMembers(folder);
  if ("fault" in members) return members;
  const hash = createHash("sha256");
  for (const { name, identity } of members.files) hash.update(`${name.toString("hex")} ${identity.dev} ${identity.inode}\n`);
  return hash.digest("hex");
}

function isSameListing(a: readonly Member[], b: readonly Member[]): boolean {
  return a.length === b.length && a.every(({ path, identity }, at) => b[at]?.path === path && isSame(b[at].identity, identity));
}

function listMembers(folder: string): { readonly files: readonly Member[]; readonly total: bigint } | Refusal {
  const files: Member[] = [];
  let [total, entries] = [0n, 0];
  const folders = [""];
  for (let at = 0; at < folders.length; at += 1) {
    const below = folders[at] ?? "";
    for (const raw of readdirSync(join(folder, below), { encoding: "buffer" })) {
      entries += 1;
      const text = raw.toString("utf8");
      if (!Buffer.from(text).equals(raw)) return { fault: "limit", detail: "a name that is not UTF-8" };
      const relative = below === "" ? text : `${below}/${text}`;
      const stat = lstatSync(join(folder, relative), { bigint: true });
      if (stat.isDirectory()) folders.push(relative);
      else if (!stat.isFile()) return { fault: stat.isSymbolicLink() ? "linked" : "special", detail: relative };
      else if (stat.nlink !== 1n) return { fault: "linked", detail: `${relative}: ${stat.nlink} links` };
      else {
        total += stat.size;
        files.push({ name: Buffer.from(relative), path: join(folder, relative), identity: identityOf(stat) });
      }
      const over = overLimit(entries, files.length, total, stat.size, relative);
      if (over !== undefined) return { fault: "limit", detail: over };
    }
  }
  return { files: files.sort((a, b) => Buffer.compare(a.name, b.name)), total };
}

function overLimit(entries: number, files: number, total: bigint, size: bigint, name: string): string | undefined {
  if (entries > MAX_ENTRIES) return `more than ${MAX_ENTRIES} entries`;
  if (files > MAX_FILES) return `more than ${MAX_FILES} files`;
  if (size > MAX_FILE_BYTES) return `${size} bytes in one file`;
  if (total > MAX_TOTAL_BYTES) return `more than ${MAX_TOTAL_BYTES} bytes`;
  return Buffer.byteLength(name) > MAX_NAME_BYTES ? "a name of more than 4096 bytes" : undefined;
}

function u64be(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
