import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type HashResult, hashFile } from "./hash-file.ts";

/** Bytes below which starting a thread (some 30 ms) costs more than it saves. */
const WORTH_A_THREAD = 32 << 20;

/**
 * Hashes the next file that nobody has taken yet, until there is none. Uses nothing from outside its own body, because its source text is
 * also what the other thread runs.
 * @param taken one number that all threads share: how many files have been taken
 */
function hashUntilDone(paths: readonly string[], taken: Int32Array, hash: (path: string) => HashResult): Results {
  const results: [string, HashResult][] = [];
  for (let path = paths[Atomics.add(taken, 0, 1)]; path !== undefined; path = paths[Atomics.add(taken, 0, 1)])
    results.push([path, hash(path)]);
  return results;
}

const WORKER = `const { parentPort, workerData: { paths, taken } } = process.getBuiltinModule("node:worker_threads");
const hashUntilDone = ${hashUntilDone};
parentPort.postMessage(hashUntilDone(paths, taken, ${hashFile}));`;

export interface HashJob {
  readonly path: string;
  /** Bytes, as the directory says; only to share out the work. */
  readonly size: number;
}
type Results = readonly (readonly [path: string, result: HashResult])[];

/**
 * Result by path. Every file is read once, in memory that does not grow with their size. Where there is a second processor and enough to
 * do, a second thread begins at once, with the largest file; this one does the other work that there is and then takes of what is left.
 */
export async function hashAll(jobs: readonly HashJob[], otherWork: () => void): Promise<ReadonlyMap<string, HashResult>> {
  const bytes = jobs.reduce((sum, { size }) => sum + size, 0);
  const paths = jobs.toSorted((a, b) => b.size - a.size).map(({ path }) => path);
  const taken = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const elsewhere = bytes < WORTH_A_THREAD || availableParallelism() < 2 ? [] : hashThere(paths, taken);
  otherWork();
  const here = hashUntilDone(paths, taken, hashFile);
  return new Map([...here, ...(await elsewhere)]);
}

async function hashThere(paths: readonly string[], taken: Int32Array): Promise<Results> {
  const worker = new Worker(WORKER, { eval: true, env: {}, execArgv: [], workerData: { paths, taken } });
  const [results] = (await once(worker, "message")) as [Results];
  return results;
}
