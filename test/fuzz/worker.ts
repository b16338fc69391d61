// One target in a thread of its own, so that a parser that never returns or eats the heap can be stopped and its input known.
import { parentPort, workerData } from "node:worker_threads";
import { corpusOf } from "./corpus.ts";
import { fuzz } from "./fuzz.ts";
import { targets } from "./targets.ts";
import { CURRENT_HEAD_BYTES, type WorkerOrder } from "./worker-order.ts";

const { target: name, limits, current } = workerData as WorkerOrder;
const target = (await targets()).find((one) => one.name === name);
if (target === undefined) throw new Error(`no target ${name}`);
const head = new Int32Array(current, 0, 2);
const body = new Uint8Array(current, CURRENT_HEAD_BYTES);

const result = await fuzz(target, corpusOf(name), limits, (input) => {
  body.set(input.subarray(0, body.length));
  Atomics.store(head, 1, Math.min(input.length, body.length));
  Atomics.add(head, 0, 1);
});
parentPort?.postMessage(result);
