import { EngineError } from "../errors.ts";
import { DaggerError } from "./errors.ts";

export interface Limit {
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** What is waited for, for the message. */
  readonly what: string;
}

/**
 * Waits for `work` until the limit or the signal. The work itself must be stopped by whoever started it; what it does afterwards is
 * nobody's any more, so a late failure is swallowed here instead of ending the process.
 * @throws DaggerError DAGGER_DEADLINE, EngineError BUILD_CANCELLED, and what `work` throws
 */
export async function within<T>(work: Promise<T>, { limitMs, signal, what }: Limit): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let stop = (): void => {};
  work.catch(() => {});
  const ended = new Promise<never>((_, reject) => {
    stop = () => reject(new EngineError("BUILD_CANCELLED"));
    timer = setTimeout(
      () => reject(new DaggerError("DAGGER_DEADLINE", { expected: `${what} within ${limitMs / 1000} s`, actual: "no answer" })),
      limitMs,
    );
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
  });
  try {
    return await Promise.race([work, ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
