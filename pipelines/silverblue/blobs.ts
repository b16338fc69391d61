import { createHash } from "node:crypto";
import { createReadStream, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { sha256, sha256File } from "@secai/formats/digest";
import { SilverblueError } from "./errors.ts";

/** Manifests, indexes and configurations are a few KiB; a desktop's configuration with its labels has 100. */
const MAX_DOCUMENT_BYTES = 4 << 20;
/** Of one layer, unpacked. */
const MAX_LAYER_BYTES = 32 * 2 ** 30;

const mismatch = (expected: string, actual: string): SilverblueError =>
  new SilverblueError("BASE_DIGEST_MISMATCH", { expected, actual });

/** "sha256:HEX" -> HEX. @throws SilverblueError BASE_MANIFEST_MALFORMED */
export function hexOf(digest: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hex === undefined)
    throw new SilverblueError("BASE_MANIFEST_MALFORMED", { expected: "sha256: and 64 hex digits", actual: digest.slice(0, 100) });
  return hex;
}

/** Where a blob lies in a folder: an OCI image layout (image-layout.md), or files named by their digests. @throws SilverblueError BASE_DIGEST_MISMATCH */
export function blobPath(folder: string, digest: string): string {
  const hex = hexOf(digest);
  const found = [join(folder, "blobs/sha256", hex), join(folder, hex)].find(
    (path) => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true,
  );
  if (found === undefined) throw mismatch(digest, "no such blob");
  return found;
}

/** A small blob, checked. @throws SilverblueError BASE_DIGEST_MISMATCH */
export function readDocument(folder: string, digest: string): string {
  const path = blobPath(folder, digest);
  const { size } = lstatSync(path);
  if (size > MAX_DOCUMENT_BYTES) throw mismatch(`at most ${MAX_DOCUMENT_BYTES} bytes in ${digest}`, `${size} bytes`);
  const bytes = readFileSync(path);
  if (sha256(bytes) !== hexOf(digest)) throw mismatch(digest, `sha256:${sha256(bytes)}`);
  return bytes.toString("utf8");
}

export interface LayerBlob {
  readonly digest: string;
  /** Bytes as stored. */
  readonly size: number;
  readonly compression: "none" | "gzip" | "zstd";
  /** Digest of what is inside, as the configuration names it. */
  readonly diffId: string;
}

/**
 * The archive inside a layer's blob. Not a byte of it is unpacked before the blob has its digest; what is inside must have been read to
 * its end before it may be trusted.
 * @throws SilverblueError BASE_DIGEST_MISMATCH
 */
export async function* layerArchive(folder: string, blob: LayerBlob): AsyncGenerator<Buffer> {
  const path = blobPath(folder, blob.digest);
  const { size } = lstatSync(path);
  if (size !== blob.size) throw mismatch(`${blob.size} bytes in ${blob.digest}`, `${size} bytes`);
  requireDigest(blob.digest, await sha256File(path));
  const inside = createHash("sha256");
  let total = 0;
  for await (const chunk of unpacked(path, blob)) {
    total += chunk.length;
    if (total > MAX_LAYER_BYTES) throw mismatch(`at most ${MAX_LAYER_BYTES} bytes inside ${blob.digest}`, "more");
    inside.update(chunk);
    yield chunk;
  }
  requireDigest(blob.diffId, inside.digest("hex"));
}

function requireDigest(stated: string, actual: string): void {
  if (hexOf(stated) !== actual) throw mismatch(stated, `sha256:${actual}`);
}

async function* unpacked(path: string, blob: LayerBlob): AsyncGenerator<Buffer> {
  const stored = createReadStream(path, { highWaterMark: 1 << 18 });
  if (blob.compression === "none") return yield* stored as AsyncIterable<Buffer>;
  const unpack = blob.compression === "gzip" ? createGunzip() : createZstdDecompress();
  stored.on("error", (error) => unpack.destroy(error));
  try {
    yield* stored.pipe(unpack) as AsyncIterable<Buffer>;
  } catch (cause) {
    const expected = `${blob.compression} in ${blob.digest}`;
    throw new SilverblueError("BASE_DIGEST_MISMATCH", { expected, actual: String(cause), cause });
  }
}
