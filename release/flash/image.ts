import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import type { Manifest } from "@secai/formats/manifest";
import { DISK_FILE, MANIFEST_FILE, type Role } from "@secai/formats/release-layout";
import { FlashError } from "./errors.ts";

/** What can be written to a bare disk as it is (after unpacking). */
const FLASHABLE: ReadonlySet<string> = new Set<Role>(["disk", "installer-iso"]);

/** An image and the release that vouches for it. */
export interface ImageChoice {
  readonly path: string;
  readonly releaseDir: string;
}

/**
 * Finds the release of an image: the directory given, else the one the image lies in. A release directory stands for its disk image.
 * @throws FlashError FLASH_RELEASE_MISSING, FLASH_IMAGE_UNREADABLE
 */
export async function chooseImage(image: string, releaseDir: string | undefined): Promise<ImageChoice> {
  const found = await stat(image).catch((cause: Error) => {
    throw new FlashError("FLASH_IMAGE_UNREADABLE", { expected: image, actual: cause.message, cause });
  });
  if (found.isDirectory()) return { path: join(image, DISK_FILE), releaseDir: releaseDir ?? image };
  if (!found.isFile()) throw new FlashError("FLASH_IMAGE_UNREADABLE", { expected: "a plain file", actual: image });
  if (releaseDir !== undefined) return { path: image, releaseDir };
  const dir = dirname(resolve(image));
  if ((await stat(join(dir, MANIFEST_FILE)).catch(() => undefined))?.isFile() === true) return { path: image, releaseDir: dir };
  throw new FlashError("FLASH_RELEASE_MISSING", {
    expected: `${MANIFEST_FILE} beside ${basename(image)}`,
    actual: `none in ${dir}`,
  });
}

/** The entry of a verified manifest that an image must be equal to. */
export interface ListedImage {
  readonly name: string;
  readonly sha256: string;
  readonly size: number;
  readonly packed: boolean;
}

/**
 * The medium that `path` claims to be: by its place in the release, or by its file name when it lies elsewhere.
 * @throws FlashError FLASH_IMAGE_UNLISTED
 */
export function listedImage({ path, releaseDir }: ImageChoice, manifest: Manifest): ListedImage {
  const inside = relative(releaseDir, path);
  const wanted = inside.startsWith("..") ? basename(path) : inside;
  const entry = manifest.files.find(({ name, role }) => name === wanted && FLASHABLE.has(role));
  if (entry === undefined) {
    const media = manifest.files.filter(({ role }) => FLASHABLE.has(role)).map(({ name }) => name);
    throw new FlashError("FLASH_IMAGE_UNLISTED", { expected: media.join(" or "), actual: wanted });
  }
  return { name: entry.name, sha256: entry.sha256, size: entry.size, packed: entry.name.endsWith(".zst") };
}

/** What a first pass over an image found; the second pass and the device must give the same. */
export interface Measured {
  /** SHA-256 of what goes onto the device. */
  readonly sha256: string;
  /** Bytes that go onto the device. */
  readonly size: number;
}

/** An open image: the same open file is read for measuring and for writing. */
export interface OpenImage {
  readonly file: FileHandle;
  readonly listed: ListedImage;
  /** "major:minor" of the file system it lies on. */
  readonly on: string;
}

/** @throws FlashError FLASH_IMAGE_UNREADABLE, FLASH_IMAGE_CHANGED */
export async function openImage({ path }: ImageChoice, listed: ListedImage): Promise<OpenImage> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((cause: Error) => {
    throw new FlashError("FLASH_IMAGE_UNREADABLE", { expected: path, actual: cause.message, cause });
  });
  const { size, dev } = await file.stat();
  if (size === listed.size) return { file, listed, on: deviceNumber(dev) };
  await file.close();
  throw new FlashError("FLASH_IMAGE_CHANGED", { expected: `${listed.size} bytes`, actual: `${size}` });
}

/** "major:minor" of a device number as Linux packs it (makedev(3)). */
export function deviceNumber(dev: number): string {
  const packed = BigInt(dev);
  const major = ((packed >> 8n) & 0xfffn) | ((packed >> 32n) & 0xfffff000n);
  const minor = (packed & 0xffn) | ((packed >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/**
 * Reads an image once from its start, hands what goes onto the device to `take` in order, and says what that was. The packed bytes are
 * hashed in the same pass and must be those that the release lists.
 * @throws FlashError FLASH_IMAGE_CHANGED, FLASH_IMAGE_UNREADABLE; whatever `take` throws
 */
export async function readImage(
  { file, listed }: OpenImage,
  take: (chunk: Buffer) => Promise<void> | void,
  signal?: AbortSignal,
): Promise<Measured> {
  const packed = createHash("sha256");
  const raw = createHash("sha256");
  let size = 0;
  let refusedByTaker: { readonly error: unknown } | undefined;
  const source = file.createReadStream({ start: 0, end: listed.size - 1, autoClose: false, highWaterMark: 1 << 20 });
  const count = new Transform({
    transform(chunk: Buffer, _, done) {
      packed.update(chunk);
      done(null, chunk);
    },
  });
  const sink = async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      raw.update(chunk);
      size += chunk.length;
      try {
        await take(chunk);
      } catch (error) {
        refusedByTaker = { error };
        throw error;
      }
    }
  };
  try {
    const options = signal === undefined ? {} : { signal };
    if (listed.packed) await pipeline(source, count, createZstdDecompress({ chunkSize: 1 << 20 }), sink, options);
    else await pipeline(source, count, sink, options);
  } catch (cause) {
    if (refusedByTaker !== undefined) throw refusedByTaker.error;
    if (signal?.aborted === true) throw cause;
    throw new FlashError("FLASH_IMAGE_UNREADABLE", { expected: listed.name, actual: (cause as Error).message, cause });
  }
  const digest = packed.digest("hex");
  if (digest !== listed.sha256) throw new FlashError("FLASH_IMAGE_CHANGED", { expected: listed.sha256, actual: digest });
  return { sha256: raw.digest("hex"), size };
}
