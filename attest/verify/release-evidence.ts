import { type Baseline, parseBaseline } from "@secai/formats/baseline";
import { type Bundle, parseBundle } from "@secai/formats/bundle";
import { type JsonValue, parseJson } from "@secai/formats/canonical-json";
import { type Channel, parseChannel } from "@secai/formats/channel";
import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE, parseChecksums } from "@secai/formats/checksums";
import type { Sha256 } from "@secai/formats/digest";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { type Manifest, parseManifest } from "@secai/formats/manifest";
import { type OpenVex, parseOpenVex } from "@secai/formats/openvex";
import { type Provenance, parseProvenance } from "@secai/formats/provenance";
import {
  BASELINE_FILE,
  bundleOf,
  CHANNEL_FILE,
  IMAGE_SBOM_FILE,
  IMAGE_SBOM_XML_FILE,
  isSignedFile,
  MANIFEST_FILE,
  MEASUREMENTS_FILE,
  PROVENANCE_FILE,
  RELEASE_KEY_FILE,
  type Role,
  roleOf,
  signedFileOf,
  VEX_FILE,
} from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { parseStatement, parseStatementOf, type Statement } from "@secai/formats/statement";
import { parseTestResult, type TestResult } from "@secai/formats/test-result";
import { type Measurements, parseMeasurements } from "@secai/measure/measurements";
import type { Check } from "./check.ts";
import { derive, type Found } from "./found.ts";
import type { FileFact, Inventory } from "./inventory.ts";
import type { VerifyPolicy } from "./release-policy.ts";
import { establishReleaseTrust, payloadOf, type ReleaseTrust, readSigned, type SignedFile } from "./release-trust.ts";
import { type PredictedValues, predictAgain } from "./reprediction.ts";
import { type Sbom, type SbomComponent, sbomOf } from "./sbom-document.ts";
import { parseSbomXml } from "./sbom-xml.ts";

export { attempt, derive, type Found, given, when } from "./found.ts";

/** Everything the checks look at, gathered once. Parsed is not believed: each check says what it compared. */
export interface ReleaseEvidence {
  readonly inventory: Inventory;
  /** Of the files that are here. */
  readonly roles: ReadonlySet<Role>;
  /** The moment that validity is judged at, in milliseconds since 1970. */
  readonly atMs: number;
  /** Whose signatures count. */
  readonly trust: Found<ReleaseTrust>;
  /** Every file that is signed on its own, with its bundles and signers. */
  readonly signed: ReadonlyMap<string, SignedFile>;
  /** The copy in the release, trusted or not. */
  readonly ownKey: Found<PublicKey>;
  /** The statements that those who may have signed, by file; not of files that are signed as they are. */
  readonly statements: ReadonlyMap<string, Found<Statement>>;
  /** Large documents as JSON, by file: parsed once for whoever looks at them. */
  readonly documents: ReadonlyMap<string, Found<unknown>>;
  readonly checksums: Found<ReadonlyMap<string, Sha256>>;
  readonly manifest: Found<Manifest>;
  readonly channel: Found<Channel>;
  readonly provenanceStatement: Found<Statement>;
  readonly provenance: Found<Provenance>;
  readonly measurements: Found<Measurements>;
  /** What the boot files and certificates that are here predict. */
  readonly predicted: Found<PredictedValues>;
  /** SBOMs of the image and of services, by file. */
  readonly sboms: ReadonlyMap<string, Found<Sbom>>;
  readonly imageSbom: Found<Sbom>;
  readonly sbomXml: Found<readonly SbomComponent[]>;
  readonly baseline: Found<Baseline>;
  readonly vex: Found<OpenVex>;
  /** Test results by file. */
  readonly tests: ReadonlyMap<string, Found<TestResult>>;
}

export type ReleaseCheck = Check<ReleaseEvidence, VerifyPolicy>;

