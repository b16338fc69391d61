import { object, parseShape, type TypeOf, text } from "./shape.ts";
import { lineShape } from "./shapes.ts";

/** in-toto release v0.1: https://github.com/in-toto/attestation/blob/main/spec/predicates/release.md */
export const releasePredicateShape = object({ purl: text(/^pkg:[!-~]+$/, 1024), releaseId: lineShape });
export type ReleasePredicate = TypeOf<typeof releasePredicateShape>;

/** What a release manifest's own statement says besides its subjects. */
export function releasePredicate(recipe: string, version: string): ReleasePredicate {
  return { purl: `pkg:generic/secai-os-${recipe}@${encodeURIComponent(version)}`, releaseId: `${recipe} ${version}` };
}

/** @throws FormatError SCHEMA_MISMATCH */
export function parseReleasePredicate(predicate: unknown): ReleasePredicate {
  return parseShape(releasePredicateShape, predicate, "an in-toto release v0.1");
}
