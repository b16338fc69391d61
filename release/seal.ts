import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { type Channel, channelBytes } from "@secai/formats/channel";
import { buildChecksums, CHECKSUMS_FILE } from "@secai/formats/checksums";
import type { Designation } from "@secai/formats/designation";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { buildManifest, type ListedFile, type ManifestFacts, manifestBytes } from "@secai/formats/manifest";
import { parseProvenance } from "@secai/formats/provenance";
import {
  bundleOf,
  CHANNEL_FILE,
  DISK_FILE,
  furtherBundleOf,
  IMAGE_DIGEST_FILE,
  isChecksummed,
  isListed,
  isSignedFile,
  MANIFEST_FILE,
  MEASUREMENTS_FILE,
  PROVENANCE_FILE,
} from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { statementOf } from "@secai/formats/release-statements";
import { buildStatement, parseStatement, type Statement, type Subject, subjectOf } from "@secai/formats/statement";
import { RELEASE_PREDICATE } from "@secai/formats/uris";
import { parseMeasurements } from "@secai/measure/measurements";
import type { SigningKey } from "@secai/sign/key-file";
import { signBlob, signStatement } from "@secai/sign/sign";
import { type KnownFiles, takeInventory } from "@secai/verify/inventory";
import { knownBuilders, type VerifyPolicy } from "@secai/verify/release-policy";
import type { Report } from "@secai/verify/report";
import { verifyRelease } from "@secai/verify/verify-release";
import { issueChannel } from "./channel/issue.ts";
import { ReleaseError } from "./errors.ts";
import type { KeySet } from "./keys/key-set.ts";
import type { Signers } from "./signers.ts";

export interface SealOptions {
  readonly signers: Signers;
  /** Where this user's keys lie: the numbers of channel files are kept there. */
  readonly keysDir: string;
  /** Default: the provenance's, what the build was allowed to do. */
  readonly designation?: Designation;
  /** 40 hex digits, when the sources were exactly those of a commit. */
  readonly commitSha?: string;
  /** Media this release leaves out, and why. */
  readonly absent?: ManifestFacts["absent"];
}

export interface Sealed {
  readonly report: Report;
  readonly files: readonly ListedFile[];
}

/**
 * Signs what has no signature yet in a directory that holds all else of a release, lists everything, signs the lists and verifies the
 * whole as a stranger would.
 *
 * Every large file is read once in all: it is hashed where it will stay, and the closing verification takes those digests over only while
 * device, inode, size and both times of the file are unchanged; everything small and everything written here it reads itself.
 * @throws ReleaseError RELEASE_INPUT_MISSING, RELEASE_SELF_CHECK; SignError; FormatError or MeasureError for inputs that no verifier would accept
 */
export async function sealRelease(dir: string, inputs: KnownFiles, options: SealOptions): Promise<Sealed> {
  const files = await addStatements(dir, inputs, options);
  const report = await verifyRelease(dir, ownPolicy(options.signers), inputs);
  requireAccepted(report);
  return { report, files };
}

/** What lies in `dir` before it is sealed. */
export async function inputsOf(dir: string): Promise<KnownFiles> {
  return (await takeInventory(dir)).files;
}

/** Writes everything that follows from the inputs, in the order in which one covers the other. */
async function addStatements(dir: string, inputs: KnownFiles, options: SealOptions): Promise<readonly ListedFile[]> {
  const { signers } = options;
  const listed = new Map<string, ListedFile>([...inputs].map(([name, { sha256, size }]) => [name, { name, sha256, size }]));
  const add = async (name: string, content: Buffer) => {
    await writeFile(join(dir, name), content, { flag: "wx", mode: 0o644 });
    listed.set(name, { name, sha256: sha256(content), size: content.length });
  };
  const about = (names: readonly string[]) => names.map((name) => subjectOf(name, need(listed, name).sha256 as Sha256));
  const addSigned = (name: string, statement: Statement<unknown>) =>
    addBundles(name, signersOf(signers, name), (key) => signStatement(statement, key), add);
  if (!inputs.has(IMAGE_DIGEST_FILE)) await add(IMAGE_DIGEST_FILE, Buffer.from(`sha256:${need(inputs, DISK_FILE).sha256}\n`));
  const channel = channelBytes(await channelOf(inputs, options));
  await add(CHANNEL_FILE, channel);
  for (const name of [...listed.keys()].filter((file) => isSignedFile(file) && !inputs.has(bundleOf(file))).sort())
    await addSigned(name, statementAbout(name, name === CHANNEL_FILE ? channel : content(inputs, name), about));
  const facts = manifestFacts(
    inputs,
    [...listed.values()].filter(({ name }) => isListed(name)),
    options,
  );
  await add(MANIFEST_FILE, manifestBytes(buildManifest(facts)));
  await addSigned(MANIFEST_FILE, releaseStatement(facts, about));
  const checksums = Buffer.from(buildChecksums(digestsOf(listed)));
  await add(CHECKSUMS_FILE, checksums);
  await addBundles(CHECKSUMS_FILE, signers.release, (key) => signBlob(checksums, key), add);
  return [...listed.values()];
}

