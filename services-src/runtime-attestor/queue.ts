/** One thing at a time: there is one TPM. */
export interface Turns<T> {
  /** Waits for its turn; false when too many wait already. With a `key`, callers that ask for the same share what is on its way. */
  take(work: () => Promise<T>, key?: string): Promise<T> | false;
}

/** @param maxWaiting that wait or run */
export function createTurns<T>(maxWaiting: number): Turns<T> {
  const shared = new Map<string, Promise<T>>();
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return {
    take(work, key) {
      const same = key === undefined ? undefined : shared.get(key);
      if (same !== undefined) return same;
      if (waiting >= maxWaiting) return false;
      waiting += 1;
      const turn = last.then(work).finally(() => {
        waiting -= 1;
        if (key !== undefined) shared.delete(key);
      });
      if (key !== undefined) shared.set(key, turn);
      last = turn.catch(() => {});
      return turn;
    },
  };
}
