import { type Fields, type ReleaseFacts, type Section, type SectionName, sections } from "./facts.ts";

/** One difference. Of a changed item only the fields that changed are shown. */
export interface DiffRow {
  readonly section: SectionName;
  readonly item: string;
  readonly change: "added" | "removed" | "changed";
  readonly before: Fields | null;
  readonly after: Fields | null;
}

export interface Comparison {
  readonly rows: readonly DiffRow[];
  /** Sections that could not be compared, and why. */
  readonly notCompared: readonly { readonly section: SectionName; readonly reason: string }[];
}

/** The name under which a change of order alone is shown. */
export const ORDER_ITEM = "(order)";

/** Pure: what differs from `a` to `b`, sections in their order, items in that of their names. */
export function compareReleases(a: ReleaseFacts, b: ReleaseFacts): Comparison {
  const rows: DiffRow[] = [];
  const notCompared: { section: SectionName; reason: string }[] = [];
  for (const name of sections) {
    const [before, after] = [a[name], b[name]];
    if (before !== undefined && after !== undefined) rows.push(...compareSection(name, before, after));
    else notCompared.push({ section: name, reason: missing(before, after) });
  }
  return { rows, notCompared };
}

const missing = (before: Section | undefined, after: Section | undefined): string =>
  before === after ? "neither release says" : `the ${before === undefined ? "first" : "second"} release does not say`;

function compareSection(section: SectionName, before: Section, after: Section): readonly DiffRow[] {
  const names = [...new Set([...before.items.keys(), ...after.items.keys()])].toSorted();
  const rows = names.flatMap((item) => compareItem(section, item, before.items.get(item), after.items.get(item)));
  return rows.length > 0 ? rows : compareOrder(section, before, after);
}

function compareItem(
  section: SectionName,
  item: string,
  before: Fields | undefined,
  after: Fields | undefined,
): readonly DiffRow[] {
  if (before === undefined) return [{ section, item, change: "added", before: null, after: after ?? {} }];
  if (after === undefined) return [{ section, item, change: "removed", before, after: null }];
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => before[name] !== after[name]);
  if (fields.length === 0) return [];
  return [{ section, item, change: "changed", before: only(before, fields), after: only(after, fields) }];
}

function only(fields: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name)));
}

function compareOrder(section: SectionName, before: Section, after: Section): readonly DiffRow[] {
  const [first, second] = [before.order?.join(" "), after.order?.join(" ")];
  if (first === undefined || second === undefined || first === second) return [];
  return [{ section, item: ORDER_ITEM, change: "changed", before: { value: first }, after: { value: second } }];
}
