/** One piece of work at a time. */
export interface Turns<T> {
  /** Does `work`, or waits for the same work that another caller has begun and takes its result; if that fails, begins anew. */
  join(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Waits its turn. */
  alone<R>(work: () => Promise<R>, signal: AbortSignal): Promise<R>;
}

export function createTurns<T>(): Turns<T> {
  let busy: Promise<unknown> | undefined;
  let shared: Promise<T> | undefined;

  function begin<R>(work: () => Promise<R>): Promise<R> {
    const running = work().finally(() => {
      busy = undefined;
      shared = undefined;
    });
    busy = running;
    return running;
  }

  return {
    async join(work, signal) {
      for (;;) {
        signal.throwIfAborted();
        if (busy === undefined) {
          shared = begin(work);
          return shared;
        }
        const joined = await until(shared, signal);
        if (joined !== undefined) return joined.value;
        await until(busy, signal);
      }
    },
    async alone(work, signal) {
      while (busy !== undefined) await until(busy, signal);
      signal.throwIfAborted();
      return begin(work);
    },
  };
}

/** What work came to; undefined if it failed or there is none. Rejects when `signal` aborts, which ends the waiting, not the work. */
async function until<R>(work: Promise<R> | undefined, signal: AbortSignal): Promise<{ readonly value: R } | undefined> {
  let leave = () => {};
  const gone = new Promise<never>((_resolve, reject) => {
    leave = () => reject(signal.reason as Error);
    signal.addEventListener("abort", leave, { once: true });
  });
  const done = work?.then(
    (value) => ({ value }),
    () => undefined,
  );
  try {
    return await Promise.race([done, gone]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
