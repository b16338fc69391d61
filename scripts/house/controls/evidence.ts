import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256, sha256File } from "@secai/formats/digest";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { bundleOf, DISK_FILE, MANIFEST_FILE } from "@secai/formats/release-layout";
import { ControlError } from "./errors.ts";
import { openReleaseStatement, openSuiteStatement, type ReleaseStatement, type SuiteStatement } from "./statements.ts";

/** Signed statements about one image, each verified with one key, and the suites' reports whose digests they name. */
export interface Evidence {
  readonly key: PublicKey;
  readonly release: ReleaseStatement;
  readonly statements: readonly SuiteStatement[];
  /** By suite. */
  readonly reports: ReadonlyMap<string, Buffer>;
  /** The bundles as they were read, by their names in the release. */
  readonly bundles: ReadonlyMap<string, Buffer>;
}

/** Names in docs/evidence. */
const KEY = "release.pub";
const RELEASE = "release";
const REPORTS = "reports";

const RESULT = /^(?<suite>[a-z0-9][a-z0-9-]{0,63})\.json(?:\.sigstore\.json)?$/;

/**
 * The signed test results in `dir`, a release directory or what was recorded of one. Nothing in it is believed that `key` did not sign, and
 * a result that nobody signed is refused, not passed over.
 * @throws ControlError CONTROL_EVIDENCE_MISSING, CONTROL_STATEMENT_UNSIGNED, CONTROL_STATEMENT_FOREIGN; FormatError SIGNATURE_INVALID and others
 */
export async function loadEvidence(dir: string, key: PublicKey): Promise<Evidence> {
  const bundles = new Map([[bundleOf(MANIFEST_FILE), await read(dir, bundleOf(MANIFEST_FILE))]]);
  const release = openReleaseStatement(bundles.get(bundleOf(MANIFEST_FILE)) ?? Buffer.alloc(0), key);
  const statements: SuiteStatement[] = [];
  for (const suite of await signedSuites(dir)) {
    const name = bundleOf(`tests/${suite}.json`);
    const bytes = await read(dir, name);
    statements.push(openSuiteStatement(bytes, key, suite, release.image));
    bundles.set(name, bytes);
  }
  return { key, release, statements, reports: new Map(), bundles };
}

async function signedSuites(dir: string): Promise<readonly string[]> {
  const entries = existsSync(join(dir, "tests")) ? await readdir(join(dir, "tests")) : [];
  const suites = entries.flatMap((name) => RESULT.exec(name)?.groups?.suite ?? []);
  const bare = suites.find((suite) => !entries.includes(bundleOf(`${suite}.json`)));
  if (bare !== undefined)
    throw new ControlError("CONTROL_STATEMENT_UNSIGNED", { expected: bundleOf(`tests/${bare}.json`), actual: "no such file" });
  if (suites.length === 0) throw missing(`${dir}: test results with signed statements`, "none");
  return [...new Set(suites)].sort();
}

async function read(dir: string, name: string): Promise<Buffer> {
  try {
    return await readFile(join(dir, name));
  } catch (cause) {
    throw missing(name, `${dir} without it`, cause);
  }
}

/** Holds the image that lies in a release directory against the signed statement. @throws ControlError CONTROL_EVIDENCE_MISSING, CONTROL_STATEMENT_FOREIGN */
export async function requireImageOf(dir: string, { release }: Evidence): Promise<void> {
  const path = join(dir, DISK_FILE);
  if (!existsSync(path)) throw missing(DISK_FILE, `${dir} without it`);
  const actual = await sha256File(path);
  if (actual !== release.image)
    throw new ControlError("CONTROL_STATEMENT_FOREIGN", { expected: `${DISK_FILE} ${release.image}`, actual });
}

/** Adds reports whose digests the statements name. @throws ControlError CONTROL_REPORT_FOREIGN */
export function withReports(evidence: Evidence, reports: readonly Buffer[]): Evidence {
  const found = reports.map((bytes): [string, Buffer] => {
    const digest = sha256(bytes);
    const statement = evidence.statements.find(({ report }) => report === digest);
    if (statement !== undefined) return [statement.suite, bytes];
    const expected = evidence.statements.map(({ suite, report }) => `${suite} ${report}`).join(" or ");
    throw new ControlError("CONTROL_REPORT_FOREIGN", { expected, actual: digest });
  });
  return { ...evidence, reports: new Map([...evidence.reports, ...found]) };
}

/**
 * What docs/evidence holds, verified again with the key that was given when it was recorded; undefined when nothing was.
 * @throws ControlError, FormatError
 */
export async function loadRecorded(folder: string): Promise<Evidence | undefined> {
  if (!existsSync(join(folder, KEY)) && !existsSync(join(folder, RELEASE))) return undefined;
  const evidence = await loadEvidence(join(folder, RELEASE), parsePublicKey(await read(folder, KEY)));
  const names = existsSync(join(folder, REPORTS)) ? await readdir(join(folder, REPORTS)) : [];
  return withReports(evidence, await Promise.all(names.map((name) => read(folder, join(REPORTS, name)))));
}

/** Puts evidence in the place of what docs/evidence held. `pem` is the public key it was verified with. */
export async function record(folder: string, { bundles, reports }: Evidence, pem: Uint8Array): Promise<void> {
  for (const name of [KEY, RELEASE, REPORTS]) await rm(join(folder, name), { recursive: true, force: true });
  const files = [
    [KEY, pem] as const,
    ...[...bundles].map(([name, bytes]) => [join(RELEASE, name), bytes] as const),
    ...[...reports].map(([suite, bytes]) => [join(REPORTS, `${suite}.json`), bytes] as const),
  ];
  for (const [name, bytes] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
}

const missing = (expected: string, actual: string, cause?: unknown) =>
  new ControlError("CONTROL_EVIDENCE_MISSING", { expected, actual, cause });
