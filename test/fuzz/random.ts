/** Numbers that look random and are the same for the same seed: a finding can be had again. */
export interface Random {
  /** A whole number from 0 up to and not including `limit`. */
  below(limit: number): number;
  pick<T>(items: readonly T[]): T;
}

/** xorshift32 (G. Marsaglia, "Xorshift RNGs", 2003): fast, and good enough to choose where to hit. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0 || 0x9e3779b9;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  const below = (limit: number): number => (limit <= 1 ? 0 : next() % limit);
  return {
    below,
    pick: <T>(items: readonly T[]): T => {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error("nothing to pick from");
      return item;
    },
  };
}
