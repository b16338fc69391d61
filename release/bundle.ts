import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { buildChecksums, CHECKSUMS_BUNDLE, CHECKSUMS_FILE } from "@secai/formats/checksums";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { buildManifest, type ListedFile, type ManifestFacts, manifestBytes } from "@secai/formats/manifest";
import { parseProvenance } from "@secai/formats/provenance";
import {
  bundleOf,
  DISK_FILE,
  IMAGE_DIGEST_FILE,
  isSignedFile,
  MANIFEST_FILE,
  MEASUREMENTS_FILE,
  PROVENANCE_FILE,
  RELEASE_KEY_FILE,
} from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { statementOf } from "@secai/formats/release-statements";
import { buildStatement, parseStatement, type Statement, type Subject, subjectOf } from "@secai/formats/statement";
import { RELEASE_PREDICATE } from "@secai/formats/uris";
import { parseMeasurements } from "@secai/measure/measurements";
import { loadSigningKey, type SigningKey } from "@secai/sign/key-file";
import { signBlob, signStatement } from "@secai/sign/sign";
import { type KnownFiles, takeInventory } from "@secai/verify/inventory";
import { knownBuilders, type VerifyPolicy } from "@secai/verify/release-policy";
import type { Report } from "@secai/verify/report";
import { verifyRelease } from "@secai/verify/verify-release";
import { ReleaseError } from "./errors.ts";
import { buildInPlaceOf, placeFile, type Source } from "./place.ts";

/** Public halves that every release shows; taken from the keys directory where the build did not write them. */
const PUBLIC_KEYS = ["PK.crt", "KEK.crt", "db.crt", "pcr.pub"] as const;

export interface FinishOptions {
  /** What the build made, by name in the release. provenance.intoto.json and measurements.json are canonical JSON. */
  readonly files: Readonly<Record<string, Source>>;
  /** The release directory to make, e.g. out/debian-13/0.1.0; one that is there is replaced when all has gone well. */
  readonly out: string;
  /** Where release.key and the public halves lie. */
  readonly keysDir: string;
  /** What the build recorded about its outputs; each is compared with the bytes that ship. */
  readonly records?: Readonly<Record<string, { readonly sha256: Sha256; readonly size: number }>>;
  /** Media this release leaves out, and why. */
  readonly absent?: ManifestFacts["absent"];
  /** 40 hex digits, when the sources were exactly those of a commit. */
  readonly commitSha?: string;
  /** See `PlaceOptions.link`. */
  readonly link?: boolean;
}

export interface FinishedRelease {
  readonly dir: string;
  readonly report: Report;
  readonly files: readonly ListedFile[];
}

/**
 * Turns the outputs of a build into a release: statements signed, every file listed, the list signed, and the whole verified as a
 * stranger would before it appears at `out`. Recipe, version and designation are those of the provenance, stated once.
 *
 * Every large file is read once in all: it is hashed where it will stay (the first inventory), after it was put there and never from a
 * record, so that what is signed is what ships. The closing verification takes those digests over only while device, inode, size and
 * both times of the file are unchanged; everything small and everything written here it reads itself.
 * @throws ReleaseError, SignError, and FormatError or MeasureError for inputs that no verifier would accept
 */
export async function finishRelease(options: FinishOptions): Promise<FinishedRelease> {
  const key = await loadSigningKey(join(options.keysDir, "release.key"));
  return buildInPlaceOf(options.out, async (dir) => {
    await placeInputs(dir, options, key);
    const { files: inputs } = await takeInventory(dir);
    requireRecorded(inputs, options.records ?? {});
    const files = await addStatements(dir, inputs, key, options);
    const report = await verifyRelease(dir, ownPolicy(key), inputs);
    requireAccepted(report);
    return { dir: options.out, report: { ...report, target: options.out }, files };
  });
}

async function placeInputs(dir: string, { files, keysDir, link }: FinishOptions, key: SigningKey): Promise<void> {
  const keys = PUBLIC_KEYS.map((name): [string, Source] => [`keys/${name}`, { path: join(keysDir, name) }]);
  const all: Readonly<Record<string, Source>> = {
    ...Object.fromEntries(keys),
    ...files,
    [RELEASE_KEY_FILE]: { content: key.publicPem },
  };
  for (const [name, source] of Object.entries(all)) {
    const linking = link === true && !name.startsWith("keys/");
    await placeFile(dir, name, source, { link: linking }).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT") throw cause;
      throw new ReleaseError("RELEASE_INPUT_MISSING", { expected: name, actual: cause.message, cause });
    });
  }
}

function requireRecorded(inputs: KnownFiles, records: NonNullable<FinishOptions["records"]>): void {
  for (const [name, record] of Object.entries(records)) {
    const file = inputs.get(name);
    if (file?.sha256 !== record.sha256 || file.size !== record.size) {
      throw new ReleaseError("RELEASE_INPUT_CHANGED", {
        expected: `${name}: ${record.size} bytes, ${record.sha256}`,
        actual: file === undefined ? "no such file" : `${file.size} bytes, ${file.sha256}`,
      });
    }
  }
}

