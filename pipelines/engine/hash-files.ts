import { createHash, hash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Sha256 } from "@secai/formats/digest";

export interface FileToHash {
  readonly path: Buffer;
  readonly size: number;
}

/** Below this much work starting a thread (about 40 ms) costs more than it saves. */
const ALONE_FILES = 500;
const ALONE_BYTES = 32 << 20;
const BATCH_FILES = 256;
const BATCH_BYTES = 16 << 20;
const CHUNK_BYTES = 1 << 20;

/** Digests of files, in the order given; large sets on all cores. */
export async function hashFiles(files: readonly FileToHash[]): Promise<Sha256[]> {
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (files.length <= ALONE_FILES && bytes <= ALONE_BYTES) return files.map(({ path, size }) => hashFileNow(path, size));
  const batches = batchesOf(files);
  const digests = new Array<Sha256>(files.length);
  const threads = Math.min(availableParallelism(), batches.length);
  await Promise.all(Array.from({ length: threads }, () => hashBatches(batches, digests)));
  return digests;
}

/** Blocks its thread; the main thread calls it for small sets only. */
export function hashFileNow(path: Buffer, size: number): Sha256 {
  return (size <= CHUNK_BYTES ? hash("sha256", readFileSync(path)) : hashInChunks(path)) as Sha256;
}

function hashInChunks(path: Buffer): string {
  const file = openSync(path, "r");
  try {
    const digest = createHash("sha256");
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) digest.update(chunk.subarray(0, read));
    return digest.digest("hex");
  } finally {
    closeSync(file);
  }
}

interface Batch {
  readonly first: number;
  readonly files: readonly FileToHash[];
}

function batchesOf(files: readonly FileToHash[]): Batch[] {
  const batches: Batch[] = [];
  let first = 0;
  let bytes = 0;
  for (let next = 0; next <= files.length; next++) {
    const full = next - first >= BATCH_FILES || bytes >= BATCH_BYTES;
    if (next > first && (full || next === files.length)) {
      batches.push({ first, files: files.slice(first, next) });
      [first, bytes] = [next, 0];
    }
    bytes += files[next]?.size ?? 0;
  }
  return batches;
}

/** One thread that takes batches until none is left. */
function hashBatches(batches: Batch[], digests: Sha256[]): Promise<void> {
  const worker = new Worker(new URL("./hash-worker.ts", import.meta.url), { execArgv: [] });
  const done = new Promise<void>((resolve, reject) => {
    let current: Batch | undefined;
    const next = (): void => {
      current = batches.shift();
      if (current === undefined) resolve();
      else worker.postMessage(current.files.map(({ path, size }) => ({ path: new Uint8Array(path), size })));
    };
    worker.on("message", (answer: { digests: Sha256[] } | { error: string }) => {
      if ("error" in answer) return reject(new Error(answer.error));
      answer.digests.forEach((digest, index) => {
        digests[(current?.first ?? 0) + index] = digest;
      });
      next();
    });
    worker.on("error", reject);
    next();
  });
  return done.finally(() => worker.terminate());
}
