/**
 * How alike two answers are: words in common over all words, both as sets in lower case (Jaccard's index). 1: the same words; two empty
 * answers are the same.
 */
export function similarity(a: string, b: string): number {
  const [left, right] = [words(a), words(b)];
  const union = new Set([...left, ...right]).size;
  if (union === 0) return 1;
  return [...left].filter((word) => right.has(word)).length / union;
}

const words = (text: string): ReadonlySet<string> =>
  new Set(
    text
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== ""),
  );
