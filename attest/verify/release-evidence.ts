import { type Baseline, parseBaseline } from "@secai/formats/baseline";
import { type Bundle, parseBundle } from "@secai/formats/bundle";
import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE, parseChecksums } from "@secai/formats/checksums";
import type { Sha256 } from "@secai/formats/digest";
import { hintOf, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { type Manifest, parseManifest } from "@secai/formats/manifest";
import { type OpenVex, parseOpenVex } from "@secai/formats/openvex";
import { type Provenance, parseProvenance } from "@secai/formats/provenance";
import {
  BASELINE_FILE,
  bundleOf,
  IMAGE_SBOM_FILE,
  isSignedFile,
  MANIFEST_FILE,
  MEASUREMENTS_FILE,
  PROVENANCE_FILE,
  RELEASE_KEY_FILE,
  type Role,
  roleOf,
  VEX_FILE,
} from "@secai/formats/release-layout";
import { parseStatement, type Statement } from "@secai/formats/statement";
import { parseTestResult, type TestResult } from "@secai/formats/test-result";
import { type Measurements, parseMeasurements } from "@secai/measure/measurements";
import type { Check } from "./check.ts";
import { derive, type Found } from "./found.ts";
import type { FileFact, Inventory } from "./inventory.ts";
import type { VerifyPolicy } from "./release-policy.ts";
import { parseSbom, type Sbom } from "./sbom-document.ts";
import { bundlesByFile, type CheckedBundles, checkBundle } from "./signed-files.ts";

export { attempt, derive, type Found, given, when } from "./found.ts";

/** Everything the checks look at, gathered once. Parsed is not believed: each check says what it compared. */
export interface ReleaseEvidence {
  readonly inventory: Inventory;
  /** The moment that validity is judged at, in milliseconds since 1970. */
  readonly atMs: number;
  /** The trusted key under which every signature must hold. */
  readonly key: Found<PublicKey>;
  /** The copy in the release, trusted or not. */
  readonly ownKey: Found<PublicKey>;
  readonly checksums: Found<ReadonlyMap<string, Sha256>>;
  readonly manifest: Found<Manifest>;
  /** Bundles by signed file; a signed file without any has an empty list. */
  readonly bundles: ReadonlyMap<string, CheckedBundles>;
  readonly provenanceStatement: Found<Statement>;
  readonly provenance: Found<Provenance>;
  readonly measurements: Found<Measurements>;
  /** SBOMs of the image and of services, by file. */
  readonly sboms: ReadonlyMap<string, Found<Sbom>>;
  readonly imageSbom: Found<Sbom>;
  readonly baseline: Found<Baseline>;
  readonly vex: Found<OpenVex>;
  /** Test results by file. */
  readonly tests: ReadonlyMap<string, Found<TestResult>>;
}

export type ReleaseCheck = Check<ReleaseEvidence, VerifyPolicy>;

export function gatherEvidence(inventory: Inventory, policy: VerifyPolicy): ReleaseEvidence {
  const read = <T>(name: string, parse: (bytes: Buffer) => T) => derive(bytesOf(inventory, name), parse);
  const readAll = <T>(roles: readonly Role[], parse: (bytes: Buffer) => T) =>
    new Map([...inventory.files.keys()].filter((name) => roles.includes(roleOf(name))).map((name) => [name, read(name, parse)]));
  const parsed = new Map(bundleNames(inventory).map((name) => [name, read(name, parseBundle)] as const));
  const ownKey = read(RELEASE_KEY_FILE, parsePublicKey);
  const key = chooseKey(policy, ownKey, parsed.get(CHECKSUMS_BUNDLE));
  const provenanceStatement = read(PROVENANCE_FILE, parseStatement);
  const sboms = readAll(["image-sbom", "service-sbom"], parseSbom);
  return {
    inventory,
    atMs: policy.atMs ?? Date.now(),
    key,
    ownKey,
    checksums: read(CHECKSUMS_FILE, parseChecksums),
    manifest: read(MANIFEST_FILE, parseManifest),
    bundles: checkAll(inventory, parsed, key),
    provenanceStatement,
    provenance: derive(provenanceStatement, parseProvenance),
    measurements: read(MEASUREMENTS_FILE, parseMeasurements),
    sboms,
    imageSbom: sboms.get(IMAGE_SBOM_FILE) ?? missing(IMAGE_SBOM_FILE),
    baseline: read(BASELINE_FILE, parseBaseline),
    vex: read(VEX_FILE, parseOpenVex),
    tests: readAll(["test-result"], parseTestResult),
  };
}

/** Bundles that are there, and those that must be. */
function bundleNames({ files }: Inventory): readonly string[] {
  const wanted = [...files.keys()].filter(isSignedFile).map(bundleOf);
  const there = [...files.keys()].filter((name) => roleOf(name) === "bundle" || roleOf(name) === "checksums-bundle");
  return [...new Set([CHECKSUMS_BUNDLE, ...wanted, ...there])];
}

function checkAll(
  inventory: Inventory,
  parsed: ReadonlyMap<string, Found<Bundle>>,
  key: Found<PublicKey>,
): ReadonlyMap<string, CheckedBundles> {
  const keys = derive(key, (one) => [one]);
  return new Map(
    [...bundlesByFile(parsed.keys())].map(([file, names]) => {
      const message = file === CHECKSUMS_FILE ? bytesOf(inventory, file) : undefined;
      return [file, names.map((name) => checkBundle(name, parsed.get(name) ?? missing(name), keys, message))] as const;
    }),
  );
}

const missing = (name: string) => ({ state: "absent", code: "FILE_MISSING", detail: name }) as const;

function bytesOf({ files }: Inventory, name: string): Found<Buffer> {
  const bytes = files.get(name)?.bytes;
  return bytes === undefined ? missing(name) : { state: "found", value: bytes };
}

/**
 * A key that the caller trusts: given whole, or the release's own copy when the caller named its fingerprint. Of several, the one the
 * checksums claim to be signed with; the claim decides nothing but which trusted key is tried.
 */
function chooseKey(policy: VerifyPolicy, ownKey: Found<PublicKey>, sums: Found<Bundle> | undefined): Found<PublicKey> {
  const own = ownKey.state === "found" && policy.fingerprints.includes(ownKey.value.fingerprint) ? [ownKey.value] : [];
  const trusted = [...policy.keys, ...own];
  const hint = sums?.state === "found" ? sums.value.keyHint : undefined;
  const value = trusted.find((key) => hintOf(key) === hint) ?? trusted[0];
  if (value !== undefined) return { state: "found", value };
  return { state: "absent", code: "KEY_UNAVAILABLE", detail: `no key with a trusted fingerprint in ${RELEASE_KEY_FILE}` };
}

export function fileOf(evidence: ReleaseEvidence, name: string): Found<FileFact> {
  const file = evidence.inventory.files.get(name);
  return file === undefined ? missing(name) : { state: "found", value: file };
}

/** What trusted keys signed of a file: the payload of the first bundle that counts, else why the first does not. */
export function payloadIn({ bundles }: ReleaseEvidence, file: string): Found<Buffer> {
  const checked = bundles.get(file) ?? [];
  const counted = checked.find(({ payload }) => payload.state === "found") ?? checked[0];
  if (counted === undefined || counted.bundle.state === "absent")
    return { state: "absent", code: "BUNDLE_MISSING", detail: `no bundle of ${file}` };
  return counted.payload;
}
