import { integer, list, literal, object, type Shape, table, text } from "@secai/formats/shape";
import type { Comparison, DiffRow } from "./compare.ts";
import { sections } from "./facts.ts";

/** Bumped when a member changes its meaning; members may be added without. */
export const DIFF_SCHEMA = 1;

export interface Side {
  readonly dir: string;
  readonly recipe: string;
  readonly version: string;
  readonly imageDigest: string;
}

export interface DiffReport extends Comparison {
  readonly schema: typeof DIFF_SCHEMA;
  /** False when the caller asked to compare without verifying: then nothing here is vouched for by anybody. */
  readonly verified: boolean;
  readonly a: Side;
  readonly b: Side;
  readonly counts: Readonly<Record<DiffRow["change"], number>>;
}

export function buildDiffReport(input: Comparison & Pick<DiffReport, "verified" | "a" | "b">): DiffReport {
  const count = (wanted: DiffRow["change"]) => input.rows.filter(({ change }) => change === wanted).length;
  return {
    schema: DIFF_SCHEMA,
    ...input,
    counts: { added: count("added"), removed: count("removed"), changed: count("changed") },
  };
}

const anyText = text(/^[\s\S]*$/, 1 << 20);
const side = object({ dir: anyText, recipe: anyText, version: anyText, imageDigest: anyText });
const fields = table(/^[A-Za-z0-9 -]+$/, anyText);
const fieldsOrNull: Shape<Readonly<Record<string, string>> | null> = {
  schema: { oneOf: [{ type: "null" }, fields.schema] },
  mistake: (value, path) => (value === null ? undefined : fields.mistake(value, path)),
};

/** What --json prints; published as docs/schemas/release-diff.schema.json. */
export const diffReportShape = object({
  schema: literal(DIFF_SCHEMA),
  verified: literal(true, false),
  a: side,
  b: side,
  counts: object({ added: integer(0), removed: integer(0), changed: integer(0) }),
  notCompared: list(object({ section: literal(...sections), reason: anyText })),
  rows: list(
    object({
      section: literal(...sections),
      item: anyText,
      change: literal("added", "removed", "changed"),
      before: fieldsOrNull,
      after: fieldsOrNull,
    }),
    { max: 1_000_000 },
  ),
});