/** Writes everything that follows from the inputs, in the order in which one covers the other. */
async function addStatements(
  dir: string,
  inputs: KnownFiles,
  key: SigningKey,
  options: FinishOptions,
): Promise<readonly ListedFile[]> {
  const listed = new Map<string, ListedFile>([...inputs].map(([name, { sha256, size }]) => [name, { name, sha256, size }]));
  const add = async (name: string, content: Buffer) => {
    await writeFile(join(dir, name), content, { flag: "wx", mode: 0o644 });
    listed.set(name, { name, sha256: sha256(content), size: content.length });
  };
  const about = (names: readonly string[]) => names.map((name) => subjectOf(name, need(listed, name).sha256 as Sha256));
  if (!inputs.has(IMAGE_DIGEST_FILE)) await add(IMAGE_DIGEST_FILE, Buffer.from(`sha256:${need(inputs, DISK_FILE).sha256}\n`));
  for (const name of [...inputs.keys()].filter(isSignedFile).sort()) {
    const statement = statementAbout(name, content(inputs, name), about);
    await add(bundleOf(name), await signStatement(statement, key));
  }
  const facts = manifestFacts(inputs, [...listed.values()], key, options);
  await add(MANIFEST_FILE, manifestBytes(buildManifest(facts)));
  await add(bundleOf(MANIFEST_FILE), await signStatement(releaseStatement(facts, about), key));
  const checksums = Buffer.from(buildChecksums(new Map([...listed].map(([name, file]) => [name, file.sha256 as Sha256]))));
  await add(CHECKSUMS_FILE, checksums);
  await add(CHECKSUMS_BUNDLE, signBlob(checksums, key));
  return [...listed.values()];
}

type About = (names: readonly string[]) => readonly Subject[];

/** The statement that a file's bundles carry: the file itself, or what the file says about its subjects. */
function statementAbout(name: string, bytes: Buffer, about: About): Statement<unknown> {
  const wanted = statementOf(name);
  if (wanted?.subjects === undefined) return parseStatement(bytes);
  const predicate = parseJson(bytes, MAX_PAYLOAD_BYTES);
  return buildStatement(wanted.predicateType, about(wanted.subjects), predicate);
}

function releaseStatement({ recipe, version }: ManifestFacts, about: About): Statement<unknown> {
  return buildStatement(RELEASE_PREDICATE, about([DISK_FILE, MANIFEST_FILE]), releasePredicate(recipe, version));
}

function manifestFacts(inputs: KnownFiles, files: readonly ListedFile[], key: SigningKey, options: FinishOptions): ManifestFacts {
  const { buildDefinition, runDetails } = parseProvenance(parseStatement(content(inputs, PROVENANCE_FILE)));
  const { recipe, version, designation, sourceDateEpoch } = buildDefinition.externalParameters;
  return {
    recipe: recipe.name,
    version,
    designation,
    rootHash: parseMeasurements(content(inputs, MEASUREMENTS_FILE)).rootHash,
    builderId: runDetails.builder.id,
    sourceDateEpoch,
    ...(options.commitSha !== undefined && { commitSha: options.commitSha }),
    keyFingerprint: key.fingerprint,
    files,
    absent: options.absent ?? [],
  };
}

function need<File>(inputs: ReadonlyMap<string, File>, name: string): File {
  const file = inputs.get(name);
  if (file === undefined) throw new ReleaseError("RELEASE_INPUT_MISSING", { expected: name, actual: "no such plain file" });
  return file;
}

function content(inputs: KnownFiles, name: string): Buffer {
  const { bytes, size } = need(inputs, name);
  if (bytes === undefined)
    throw new ReleaseError("RELEASE_INPUT_MISSING", { expected: `${name} of sane size`, actual: `${size} bytes` });
  return bytes;
}

/** As strict as a stranger's, but for the designation, which is the builder's own choice. */
const ownPolicy = (key: SigningKey): VerifyPolicy => ({
  keys: [{ key: key.key, fingerprint: key.fingerprint }],
  fingerprints: [],
  designations: ["dev", "candidate", "stable"],
  builders: knownBuilders,
  without: [],
});

function requireAccepted(report: Report): void {
  if (report.verdict === "accepted") return;
  const wrong = report.checks.filter(({ status }) => status === "fail" || status === "undecided");
  const named = wrong.slice(0, 5).map((check) => `${check.id}${check.subject === undefined ? "" : `:${check.subject}`}`);
  throw new ReleaseError("RELEASE_SELF_CHECK", { expected: "every check to pass", actual: named.join(", ") || report.verdict });
}
