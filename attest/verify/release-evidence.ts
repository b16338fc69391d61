import { type Bundle, parseBundle } from "@secai/formats/bundle";
import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE, parseChecksums } from "@secai/formats/checksums";
import type { Sha256 } from "@secai/formats/digest";
import { CodedError, FormatError } from "@secai/formats/errors";
import { hintOf, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { type Manifest, parseManifest } from "@secai/formats/manifest";
import { type Provenance, parseProvenance } from "@secai/formats/provenance";
import {
  bundleOf,
  isSignedFile,
  MANIFEST_FILE,
  MEASUREMENTS_FILE,
  PROVENANCE_FILE,
  RELEASE_KEY_FILE,
  signedFileOf,
} from "@secai/formats/release-layout";
import { verifyStatementBundle } from "@secai/formats/signature";
import { parseStatement, type Statement } from "@secai/formats/statement";
import { type Measurements, parseMeasurements } from "@secai/measure/measurements";
import { type Check, type CheckResult, fail, pass, undecided } from "./check.ts";
import type { FileFact, Inventory } from "./inventory.ts";
import type { VerifyPolicy } from "./release-policy.ts";

/** A part of the evidence, or why it cannot be had: `absent` when there is nothing to look at, `refused` when it is wrong in itself. */
export type Found<T> =
  | { readonly state: "found"; readonly value: T }
  | { readonly state: "absent"; readonly code: string; readonly detail: string }
  | { readonly state: "refused"; readonly code: string; readonly expected: string; readonly actual: string };

/** Everything the checks look at, gathered once. Parsed is not believed: each check says what it compared. */
export interface ReleaseEvidence {
  readonly inventory: Inventory;
  /** The trusted key under which every signature must hold. */
  readonly key: Found<PublicKey>;
  /** The copy in the release, trusted or not. */
  readonly ownKey: Found<PublicKey>;
  readonly checksums: Found<ReadonlyMap<string, Sha256>>;
  readonly manifest: Found<Manifest>;
  readonly bundles: ReadonlyMap<string, Found<Bundle>>;
  /** Payload bytes by signed file, once the signature holds under `key`. */
  readonly payloads: ReadonlyMap<string, Found<Buffer>>;
  readonly provenanceStatement: Found<Statement>;
  readonly provenance: Found<Provenance>;
  readonly measurements: Found<Measurements>;
}

export type ReleaseCheck = Check<ReleaseEvidence, VerifyPolicy>;

export function gatherEvidence(inventory: Inventory, policy: VerifyPolicy): ReleaseEvidence {
  const read = <T>(name: string, parse: (bytes: Buffer) => T) => derive(bytesOf(inventory, name), parse);
  const signed = [...inventory.files.keys()].filter(isSignedFile);
  const further = [...inventory.files.keys()].filter((name) => signedFileOf(name) !== undefined);
  const bundleNames = new Set([CHECKSUMS_BUNDLE, ...signed.map(bundleOf), ...further]);
  const bundles = new Map([...bundleNames].map((name) => [name, read(name, parseBundle)] as const));
  const ownKey = read(RELEASE_KEY_FILE, parsePublicKey);
  const key = chooseKey(policy, ownKey, bundles.get(CHECKSUMS_BUNDLE));
  const provenanceStatement = read(PROVENANCE_FILE, parseStatement);
  return {
    inventory,
    key,
    ownKey,
    checksums: read(CHECKSUMS_FILE, parseChecksums),
    manifest: read(MANIFEST_FILE, parseManifest),
    bundles,
    payloads: new Map(signed.map((name) => [name, payloadOf(bundles.get(bundleOf(name)), key)] as const)),
    provenanceStatement,
    provenance: derive(provenanceStatement, parseProvenance),
    measurements: read(MEASUREMENTS_FILE, parseMeasurements),
  };
}

function bytesOf({ files }: Inventory, name: string): Found<Buffer> {
  const bytes = files.get(name)?.bytes;
  return bytes === undefined ? { state: "absent", code: "FILE_MISSING", detail: name } : { state: "found", value: bytes };
}

/**
 * `parse` applied to what was found; an error of ours becomes a refusal, any other is a bug and goes up. (Not named `then`: a module
 * that exports `then` is taken for a promise by `await import()`, which never settles.)
 */
export function derive<T, U>(found: Found<T>, parse: (value: T) => U): Found<U> {
  if (found.state !== "found") return found;
  try {
    return { state: "found", value: parse(found.value) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { state: "refused", code: error.code, expected: error.expected ?? "-", actual: error.actual ?? "-" };
  }
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

function payloadOf(bundle: Found<Bundle> | undefined, key: Found<PublicKey>): Found<Buffer> {
  if (bundle === undefined || bundle.state === "absent") return { state: "absent", code: "BUNDLE_MISSING", detail: "no bundle" };
  if (key.state !== "found") return key;
  return derive(bundle, (signed): Buffer => {
    if (signed.kind === "statement") return verifyStatementBundle(signed, key.value);
    throw new FormatError("SIGNATURE_INVALID", { expected: "a signed statement", actual: "a signed file" });
  });
}

/** The result of a check that needs `found`: what was refused fails it, what is absent leaves it undecided. */
export function when<T>(found: Found<T>, check: (value: T) => CheckResult): CheckResult {
  switch (found.state) {
    case "found":
      return check(found.value);
    case "absent":
      return undecided(found.code, found.detail);
    case "refused":
      return fail(found.code, found.expected, found.actual);
  }
}

/** Like `when`, for a check whose subject is something else: what another check refuses is for this one only missing. */
export function given<T>(found: Found<T>, what: string, check: (value: T) => CheckResult): CheckResult {
  return found.state === "found" ? check(found.value) : undecided("EVIDENCE_UNUSABLE", `${what} cannot be used`);
}

export function fileOf(evidence: ReleaseEvidence, name: string): Found<FileFact> {
  const file = evidence.inventory.files.get(name);
  return file === undefined ? { state: "absent", code: "FILE_MISSING", detail: name } : { state: "found", value: file };
}

/** Passes when `verify` returns, fails with the code of our error when it throws one. */
export function attempt(verify: () => void): CheckResult {
  return when(derive({ state: "found", value: undefined }, verify), () => pass);
}

export function bundleIn(evidence: ReleaseEvidence, name: string): Found<Bundle> {
  return evidence.bundles.get(name) ?? { state: "absent", code: "FILE_MISSING", detail: name };
}

export function payloadIn(evidence: ReleaseEvidence, name: string): Found<Buffer> {
  return evidence.payloads.get(name) ?? { state: "absent", code: "BUNDLE_MISSING", detail: name };
}
