import type { Designation } from "@secai/formats/designation";
import type { Manifest } from "@secai/formats/manifest";
import type { Provenance } from "@secai/formats/provenance";
import { MEDIA, mediumOf } from "@secai/formats/release-layout";
import type { TestResult } from "@secai/formats/test-result";
import type { Report } from "@secai/verify/report";

/** Suites that must have passed over the very image before a release is for everybody. */
export const STABLE_SUITES = ["acceptance", "adversarial"] as const;

/** Why a release is not ready: a stable code and one line. */
export interface Obstacle {
  readonly code:
    | "NOT_ACCEPTED"
    | "BUILT_FOR_DEVELOPMENT"
    | "SOURCES_UNCOMMITTED"
    | "LOCK_DRIFTED"
    | "MEDIUM_UNDECLARED"
    | "TESTS_MISSING"
    | "TESTS_NOT_PASSED"
    | "DESIGNATION_BACKWARDS";
  readonly detail: string;
}

export interface Readiness {
  readonly report: Report;
  readonly manifest: Manifest;
  readonly provenance: Provenance;
  readonly tests: readonly TestResult[];
}

const order: readonly Designation[] = ["dev", "candidate", "stable"];

/** What stands between a release and a designation; empty when nothing does. Pure. */
export function obstaclesTo(target: Designation, { report, manifest, provenance, tests }: Readiness): readonly Obstacle[] {
  const found: Obstacle[] = [];
  const add = (code: Obstacle["code"], detail: string) => found.push({ code, detail });
  if (report.verdict !== "accepted") add("NOT_ACCEPTED", `secai verify release says ${report.verdict}`);
  if (order.indexOf(target) < order.indexOf(manifest.designation))
    add("DESIGNATION_BACKWARDS", `the release is ${manifest.designation} already`);
  if (target === "dev") return found;
  const { externalParameters, internalParameters } = provenance.buildDefinition;
  if (externalParameters.designation === "dev")
    add("BUILT_FOR_DEVELOPMENT", "the provenance says it was built for its builder alone");
  if (manifest.build.commit_sha === undefined) add("SOURCES_UNCOMMITTED", "the sources were not exactly those of a commit");
  if (internalParameters.drift.length > 0) add("LOCK_DRIFTED", `${internalParameters.drift.length} locked files were replaced`);
  for (const medium of undeclaredMedia(manifest)) add("MEDIUM_UNDECLARED", `${medium} is neither there nor declared absent`);
  if (target === "stable") for (const [code, detail] of testObstacles(tests)) add(code, detail);
  return found;
}

function undeclaredMedia({ files, absent }: Manifest): readonly string[] {
  const known = new Set([...files.map(({ name }) => mediumOf(name)), ...absent.map(({ name }) => name)]);
  return MEDIA.filter((medium) => !known.has(medium));
}

function testObstacles(tests: readonly TestResult[]): readonly (readonly ["TESTS_MISSING" | "TESTS_NOT_PASSED", string])[] {
  const suiteOf = ({ configuration }: TestResult) => configuration[0]?.annotations.suite;
  const missing = STABLE_SUITES.filter((suite) => !tests.some((test) => suiteOf(test) === suite));
  const failed = tests.filter(({ result }) => result === "FAILED");
  return [
    ...missing.map((suite) => ["TESTS_MISSING", `no result of ${suite}; add one with secai release attest`] as const),
    ...failed.map((test) => ["TESTS_NOT_PASSED", `${suiteOf(test)}: ${test.failedTests.slice(0, 3).join(", ")}`] as const),
  ];
}
