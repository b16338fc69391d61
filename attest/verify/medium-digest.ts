import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { CodedError } from "@secai/formats/errors";
import { VerifyFormatError } from "./format-errors.ts";
import type { FileIdentity } from "./hash-file.ts";
import { xmlTokens } from "./xml.ts";

/** What a medium says that it installs, or why that cannot be told. */
export type MediumClaim =
  | { readonly digest: string }
  | { readonly code: string; readonly expected: string; readonly actual: string };

/** The property of an OVF descriptor that names the image's digest. */
export const OVF_DIGEST_PROPERTY = "secai.image-digest";
/** The file in an installer's root folder that names the image's digest. */
export const ISO_DIGEST_FILE = "IMAGE_DIGEST";

const TAR_BLOCK = 512;
const MAX_OVF_BYTES = 64 << 10;
const SECTOR = 2048;
const MAX_DIRECTORY_BYTES = 256 << 10;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/**
 * The image digest that an OVA or an ISO names, from a few kilobytes at known places; nothing is unpacked. The file must be the one that
 * was hashed: its identity is compared before and after.
 */
export async function readMediumClaim(path: string, kind: "ova" | "iso", identity: FileIdentity): Promise<MediumClaim> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const digest = kind === "ova" ? await ovaDigest(file) : await isoDigest(file);
    const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
    const now = { dev, ino, size, mtimeNs, ctimeNs };
    const same = (Object.keys(now) as (keyof FileIdentity)[]).every((key) => now[key] === identity[key]);
    if (!same) throw malformed("the file that was hashed", "one that changed meanwhile");
    return { digest };
  } catch (error) {
    if (error instanceof CodedError) return { code: error.code, expected: error.expected ?? "-", actual: error.actual ?? "-" };
    return {
      code: "FILE_UNREADABLE",
      expected: "a medium that can be read",
      actual: (error as NodeJS.ErrnoException).code ?? "-",
    };
  } finally {
    await file?.close();
  }
}

async function bytesAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
  if (bytesRead !== length) throw malformed(`${length} bytes at ${position}`, `${bytesRead}`);
  return buffer;
}

/** The OVF descriptor is the first member of the tar file (DSP0243 2.1, clause 5.3). */
async function ovaDigest(file: FileHandle): Promise<string> {
  const header = await bytesAt(file, 0, TAR_BLOCK);
  const name = header.subarray(0, 100).toString("latin1").replace(/\0.*$/s, "");
  const size = Number.parseInt(
    header
      .subarray(124, 136)
      .toString("latin1")
      .replace(/[\0 ].*$/s, ""),
    8,
  );
  if (!name.endsWith(".ovf") || !(size > 0 && size <= MAX_OVF_BYTES))
    throw malformed(`an OVF descriptor of at most ${MAX_OVF_BYTES} bytes first`, `${JSON.stringify(name)}, ${size} bytes`);
  return ovfDigest((await bytesAt(file, TAR_BLOCK, size)).toString("utf8"));
}

function ovfDigest(descriptor: string): string {
  const local = (name: string) => name.replace(/^.*:/, "");
  const values: string[] = [];
  for (const token of xmlTokens(descriptor)) {
    if (token.kind !== "open" || local(token.name) !== "Property") continue;
    const attributes = new Map(Object.entries(token.attributes).map(([name, value]) => [local(name), value]));
    if (attributes.get("key") === OVF_DIGEST_PROPERTY) values.push(attributes.get("value") ?? "");
  }
  return onlyDigest(values, `one property ${OVF_DIGEST_PROPERTY}`);
}

/** ECMA-119: the primary volume descriptor is sector 16, its root directory record is at 156. */
async function isoDigest(file: FileHandle): Promise<string> {
  const descriptor = await bytesAt(file, 16 * SECTOR, SECTOR);
  if (descriptor.readUInt8(0) !== 1 || descriptor.subarray(1, 6).toString("latin1") !== "CD001")
    throw malformed("a primary volume descriptor", "other bytes");
  const root = extentAt(descriptor, 156);
  if (root.bytes > MAX_DIRECTORY_BYTES)
    throw malformed(`a root directory of at most ${MAX_DIRECTORY_BYTES} bytes`, `${root.bytes}`);
  const found = filesIn(await bytesAt(file, root.sector * SECTOR, root.bytes)).filter(({ name }) => name === ISO_DIGEST_FILE);
  const [only] = found;
  if (only === undefined || found.length > 1 || only.bytes > 128)
    throw malformed(`one small file ${ISO_DIGEST_FILE}`, `${found.length}`);
  const content = (await bytesAt(file, only.sector * SECTOR, only.bytes)).toString("latin1");
  return onlyDigest([content.replace(/\n$/, "")], `a digest in ${ISO_DIGEST_FILE}`);
}

interface Extent {
  readonly sector: number;
  readonly bytes: number;
}

const extentAt = (record: Buffer, offset: number): Extent => ({
  sector: record.readUInt32LE(offset + 2),
  bytes: record.readUInt32LE(offset + 10),
});

/** Names of a directory without their version; a record does not cross a sector (ECMA-119 6.8.1.1). */
function filesIn(directory: Buffer): readonly (Extent & { readonly name: string })[] {
  const found: (Extent & { readonly name: string })[] = [];
  for (let at = 0; at + 34 <= directory.length; ) {
    const length = directory.readUInt8(at);
    const nameLength = directory.readUInt8(at + 32);
    if (length === 0) {
      at = (Math.floor(at / SECTOR) + 1) * SECTOR;
      continue;
    }
    if (length < 33 + nameLength || at + length > directory.length)
      throw malformed("sound directory records", "one that overruns");
    const name = directory.subarray(at + 33, at + 33 + nameLength).toString("latin1");
    found.push({ name: name.replace(/\.?;\d+$/, ""), ...extentAt(directory, at) });
    at += length;
  }
  return found;
}

function onlyDigest(values: readonly string[], expected: string): string {
  const [only, ...more] = values;
  if (only === undefined || more.length > 0 || !DIGEST.test(only))
    throw malformed(expected, values.slice(0, 2).join(", ") || "none");
  return only;
}

const malformed = (expected: string, actual: string) => new VerifyFormatError("MEDIUM_MALFORMED", { expected, actual });
