import { Worker } from "node:worker_threads";
import { type FuzzLimits, type FuzzResult, MAX_INPUT_MS } from "./fuzz.ts";
import { MAX_INPUT_BYTES } from "./mutate.ts";
import { CURRENT_HEAD_BYTES, type WorkerOrder } from "./worker-order.ts";

const MAX_HEAP_MIB = 512;
const POLL_MS = 250;
/** Time in which the thread must be up: it loads every parser there is. */
const START_MS = 30_000;

/** Fuzzes one target in a thread. A thread that stands still or dies is a finding like any other. */
export async function runTarget(target: string, limits: FuzzLimits): Promise<FuzzResult> {
  const current = new SharedArrayBuffer(CURRENT_HEAD_BYTES + MAX_INPUT_BYTES);
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData: { target, limits, current } satisfies WorkerOrder,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  try {
    return await Promise.race([resultOf(worker), deathOf(worker, target, current), standstill(target, current)]);
  } finally {
    await worker.terminate();
  }
}

function resultOf(worker: Worker): Promise<FuzzResult> {
  return new Promise((resolve) => {
    worker.once("message", ({ finding, ...rest }: FuzzResult) => {
      const buffers = rest.kept.map((bytes) => Buffer.from(bytes));
      resolve({ ...rest, kept: buffers, finding: finding && { ...finding, input: Buffer.from(finding.input) } });
    });
  });
}

function deathOf(worker: Worker, target: string, current: SharedArrayBuffer): Promise<FuzzResult> {
  return new Promise((resolve) => {
    worker.once("error", (error) => resolve(found(target, current, String(error))));
  });
}

/** A first input may take as long as the parsers take to load; each later one must follow within the limit. */
async function standstill(target: string, current: SharedArrayBuffer): Promise<FuzzResult> {
  const count = new Int32Array(current, 0, 1);
  let [last, since] = [0, performance.now()];
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS).unref());
    const now = Atomics.load(count, 0);
    if (now !== last) [last, since] = [now, performance.now()];
    const limit = now === 0 ? START_MS : MAX_INPUT_MS * 5;
    if (performance.now() - since > limit) return found(target, current, `no answer within ${limit} ms`);
  }
}

function found(target: string, current: SharedArrayBuffer, problem: string): FuzzResult {
  const [executions = 0, length = 0] = new Int32Array(current, 0, 2);
  const input = Buffer.from(new Uint8Array(current, CURRENT_HEAD_BYTES, length));
  return { executions, kinds: 0, kept: [], finding: { target, problem, input } };
}
