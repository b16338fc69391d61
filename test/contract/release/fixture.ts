import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { parsePublicKey } from "@secai/formats/keys";
import { type BuildFacts, buildProvenance } from "@secai/formats/provenance";
import { mediumOf } from "@secai/formats/release-layout";
import { statementBytes, subjectOf } from "@secai/formats/statement";
import { LOCAL_BUILDER_ID } from "@secai/formats/uris";
import { type FinishedRelease, type FinishOptions, finishRelease } from "@secai/release/bundle";
import { knownBuilders, type VerifyPolicy } from "@secai/verify/release-policy";
import {
  BASH,
  baselineFacts,
  baselineOf,
  bootLoaderOf,
  ENGINE,
  imageSbom,
  imageSbomXml,
  keylimeOf,
  measurementsOf,
  POLICY_ENGINE,
  secureBootKey,
  serviceSbom,
  testResultOf,
  ukiOf,
  vexCycloneDx,
  vexOf,
} from "./contents.ts";
import { isoOf, ociOf, ovaOf } from "./media.ts";

/** A directory that is gone when the test is. */
export function temporaryDirectory(): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), "secai-release-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Slow to make, so that all directories of a test file share it. */
const PCR_KEY = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ type: "spki", format: "pem" });

/** Real throwaway keys: the cryptography of these tests is the cryptography of a release. */
export function makeKeys(dir: string): VerifyPolicy {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = publicKey.export({ type: "spki", format: "pem" });
  writeFileSync(join(dir, "release.key"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  writeFileSync(join(dir, "release.pub"), pem, { mode: 0o600 });
  for (const name of ["PK", "KEK", "db"] as const) writeFileSync(join(dir, `${name}.crt`), secureBootKey(name));
  writeFileSync(join(dir, "pcr.pub"), PCR_KEY);
  return policyFor([parsePublicKey(Buffer.from(pem))]);
}

export function policyFor(keys: VerifyPolicy["keys"]): VerifyPolicy {
  return { keys, fingerprints: [], designations: ["dev"], builders: knownBuilders, without: [] };
}

export interface FixtureChanges {
  readonly facts?: Partial<BuildFacts>;
  readonly measurements?: Readonly<Record<string, unknown>>;
  readonly files?: Readonly<Record<string, { readonly content: string | Uint8Array } | undefined>>;
  /** Sources that stand in for the contents above, e.g. files to link. */
  readonly sources?: FinishOptions["files"];
  readonly options?: Partial<FinishOptions>;
}

/** The kernel's command line: the root hash and what the fixture's recipe adds. */
const KERNEL_ARGUMENTS = ["quiet"] as const;
const DISK = "a compressed disk\n";
const IMAGE_DIGEST = `sha256:${sha256(DISK)}`;
type Contents = Record<string, { readonly content: string | Uint8Array }>;

/** A complete release with small contents, made by the code that makes real ones. */
export async function makeRelease(out: string, keysDir: string, changes: FixtureChanges = {}): Promise<FinishedRelease> {
  const { commandLine, ...measured } = changes.measurements ?? {};
  const rootHash = (measured.rootHash ?? sha256("root")) as Sha256;
  const version = changes.facts?.version ?? factsOf().version;
  const booted = String(commandLine ?? [`roothash=${rootHash}`, ...KERNEL_ARGUMENTS].join(" "));
  const files = { ...changed(smallContents(version, rootHash, booted), changes) };
  const kernel = files["uki.efi"]?.content;
  // A text in place of a kernel image is one of that mark: what boots must be a program of the real format.
  if (typeof kernel === "string") files["uki.efi"] = { content: ukiOf(booted, kernel) };
  files["measurements.json"] ??= { content: measurementsIn(files, rootHash, changes) };
  files["keylime/measured-boot.json"] ??= { content: keylimeOf(Buffer.from(files["measurements.json"].content)) };
  const subjects = Object.entries(files)
    .filter(([name]) => !MADE_LATER.test(name))
    .map(([name, { content }]) => subjectOf(name, sha256(content)));
  files["provenance.intoto.json"] ??= {
    content: statementBytes(buildProvenance({ ...factsOf(), subjects, ...changes.facts })).toString(),
  };
  return finishRelease({ files: { ...files, ...changes.sources }, out, keysDir, ...changes.options });
}

/** What is made of a build's outputs, not by the build. */
const MADE_LATER = /^(tests|oci|keylime)\/|\.(ova|iso)$/;

/** Results of the suites over the fixture's image, which a release has once they were run. */
export const suiteResults: Contents = Object.fromEntries(
  ["acceptance", "adversarial"].map((suite) => [`tests/${suite}.json`, { content: testResultOf(suite, IMAGE_DIGEST) }]),
);

function changed(contents: Contents, { files = {}, options }: FixtureChanges): Contents {
  const absent = options?.absent?.map(({ name }) => name) ?? [];
  const built = Object.entries(contents).filter(([name]) => !absent.includes(mediumOf(name) ?? ""));
  const merged = Object.entries({ ...Object.fromEntries(built), ...files }).filter(([, source]) => source !== undefined);
  return Object.fromEntries(merged) as Contents;
}

function smallContents(version: string, rootHash: Sha256, commandLine: string): Contents {
  const [, ...kernelArguments] = commandLine.split(" ");
  return {
    "disk.raw.zst": { content: DISK },
    "disk.qcow2": { content: "the same disk for a virtual machine\n" },
    "disk.ova": { content: ovaOf(IMAGE_DIGEST) },
    "installer.iso": { content: isoOf(`${IMAGE_DIGEST}\n`) },
    ...ociOf(IMAGE_DIGEST),
    "uki.efi": { content: ukiOf(commandLine) },
    "bootx64.efi": { content: bootLoaderOf() },
    ROOT_HASH: { content: `${rootHash}\n` },
    [POLICY_ENGINE]: { content: ENGINE },
    "baseline.json": { content: baselineOf(baselineFacts(rootHash, kernelArguments, sha256(ENGINE))) },
    "sbom/image.cdx.json": { content: imageSbom },
    "sbom/image.cdx.xml": { content: imageSbomXml },
    "sbom/policy-engine.cdx.json": { content: serviceSbom("policy-engine", ENGINE) },
    "vex/openvex.json": { content: vexOf(version) },
    "vex/vex.cdx.json": { content: vexCycloneDx },
  };
}

/** Predicted of the boot files, as a build does; a member of `changes.measurements` stands in for the predicted one. */
function measurementsIn(files: Contents, rootHash: Sha256, { measurements = {} }: FixtureChanges): string {
  const bytes = (name: string) => Buffer.from(files[name]?.content ?? bootLoaderOf());
  const uki = files["uki.efi"] === undefined ? ukiOf(`roothash=${rootHash}`) : bytes("uki.efi");
  return `${canonicalJson({ ...measurementsOf(uki, bytes("bootx64.efi"), rootHash), ...measurements })}\n`;
}

export function factsOf(): BuildFacts {
  return {
    recipe: { name: "debian-13", path: "recipes/debian-13.yaml", sha256: sha256("recipe") },
    lock: { path: "recipes/locks/debian-13.lock.json", sha256: sha256("lock") },
    version: "0.1.0",
    designation: "dev",
    sourceDateEpoch: 1_760_000_000,
    engine: "local",
    drift: [],
    dependencies: [{ name: "bash", uri: `pkg:deb/debian/bash@${BASH.version}`, digest: { sha256: BASH.sha256 } }],
    byproducts: [{ name: "log/uki", digest: { sha256: sha256("log") } }],
    builder: { id: LOCAL_BUILDER_ID, version: { secai: "0.1.0" } },
    metadata: { invocationId: "1", startedOn: "2026-01-01T00:00:00Z", finishedOn: "2026-01-01T00:01:00Z" },
    subjects: [subjectOf("disk.raw.zst", sha256("disk"))],
  };
}
