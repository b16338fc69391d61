import { canonicalJson } from "./canonical-json.ts";
import { type Designation, designationShape } from "./designation.ts";
import { type Sha256, sha256 } from "./digest.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { integer, list, literal, object, parseShape, type TypeOf, table, text } from "./shape.ts";
import { lineShape, nameShape, sha256Shape, timestampShape, uriShape, versionShape } from "./shapes.ts";
import { buildStatement, type Statement, type Subject } from "./statement.ts";
import { IMAGE_BUILD_TYPE, PROVENANCE_PREDICATE } from "./uris.ts";

/** SLSA v1 ResourceDescriptor, with a digest always: what has none cannot be compared. */
export const resourceShape = object(
  {
    name: lineShape,
    digest: table(/^(sha256|sha512|gitCommit)$/, text(/^([0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})$/, 128), { min: 1 }),
  },
  { uri: uriShape, mediaType: lineShape, annotations: table(/^[a-zA-Z0-9._-]{1,64}$/, lineShape) },
);
export type Resource = TypeOf<typeof resourceShape>;

const sourceFileShape = object({ path: lineShape, sha256: sha256Shape });
const externalParametersShape = object({
  recipe: object({ name: nameShape, path: lineShape, sha256: sha256Shape }),
  lock: sourceFileShape,
  version: versionShape,
  designation: designationShape,
  /** Seconds since 1970; no timestamp in the image is later. */
  sourceDateEpoch: integer(0, 253_402_300_799),
});

/** SLSA provenance v1 of our build type: https://slsa.dev/spec/v1.0/provenance and docs/predicates/image-build.md. */
export const provenanceShape = object({
  buildDefinition: object({
    buildType: literal(IMAGE_BUILD_TYPE),
    externalParameters: externalParametersShape,
    internalParameters: object({
      engine: lineShape,
      /** Locked files that newer ones of the mirror replaced, one line each. Empty unless designated `dev`. */
      drift: list(lineShape),
    }),
    resolvedDependencies: list(resourceShape, { min: 1, max: 100_000 }),
  }),
  runDetails: object(
    {
      builder: object({ id: uriShape, version: table(/^[a-zA-Z0-9@/._-]{1,100}$/, lineShape, { min: 1 }) }),
      metadata: object({ invocationId: lineShape, startedOn: timestampShape, finishedOn: timestampShape }),
    },
    { byproducts: list(resourceShape, { max: 100_000 }) },
  ),
});
export type Provenance = TypeOf<typeof provenanceShape>;

/** What a builder knows when it has built; `buildProvenance` puts it in order. */
export interface BuildFacts {
  readonly recipe: { readonly name: string; readonly path: string; readonly sha256: Sha256 };
  readonly lock: { readonly path: string; readonly sha256: Sha256 };
  readonly version: string;
  readonly designation: Designation;
  readonly sourceDateEpoch: number;
  readonly engine: string;
  readonly drift: readonly string[];
  /** Everything the build read, besides recipe and lock, which are added here. Never something it made. */
  readonly dependencies: readonly Resource[];
  /** What it made and did not ship, e.g. step logs. */
  readonly byproducts: readonly Resource[];
  readonly builder: { readonly id: string; readonly version: Readonly<Record<string, string>> };
  readonly metadata: { readonly invocationId: string; readonly startedOn: string; readonly finishedOn: string };
  readonly subjects: readonly Subject[];
}

/** @throws FormatError SCHEMA_MISMATCH, DUPLICATE_ENTRY: facts that no reader would accept are our caller's mistake */
export function buildProvenance(facts: BuildFacts): Statement<Provenance> {
  const { recipe, lock, version, designation, sourceDateEpoch, engine, drift, builder, metadata } = facts;
  const sources = [recipe, lock].map(({ path, sha256 }): Resource => ({ name: path, digest: { sha256 } }));
  const predicate: Provenance = {
    buildDefinition: {
      buildType: IMAGE_BUILD_TYPE,
      externalParameters: { recipe, lock, version, designation, sourceDateEpoch },
      internalParameters: { engine, drift },
      resolvedDependencies: [...sources, ...facts.dependencies].toSorted(byName),
    },
    runDetails: { builder, metadata, byproducts: facts.byproducts.toSorted(byName) },
  };
  const statement = buildStatement(PROVENANCE_PREDICATE, facts.subjects, predicate);
  parseProvenance(statement);
  return statement;
}

/**
 * @throws FormatError SCHEMA_MISMATCH (also for another predicate or build type), DUPLICATE_ENTRY (a dependency named twice)
 */
export function parseProvenance(statement: Statement<unknown>): Provenance {
  if (statement.predicateType !== PROVENANCE_PREDICATE)
    throw new FormatError("SCHEMA_MISMATCH", { expected: PROVENANCE_PREDICATE, actual: statement.predicateType });
  const provenance = parseShape(provenanceShape, statement.predicate, "SLSA provenance v1 of an image build");
  requireDistinct(provenance.buildDefinition.resolvedDependencies.map(identityOf), "dependencies");
  const { startedOn, finishedOn } = provenance.runDetails.metadata;
  if (!(Date.parse(startedOn) <= Date.parse(finishedOn)))
    throw new FormatError("SCHEMA_MISMATCH", {
      expected: "a build that starts before it ends",
      actual: `${startedOn} to ${finishedOn}`,
    });
  return provenance;
}

/**
 * Digest of everything that is the same when the same things are built again: all but which run it was and when, `runDetails.metadata`.
 * Builder, step keys and the digests of outputs count.
 */
export function reproducibleDigest({ predicate, ...statement }: Statement<Provenance>): Sha256 {
  const { builder, byproducts } = predicate.runDetails;
  const { buildDefinition } = predicate;
  return sha256(canonicalJson({ ...statement, predicate: { buildDefinition, runDetails: { builder, byproducts } } }));
}

/** One dependency may be there in several places, but not twice under one name and URI. */
const identityOf = ({ name, uri }: Resource) => `${name} ${uri ?? ""}`;

function byName(a: Resource, b: Resource): number {
  const [left, right] = [identityOf(a), identityOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
