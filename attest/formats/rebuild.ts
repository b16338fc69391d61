import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { fileNameShape } from "./file-name.ts";
import { list, literal, object, parseShape, type TypeOf } from "./shape.ts";
import { lineShape, sha256Shape, timestampShape, uriShape, versionShape } from "./shapes.ts";

const differenceShape = object(
  { name: fileNameShape, expected: sha256Shape },
  {
    /** What the rebuild made; absent: it made no such file. */
    actual: sha256Shape,
    /** Why that is no sign of other sources; absent: nobody knows. */
    reason: lineShape,
  },
);

/** What somebody found who built a release again; docs/predicates/rebuild.md. */
export const rebuildShape = object({
  verdict: literal("match", "explained", "differs"),
  recipe: lineShape,
  version: versionShape,
  /** Digest of the RELEASE_MANIFEST.json of the release that was rebuilt. */
  manifest: object({ sha256: sha256Shape }),
  builder: object({ id: uriShape }),
  /** `reproducibleDigest` of the release's provenance and of the rebuild's: alike when commit, inputs and step outputs are, too. */
  provenance: object({ expected: sha256Shape, actual: sha256Shape }),
  /** Files that were compared and are the same, by name. */
  same: list(fileNameShape),
  differing: list(differenceShape),
  startedOn: timestampShape,
  finishedOn: timestampShape,
});
export type Rebuild = TypeOf<typeof rebuildShape>;
export type Difference = Rebuild["differing"][number];

/** `match` without a difference, `explained` when each has a reason. */
export function rebuildVerdict(differing: readonly Difference[]): Rebuild["verdict"] {
  if (differing.length === 0) return "match";
  return differing.every(({ reason }) => reason !== undefined) ? "explained" : "differs";
}

/** @throws FormatError SCHEMA_MISMATCH (also: a verdict that does not follow from the list), DUPLICATE_ENTRY */
export function parseRebuild(predicate: unknown): Rebuild {
  const rebuild = parseShape(rebuildShape, predicate, "a rebuild verdict");
  requireDistinct([...rebuild.same, ...rebuild.differing.map(({ name }) => name)], "files");
  const expected = rebuildVerdict(rebuild.differing);
  if (rebuild.verdict !== expected || rebuild.same.length + rebuild.differing.length === 0)
    throw new FormatError("SCHEMA_MISMATCH", { expected: `${expected}, of at least one file`, actual: rebuild.verdict });
  return rebuild;
}