export function gatherEvidence(inventory: Inventory, policy: VerifyPolicy): ReleaseEvidence {
  const atMs = policy.atMs ?? Date.now();
  const read = <T>(name: string, parse: (bytes: Buffer) => T) => derive(bytesOf(inventory, name), parse);
  const readAll = <T>(roles: readonly Role[], parse: (bytes: Buffer) => T) =>
    new Map([...inventory.files.keys()].filter((name) => roles.includes(roleOf(name))).map((name) => [name, read(name, parse)]));
  const ownKey = read(RELEASE_KEY_FILE, parsePublicKey);
  const channel = read(CHANNEL_FILE, parseChannel);
  const trust = establishReleaseTrust(inventory, policy, channel, ownKey, atMs);
  const parsed = new Map(bundleNames(inventory).map((name) => [name, read(name, parseBundle)] as const));
  const provenanceStatement = read(PROVENANCE_FILE, parseStatement);
  const sbomDocuments = readAll(
    ["image-sbom", "service-sbom", "extension-sbom"],
    (bytes): JsonValue => parseJson(bytes, MAX_PAYLOAD_BYTES),
  );
  const sboms = new Map([...sbomDocuments].map(([name, document]) => [name, derive(document, sbomOf)] as const));
  const baseline = read(BASELINE_FILE, parseBaseline);
  const measurements = read(MEASUREMENTS_FILE, parseMeasurements);
  const signed = signedFiles(inventory, parsed, trust);
  return {
    inventory,
    roles: rolesIn(inventory),
    atMs,
    trust,
    signed,
    statements: new Map(
      [...signed].flatMap(([file, one]) =>
        statementOf(file) === undefined ? [] : [[file, statementFound(file, payloadOf(one), inventory, baseline)] as const],
      ),
    ),
    documents: new Map<string, Found<unknown>>([...sbomDocuments, [BASELINE_FILE, baseline]]),
    ownKey,
    channel,
    checksums: read(CHECKSUMS_FILE, parseChecksums),
    manifest: read(MANIFEST_FILE, parseManifest),
    provenanceStatement,
    provenance: derive(provenanceStatement, parseProvenance),
    measurements,
    predicted: predictAgain(measurements, (name) => bytesOf(inventory, name)),
    sboms,
    sbomXml: read(IMAGE_SBOM_XML_FILE, parseSbomXml),
    imageSbom: sboms.get(IMAGE_SBOM_FILE) ?? missing(IMAGE_SBOM_FILE),
    baseline,
    vex: read(VEX_FILE, parseOpenVex),
    tests: readAll(["test-result"], parseTestResult),
  };
}

/** The baseline is by far the longest statement, and most of it is the file beside it, which has been parsed. */
function statementFound(file: string, payload: Found<Buffer>, { files }: Inventory, baseline: Found<Baseline>): Found<Statement> {
  const bytes = files.get(file)?.bytes;
  if (file !== BASELINE_FILE || bytes === undefined || baseline.state !== "found") return derive(payload, parseStatement);
  const { value } = baseline;
  return derive(payload, (signed) => parseStatementOf(signed, { bytes, value }));
}

/** The same evidence over an inventory that has more files: such as are only hashed, and none of them parsed. */
export function withInventory(evidence: ReleaseEvidence, inventory: Inventory): ReleaseEvidence {
  return { ...evidence, inventory, roles: rolesIn(inventory) };
}

const rolesIn = ({ files }: Inventory) => new Set([...files.keys()].map(roleOf));

/** Bundles that are there, and those that must be. */
function bundleNames({ files }: Inventory): readonly string[] {
  const wanted = [...files.keys()].filter(isSignedFile).map(bundleOf);
  const there = [...files.keys()].filter((name) => roleOf(name) === "bundle" || roleOf(name) === "checksums-bundle");
  return [...new Set([CHECKSUMS_BUNDLE, ...wanted, ...there])];
}

function signedFiles(
  inventory: Inventory,
  parsed: ReadonlyMap<string, Found<Bundle>>,
  trust: Found<ReleaseTrust>,
): ReadonlyMap<string, SignedFile> {
  const names = new Set([...parsed.keys()].map((bundle) => signedFileOf(bundle) ?? bundle));
  const message = (file: string) => (file === CHECKSUMS_FILE ? (inventory.files.get(file)?.bytes ?? Buffer.alloc(0)) : undefined);
  return new Map([...names].map((file) => [file, readSigned(file, parsed, trust, message(file))]));
}

const missing = (name: string) => ({ state: "absent", code: "FILE_MISSING", detail: name }) as const;

export function bytesOf({ files }: Inventory, name: string): Found<Buffer> {
  const bytes = files.get(name)?.bytes;
  return bytes === undefined ? missing(name) : { state: "found", value: bytes };
}

export function fileOf(evidence: ReleaseEvidence, name: string): Found<FileFact> {
  const file = evidence.inventory.files.get(name);
  return file === undefined ? missing(name) : { state: "found", value: file };
}

/** What those who may sign a file have signed, or why nothing of it counts. */
export function payloadIn({ signed }: ReleaseEvidence, file: string): Found<Buffer> {
  const found = signed.get(file);
  return found === undefined ? { state: "absent", code: "BUNDLE_MISSING", detail: file } : payloadOf(found);
}

/** The statement in what they signed. */
export function statementIn({ statements }: ReleaseEvidence, file: string): Found<Statement> {
  return statements.get(file) ?? { state: "absent", code: "BUNDLE_MISSING", detail: file };
}
