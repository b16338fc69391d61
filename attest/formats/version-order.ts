/**
 * Negative when version `a` is older than `b`, positive when it is newer, 0 when neither is. The order of the UAPI version format
 * (https://uapi-group.org/specifications/specs/version_format_specification/), the same that boot loaders and updaters of the image use:
 * `1.0~rc1` < `1.0` < `1.0-1` < `1.0^1` < `1.0.1` < `1.10`. Total over any two strings.
 */
export function compareVersions(a: string, b: string): number {
  let [left, right] = [a, b];
  for (;;) {
    // Characters without a meaning in versions separate, no more.
    left = left.replace(/^[^0-9A-Za-z.~^-]+/, "");
    right = right.replace(/^[^0-9A-Za-z.~^-]+/, "");
    const pre = separator("~", left, right);
    if (pre !== 0) return pre;
    if (left.startsWith("~")) [left, right] = [left.slice(1), right.slice(1)];
    if (left === "" || right === "") return Math.sign(left.length - right.length);
    for (const mark of ["-", "^", "."]) {
      const order = separator(mark, left, right);
      if (order !== 0) return order;
      if (left.startsWith(mark)) [left, right] = [left.slice(1), right.slice(1)];
    }
    const parts = /^\d/.test(left) || /^\d/.test(right) ? /^\d*/ : /^[A-Za-z]*/;
    const [one, other] = [parts.exec(left)?.[0] ?? "", parts.exec(right)?.[0] ?? ""];
    const order = parts.source === "^\\d*" ? compareNumbers(one, other) : compareLetters(one, other);
    if (order !== 0) return order;
    [left, right] = [left.slice(one.length), right.slice(other.length)];
  }
}

/** The one that goes on with the separator is the older. */
function separator(mark: string, left: string, right: string): number {
  return Number(!left.startsWith(mark)) - Number(!right.startsWith(mark));
}

/** Digits of any length: no digits before some, then by value. */
function compareNumbers(one: string, other: string): number {
  if ((one === "") !== (other === "")) return one === "" ? -1 : 1;
  const [a, b] = [one.replace(/^0+/, ""), other.replace(/^0+/, "")];
  return Math.sign(a.length - b.length) || compareLetters(a, b);
}

/** By ASCII; of two that begin alike the longer is the newer. */
const compareLetters = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
