import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type BlobStore, createBlobStore } from "@secai/pipelines/engine/blob-store";
import { PackagesGoneError } from "@secai/pipelines/fetch/errors";
import { createFetcher, type FetcherOptions } from "@secai/pipelines/fetch/fetch";
import type { FetchFile } from "@secai/pipelines/step";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Mirror, startMirror } from "./server.ts";

let directory: string;
let blobs: BlobStore;
let mirror: Mirror;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "secai-fetch-"));
  blobs = createBlobStore(directory);
  mirror = await startMirror();
});
afterEach(async () => {
  await mirror.close();
  await rm(directory, { recursive: true, force: true });
});

/** A file on the mirror, and what a lock would say of it. */
function offer(name: string, size = 50_000): FetchFile & { readonly bytes: Buffer } {
  const bytes = randomBytes(size);
  mirror.files.set(`pool/${name}`, bytes);
  return { name, path: `pool/${name}`, archive: "debian", size, sha256: sha256(bytes), bytes };
}

function fetcher(options: Partial<FetcherOptions> = {}) {
  return createFetcher({ mirrors: { debian: [mirror.url] }, proxyEnv: {}, backoffMs: 1, ...options });
}

async function isStored(file: FetchFile): Promise<boolean> {
  return (await blobs.has(file.sha256)) && sha256(await readFile(blobs.path(file.sha256))) === file.sha256;
}

const leftBehind = (): Promise<string[]> => readdir(join(directory, "partial"));

test("files come into the store, in parallel, six at a time at most, and are not asked for again", async () => {
  const files = Array.from({ length: 20 }, (_, index) => offer(`${index}.deb`));
  const seen: number[] = [];
  await fetcher()(files, blobs, { onBytes: (done, total) => seen.push(done / total) });
  for (const file of files) expect(await isStored(file)).toBe(true);
  expect(mirror.peak).toBeGreaterThan(2);
  expect(mirror.peak).toBeLessThanOrEqual(6);
  expect(seen.at(-1)).toBe(1);
  expect(await leftBehind()).toEqual([]);
  mirror.requests.length = 0;
  await fetcher()(files, blobs, {});
  expect(mirror.requests).toEqual([]);
});

test("a connection that breaks is gone on with where it broke", async () => {
  const file = offer("a.deb");
  mirror.troubles.set(file.path, { kind: "cut", bytes: 20_000, times: 2 });
  await fetcher()([file], blobs, {});
  expect(await isStored(file)).toBe(true);
  expect(mirror.requests).toEqual(["pool/a.deb from 0", "pool/a.deb from 20000", "pool/a.deb from 40000"]);
});

test("a server without ranges is asked for the whole file again", async () => {
  const file = offer("a.deb");
  mirror.ranges = false;
  mirror.troubles.set(file.path, { kind: "cut", bytes: 20_000, times: 1 });
  await fetcher()([file], blobs, {});
  expect(await isStored(file)).toBe(true);
});

test("a server that answers another range than the one asked for does not spoil the file", async () => {
  const file = offer("a.deb");
  await writeFile(blobs.partialPath(file.sha256), file.bytes.subarray(0, 10_000));
  mirror.troubles.set(file.path, { kind: "wrong-range" });
  await fetcher()([file], blobs, {});
  expect(await isStored(file)).toBe(true);
});

test("what an earlier run left is resumed; a part that was lost by a killed process too", async () => {
  const [a, b] = [offer("a.deb"), offer("b.deb")];
  await writeFile(blobs.partialPath(a.sha256), a.bytes.subarray(0, 30_000));
  // No process has this id: Linux ends below 2^22.
  await writeFile(`${blobs.partialPath(b.sha256)}.4194305.lost`, b.bytes.subarray(0, 30_000));
  await fetcher()([a, b], blobs, {});
  expect(mirror.requests.sort()).toEqual(["pool/a.deb from 30000", "pool/b.deb from 30000"]);
  expect(await leftBehind()).toEqual([]);
});

test("a part of a living process is left alone", async () => {
  const file = offer("a.deb");
  await writeFile(`${blobs.partialPath(file.sha256)}.${process.pid}.mine`, file.bytes.subarray(0, 10));
  await fetcher()([file], blobs, {});
  expect(mirror.requests).toEqual(["pool/a.deb from 0"]);
  expect(await leftBehind()).toHaveLength(1);
});

test("a rotten or overlong part costs one more request, not the file", async () => {
  const files = [offer("a.deb"), offer("b.deb")] as const;
  await writeFile(blobs.partialPath(files[0].sha256), randomBytes(10_000));
  await writeFile(blobs.partialPath(files[1].sha256), randomBytes(90_000));
  await fetcher()(files, blobs, {});
  for (const file of files) expect(await isStored(file)).toBe(true);
});

test("two fetchers of the same file do not disturb each other", async () => {
  const file = offer("a.deb", 500_000);
  await Promise.all([fetcher()([file], blobs, {}), fetcher()([file], blobs, {}), fetcher()([file], blobs, {})]);
  expect(await isStored(file)).toBe(true);
});

test("wrong bytes are FETCH_HASH_MISMATCH and never enter the store", async () => {
  const file = offer("a.deb");
  mirror.troubles.set(file.path, { kind: "bytes", bytes: randomBytes(50_000) });
  await expect(fetcher()([file], blobs, {})).rejects.toMatchObject({ code: "FETCH_HASH_MISMATCH", exit: 1 });
  expect(await blobs.has(file.sha256)).toBe(false);
  expect(await leftBehind()).toEqual([]);
});

