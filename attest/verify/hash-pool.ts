import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type HashResult, hashFile } from "./hash-file.ts";

/** Bytes below which starting a thread (some 30 ms) costs more than it saves. */
const WORTH_A_THREAD = 32 << 20;

const WORKER = `const { parentPort, workerData } = process.getBuiltinModule("node:worker_threads");
const hashFile = ${hashFile};
parentPort.postMessage(workerData.map((path) => [path, hashFile(path)]));`;

export interface HashJob {
  readonly path: string;
  /** Bytes, as the directory says; only to share out the work. */
  readonly size: number;
}
type Results = readonly (readonly [path: string, result: HashResult])[];

/** What this thread's other work is worth in bytes hashed: half a second's parsing would be too much to leave to chance. */
const OTHER_WORK_BYTES = 256 << 20;

/**
 * Result by path. Every file is read once, in memory that does not grow with their size. A second thread takes more than half of the bytes,
 * where there is a second processor and enough to do; this one does the other work that there is, and then the rest.
 */
export async function hashAll(
  jobs: readonly HashJob[],
  otherWork: () => Promise<void>,
): Promise<ReadonlyMap<string, HashResult>> {
  const bytes = jobs.reduce((sum, { size }) => sum + size, 0);
  if (bytes < WORTH_A_THREAD || availableParallelism() < 2) {
    await otherWork();
    return new Map(hashHere(jobs.map(({ path }) => path)));
  }
  const [here, there] = shares(jobs);
  const elsewhere = hashThere(there);
  await otherWork();
  const results = hashHere(here);
  return new Map([...results, ...(await elsewhere)]);
}

/** Paths in two lists that take about as long: the largest first, each to the list that has less to do. */
function shares(jobs: readonly HashJob[]): readonly [readonly string[], readonly string[]] {
  const [one, two] = [
    { bytes: OTHER_WORK_BYTES, paths: [] as string[] },
    { bytes: 0, paths: [] as string[] },
  ];
  for (const { path, size } of jobs.toSorted((a, b) => b.size - a.size)) {
    const less = one.bytes <= two.bytes ? one : two;
    less.paths.push(path);
    less.bytes += size;
  }
  return [one.paths, two.paths];
}

const hashHere = (paths: readonly string[]): Results => paths.map((path) => [path, hashFile(path)] as const);

async function hashThere(paths: readonly string[]): Promise<Results> {
  const worker = new Worker(WORKER, { eval: true, env: {}, execArgv: [], workerData: paths });
  const [results] = (await once(worker, "message")) as [Results];
  return results;
}
