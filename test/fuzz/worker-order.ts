import type { FuzzLimits } from "./fuzz.ts";

/** What a fuzzing thread is told. */
export interface WorkerOrder {
  readonly target: string;
  readonly limits: FuzzLimits;
  /** Where the input that is being tried stands: its number, its length, then its bytes. */
  readonly current: SharedArrayBuffer;
}
export const CURRENT_HEAD_BYTES = 8;
