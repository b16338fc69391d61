import { parseBundle } from "@secai/formats/bundle";
import { canonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import type { PublicKey } from "@secai/formats/keys";
import { DISK_FILE, MANIFEST_FILE } from "@secai/formats/release-layout";
import { parseReleasePredicate } from "@secai/formats/release-statement";
import { verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement, type Statement } from "@secai/formats/statement";
import { parseTestResult } from "@secai/formats/test-result";
import { RELEASE_PREDICATE, TEST_RESULT_PREDICATE } from "@secai/formats/uris";
import { ControlError } from "./errors.ts";

export type CitedOutcome = "passed" | "failed" | "missing";

/** A release as its own signed statement names it. */
export interface ReleaseStatement {
  /** "debian-13 0.1.0". */
  readonly release: string;
  /** SHA-256 of disk.raw.zst. */
  readonly image: string;
  readonly digest: Sha256;
}

/** A suite's signed result. */
export interface SuiteStatement {
  readonly suite: string;
  /** SHA-256 of the statement, the bytes that are signed: it does not change when somebody else signs them, too. */
  readonly digest: Sha256;
  /** SHA-256 of disk.raw.zst. */
  readonly image: string;
  readonly accelerator: string;
  /** RFC 3339, UTC. */
  readonly finishedOn: string;
  readonly outcomes: ReadonlyMap<string, CitedOutcome>;
  /** SHA-256 of the suite's own report, which holds what the scenarios measured. */
  readonly report: string;
}

/** @throws FormatError of a bundle that `key` did not sign; ControlError CONTROL_STATEMENT_FOREIGN */
export function openReleaseStatement(bundle: Uint8Array, key: PublicKey): ReleaseStatement {
  const { digest, statement } = openStatement(bundle, key);
  requireType(statement, RELEASE_PREDICATE);
  const { releaseId } = parseReleasePredicate(statement.predicate);
  return { release: releaseId, image: subjectDigest(statement, [DISK_FILE, MANIFEST_FILE]), digest };
}

/**
 * A suite's result over `image`: signed, by its subject, and by what the run itself says.
 * @throws FormatError of a bundle that `key` did not sign or that holds no test result; ControlError CONTROL_STATEMENT_FOREIGN
 */
export function openSuiteStatement(bundle: Uint8Array, key: PublicKey, suite: string, image: string): SuiteStatement {
  const { digest, statement } = openStatement(bundle, key);
  requireType(statement, TEST_RESULT_PREDICATE);
  const result = parseTestResult(Buffer.from(`${canonicalJson(statement.predicate)}\n`));
  const [run] = result.configuration;
  if (run?.annotations.suite !== suite) throw foreign(`a result of ${suite}`, run?.annotations.suite ?? "none");
  requireImage(image, subjectDigest(statement, [DISK_FILE]), `${suite}: a statement about`);
  requireImage(image, run.annotations.imageDigest.replace(/^sha256:/, ""), `${suite}: a run over`);
  const { accelerator, finishedOn } = run.annotations;
  const having = (tests: readonly string[], outcome: CitedOutcome) => tests.map((id): [string, CitedOutcome] => [id, outcome]);
  const outcomes = new Map([
    ...having(result.passedTests, "passed"),
    ...having(result.warnedTests, "missing"),
    ...having(result.failedTests, "failed"),
  ]);
  return { suite, digest, image, accelerator, finishedOn, outcomes, report: run.digest.sha256 };
}

/** Verified first, parsed second. */
function openStatement(bytes: Uint8Array, key: PublicKey): { readonly digest: Sha256; readonly statement: Statement } {
  const bundle = parseBundle(bytes);
  if (bundle.kind !== "statement") throw foreign("a signed statement", "a signed file");
  const payload = verifyStatementBundle(bundle, key);
  return { digest: sha256(payload), statement: parseStatement(payload) };
}

function requireType({ predicateType }: Statement, expected: string): void {
  if (predicateType !== expected) throw foreign(expected, predicateType);
}

/** The digest of the first of `names`, which must be all that the statement is about. */
function subjectDigest({ subject }: Statement, names: readonly string[]): string {
  const actual = subject.map(({ name }) => name).sort();
  const first = subject.find(({ name }) => name === names[0]);
  if (first === undefined || actual.join() !== [...names].sort().join())
    throw foreign(`a statement about ${names.join(" and ")}`, actual.join(" and "));
  return first.digest.sha256;
}

function requireImage(expected: string, actual: string, what: string): void {
  if (actual !== expected) throw foreign(`${what} ${expected}`, actual);
}

const foreign = (expected: string, actual: string) => new ControlError("CONTROL_STATEMENT_FOREIGN", { expected, actual });
