import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type HashResult, hashFile } from "./hash-file.ts";

/** Bytes below which starting a thread (some 30 ms) costs more than it saves. */
const WORTH_A_THREAD = 32 << 20;
/** More threads than this gain nothing: the disk or the memory is the limit. */
const MAX_THREADS = 2;

const WORKER = `const { parentPort } = process.getBuiltinModule("node:worker_threads");
const hashFile = ${hashFile};
parentPort.on("message", (path) => parentPort.postMessage(hashFile(path)));`;

export interface HashJob {
  readonly path: string;
  /** Bytes, as the directory says; only to share out the work. */
  readonly size: number;
}

/** Result by path. Every file is read once, the largest first, in memory that does not grow with their size. */
export async function hashAll(jobs: readonly HashJob[]): Promise<ReadonlyMap<string, HashResult>> {
  const queue = jobs.toSorted((a, b) => a.size - b.size);
  const bytes = jobs.reduce((sum, { size }) => sum + size, 0);
  const results = new Map<string, HashResult>();
  if (bytes < WORTH_A_THREAD) {
    for (const { path } of queue) results.set(path, hashFile(path));
    return results;
  }
  const threads = Math.min(MAX_THREADS, availableParallelism(), queue.length);
  await Promise.all(Array.from({ length: threads }, () => drain(queue, results)));
  return results;
}

/** One thread that takes the largest file left until none is. */
async function drain(queue: HashJob[], results: Map<string, HashResult>): Promise<void> {
  const worker = new Worker(WORKER, { eval: true, env: {}, execArgv: [] });
  try {
    for (let job = queue.pop(); job !== undefined; job = queue.pop()) {
      worker.postMessage(job.path);
      const [result] = (await once(worker, "message")) as [HashResult];
      results.set(job.path, result);
    }
  } finally {
    await worker.terminate();
  }
}