test("a byte too many is FETCH_TOO_LARGE", async () => {
  const file = offer("a.deb");
  mirror.troubles.set(file.path, { kind: "bytes", bytes: Buffer.concat([file.bytes, Buffer.alloc(1)]) });
  await expect(fetcher()([file], blobs, {})).rejects.toMatchObject({ code: "FETCH_TOO_LARGE", exit: 1 });
  expect(await blobs.has(file.sha256)).toBe(false);
});

test("a byte too few is FETCH_TRUNCATED", async () => {
  const file = offer("a.deb");
  mirror.troubles.set(file.path, { kind: "bytes", bytes: file.bytes.subarray(1) });
  await expect(fetcher({ attempts: 1 })([file], blobs, {})).rejects.toMatchObject({ code: "FETCH_TRUNCATED", exit: 3 });
});

test("a passing trouble of the server is waited out, a lasting one told of", async () => {
  const file = offer("a.deb");
  mirror.troubles.set(file.path, { kind: "status", status: 503, times: 2 });
  await fetcher()([file], blobs, {});
  expect(await isStored(file)).toBe(true);
  const other = offer("b.deb");
  mirror.troubles.set(other.path, { kind: "status", status: 503, times: 99 });
  await expect(fetcher()([other], blobs, {})).rejects.toMatchObject({ code: "FETCH_STATUS", exit: 3 });
  expect(mirror.requests.filter((line) => line.startsWith("pool/b.deb"))).toHaveLength(4);
});

test("a redirect is followed; a circle of them and one out of HTTP are not", async () => {
  const file = offer("a.deb");
  mirror.files.set("elsewhere", file.bytes);
  mirror.troubles.set(file.path, { kind: "redirect", to: "/elsewhere" });
  await fetcher()([file], blobs, {});
  expect(await isStored(file)).toBe(true);
  for (const to of ["/pool/b.deb", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://"]) {
    const other = offer("b.deb");
    mirror.troubles.set(other.path, { kind: "redirect", to });
    await expect(fetcher()([other], blobs, {})).rejects.toMatchObject({ code: "FETCH_REDIRECT" });
  }
});

test("what has left every mirror is LOCK_PACKAGE_GONE with the list, and the rest is fetched", async () => {
  const files = [offer("a.deb"), offer("b.deb"), offer("c.deb")] as const;
  mirror.files.delete(files[0].path);
  mirror.files.delete(files[2].path);
  const error = await fetcher()(files, blobs, {}).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(PackagesGoneError);
  expect(error).toMatchObject({ code: "LOCK_PACKAGE_GONE", exit: 3, actual: "none has a.deb, c.deb" });
  expect(await isStored(files[1])).toBe(true);
});

test("a second mirror gives what the first lacks, or has wrong, or does not answer for", async () => {
  const snapshot = await startMirror();
  try {
    const files = [offer("a.deb"), offer("b.deb"), offer("c.deb")] as const;
    for (const { path, bytes } of files) snapshot.files.set(path, bytes);
    mirror.files.delete(files[0].path);
    mirror.troubles.set(files[1].path, { kind: "bytes", bytes: randomBytes(50_000) });
    mirror.troubles.set(files[2].path, { kind: "status", status: 500, times: 99 });
    await fetcher({ mirrors: { debian: [mirror.url, snapshot.url] } })(files, blobs, {});
    for (const file of files) expect(await isStored(file)).toBe(true);
  } finally {
    await snapshot.close();
  }
});

test("no mirror at all is told before anything is asked for", async () => {
  const file = { ...offer("a.deb"), archive: "elsewhere" };
  await expect(fetcher()([offer("b.deb"), file], blobs, {})).rejects.toMatchObject({ code: "FETCH_MIRROR_UNKNOWN", exit: 2 });
  expect(mirror.requests).toEqual([]);
});

test("a mirror that is down is FETCH_UNREACHABLE", async () => {
  const file = offer("a.deb");
  await mirror.close();
  await expect(fetcher({ attempts: 2 })([file], blobs, {})).rejects.toMatchObject({ code: "FETCH_UNREACHABLE", exit: 3 });
});

test("an interrupt stops the wait and keeps what came", async () => {
  const file = offer("a.deb");
  mirror.troubles.set(file.path, { kind: "stall", bytes: 20_000 });
  const controller = new AbortController();
  const stop = new Error("interrupted");
  const onBytes = (done: number): void => {
    if (done === 20_000) controller.abort(stop);
  };
  await expect(fetcher()([file], blobs, { signal: controller.signal, onBytes })).rejects.toBe(stop);
  expect(await leftBehind()).toEqual([file.sha256]);
  mirror.troubles.clear();
  await fetcher()([file], blobs, {});
  expect(mirror.requests.at(-1)).toBe("pool/a.deb from 20000");
});

test("an interrupt that came before asks for nothing", async () => {
  const file = offer("a.deb");
  await expect(fetcher()([file], blobs, { signal: AbortSignal.abort(new Error("early")) })).rejects.toThrow("early");
  expect(mirror.requests).toEqual([]);
});

test("the environment's proxy is used", async () => {
  const file = offer("a.deb");
  // A proxy is asked for whole addresses (RFC 9112 §3.2.2).
  mirror.files.set("http://archive.test/pool/a.deb", file.bytes);
  const throughProxy = fetcher({ mirrors: { debian: ["http://archive.test/"] }, proxyEnv: { http_proxy: mirror.url } });
  await throughProxy([file], blobs, {});
  expect(await isStored(file)).toBe(true);
});