const signersOf = (signers: Signers, name: string) =>
  statementOf(name)?.signer === "channel" ? signers.channel : signers.release;

/** A bundle by each signer: the first under the file's own name, the others with the start of their fingerprint. */
async function addBundles(
  name: string,
  signers: Signers["release"],
  sign: (key: SigningKey) => Buffer | Promise<Buffer>,
  add: (name: string, content: Buffer) => Promise<void>,
): Promise<void> {
  const [first, ...others] = signers;
  await add(bundleOf(name), await sign(first));
  for (const key of others) await add(furtherBundleOf(name, key.fingerprint.slice(0, 16)), await sign(key));
}

/** The channel file of this release. @throws ChannelError */
function channelOf(inputs: KnownFiles, { keysDir, signers, designation }: SealOptions): Promise<Channel> {
  const { buildDefinition } = parseProvenance(parseStatement(content(inputs, PROVENANCE_FILE)));
  const { recipe, version, designation: built } = buildDefinition.externalParameters;
  return issueChannel({
    keysDir,
    channel: designation ?? built,
    recipe: recipe.name,
    version,
    imageDigest: `sha256:${need(inputs, DISK_FILE).sha256}`,
    rootHash: parseMeasurements(content(inputs, MEASUREMENTS_FILE)).rootHash,
    keys: signers.keySet,
  });
}

function digestsOf(listed: ReadonlyMap<string, ListedFile>): ReadonlyMap<string, Sha256> {
  const covered = [...listed.values()].filter(({ name }) => isChecksummed(name));
  return new Map(covered.map(({ name, sha256 }) => [name, sha256 as Sha256]));
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

function manifestFacts(inputs: KnownFiles, files: readonly ListedFile[], options: SealOptions): ManifestFacts {
  const { buildDefinition, runDetails } = parseProvenance(parseStatement(content(inputs, PROVENANCE_FILE)));
  const { recipe, version, designation, sourceDateEpoch } = buildDefinition.externalParameters;
  return {
    recipe: recipe.name,
    version,
    designation: options.designation ?? designation,
    rootHash: parseMeasurements(content(inputs, MEASUREMENTS_FILE)).rootHash,
    builderId: runDetails.builder.id,
    sourceDateEpoch,
    ...(options.commitSha !== undefined && { commitSha: options.commitSha }),
    keyFingerprint: options.signers.release[0].fingerprint,
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
const ownPolicy = ({ release, keySet }: Signers): VerifyPolicy => ({
  keys: [release[0]],
  ...keyManifestOf(keySet),
  fingerprints: [],
  designations: ["dev", "candidate", "stable"],
  builders: knownBuilders,
  without: [],
});

function keyManifestOf({ links }: KeySet): { readonly keyManifest?: Buffer } {
  const current = links.at(-1);
  return current === undefined ? {} : { keyManifest: current.bytes };
}

function requireAccepted(report: Report): void {
  if (report.verdict === "accepted") return;
  const wrong = report.checks.filter(({ status }) => status === "fail" || status === "undecided");
  const named = wrong.slice(0, 5).map((check) => `${check.id}${check.subject === undefined ? "" : `:${check.subject}`}`);
  throw new ReleaseError("RELEASE_SELF_CHECK", { expected: "every check to pass", actual: named.join(", ") || report.verdict });
}
