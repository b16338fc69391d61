import { mutate } from "./mutate.ts";
import { createRandom } from "./random.ts";
import { type Target, tryInput } from "./target.ts";

/** Longest that one input may take, in ms. */
export const MAX_INPUT_MS = 1000;
/** Most memory outside the heap that parsers may hold on to, in bytes; the heap's limit is the worker's. */
const MAX_BUFFERS_BYTES = 512 << 20;
/** Inputs kept in memory for their new kind of answer. */
const MAX_KEPT = 500;
const MEMORY_EVERY = 256;

export interface Finding {
  readonly target: string;
  readonly problem: string;
  readonly input: Buffer;
}

export interface FuzzLimits {
  readonly seed: number;
  /** Ends whichever comes first. */
  readonly executions: number;
  readonly milliseconds: number;
}

export interface FuzzResult {
  readonly executions: number;
  /** Different kinds of answer that were seen, as a measure of how deep the inputs got. */
  readonly kinds: number;
  readonly finding: Finding | undefined;
  /** Inputs that gave an answer of a new kind, beyond the corpus it began with. */
  readonly kept: readonly Buffer[];
}

/**
 * Feeds `target` with its seeds, then the corpus, then with what becomes of them. An input with a new kind of answer becomes a parent of
 * others. Stops at the first finding. `watch` sees each input before it is tried.
 */
export async function fuzz(
  target: Target,
  corpus: readonly Buffer[],
  limits: FuzzLimits,
  watch: (input: Buffer) => void,
): Promise<FuzzResult> {
  const random = createRandom(limits.seed);
  const started = performance.now();
  const pool = [...target.seeds.map((bytes) => Buffer.from(bytes)), ...corpus];
  const first = pool.length;
  const kinds = new Set<string>();
  let executions = 0;
  const result = (finding?: Finding): FuzzResult => ({ executions, kinds: kinds.size, finding, kept: pool.slice(first) });
  const queue = [...pool];
  while (executions < limits.executions && performance.now() - started < limits.milliseconds) {
    const planned = queue.shift();
    const input = planned ?? mutate(random.pick(pool), random.pick(pool), random);
    watch(input);
    const before = performance.now();
    const answer = await tryInput(target, input);
    const problem = answer.ok ? (slowness(performance.now() - before) ?? hunger(executions)) : answer.problem;
    executions += 1;
    if (problem !== undefined) return result({ target: target.name, problem, input });
    if (!kinds.has(answer.kind) && planned === undefined && pool.length < MAX_KEPT) pool.push(input);
    kinds.add(answer.kind);
  }
  return result();
}

const slowness = (ms: number) => (ms > MAX_INPUT_MS ? `took ${Math.round(ms)} ms` : undefined);

function hunger(executions: number): string | undefined {
  if (executions % MEMORY_EVERY !== 0) return undefined;
  const { arrayBuffers } = process.memoryUsage();
  return arrayBuffers > MAX_BUFFERS_BYTES ? `${arrayBuffers} bytes of buffers after ${executions} inputs` : undefined;
}
