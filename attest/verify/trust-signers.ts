import type { Bundle } from "@secai/formats/bundle";
import { CodedError, FormatError } from "@secai/formats/errors";
import { instantMs } from "@secai/formats/instant";
import type { KeyManifest, KeyRole, SignatureMode, SigningRole } from "@secai/formats/key-manifest";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { verifyMessageBundle, verifyStatementBundle } from "@secai/formats/signature";
import { type Refusal, refusal } from "./trust-codes.ts";

/** Whose signatures count for a role at a moment, and how many are needed. */
export interface RoleKeys {
  readonly role: SigningRole;
  readonly threshold: number;
  readonly signatures: SignatureMode;
  /** Of every key that the manifest knows or has revoked, by the hint in a bundle: the key, or why it does not count. */
  readonly standing: ReadonlyMap<string, PublicKey | Refusal>;
}

/**
 * The keys of a role as a trusted manifest has them.
 * @param atMs the moment of signing, in milliseconds since 1970
 * @param asked the caller's rule for signature kinds: it can tighten the manifest's, never loosen it
 */
export function rolesOf(manifest: KeyManifest, role: SigningRole, atMs: number, asked: SignatureMode = "any"): RoleKeys {
  const standing = new Map<string, PublicKey | Refusal>();
  for (const [fingerprint, { algorithm }] of Object.entries(manifest.keys)) {
    const wanted = manifest.roles[role].keys.includes(fingerprint);
    const refused = wanted ? windowRefusal(manifest, fingerprint, atMs) : wrongRole(manifest, role, fingerprint, algorithm);
    standing.set(
      hintOfFingerprint(fingerprint),
      refused ?? parsePublicKey(Buffer.from(manifest.keys[fingerprint]?.publicKey ?? "")),
    );
  }
  for (const { fingerprint, at, reason } of manifest.revoked)
    standing.set(
      hintOfFingerprint(fingerprint),
      refusal("KEY_REVOKED", `a key of role ${role}`, `${fingerprint}, revoked ${at}: ${reason}`),
    );
  return { role, threshold: manifest.roles[role].threshold, signatures: stricter(manifest.signatures, asked), standing };
}

const hintOfFingerprint = (fingerprint: string): string => Buffer.from(fingerprint, "hex").toString("base64");

const strictness: readonly SignatureMode[] = ["any", "classical", "hybrid"];
const stricter = (one: SignatureMode, other: SignatureMode): SignatureMode =>
  strictness.indexOf(one) > strictness.indexOf(other) ? one : other;

/** Why a key does not count at `atMs`, or undefined when it does. Both ends of its window belong to it. */
export function windowRefusal(manifest: KeyManifest, fingerprint: string, atMs: number): Refusal | undefined {
  const key = manifest.keys[fingerprint];
  if (key === undefined) return refusal("KEY_UNTRUSTED", "a key of the manifest", fingerprint);
  const at = `${fingerprint} at ${new Date(atMs).toISOString()}`;
  if (atMs < instantMs(key.validFrom)) return refusal("KEY_NOT_YET_VALID", `a key valid from ${key.validFrom}`, at);
  if (atMs > instantMs(key.validUntil)) return refusal("KEY_EXPIRED", `a key valid until ${key.validUntil}`, at);
  return undefined;
}

function wrongRole({ roles }: KeyManifest, role: SigningRole, fingerprint: string, algorithm: string): Refusal {
  const others = (Object.keys(roles) as KeyRole[]).filter((one) => roles[one].keys.includes(fingerprint));
  return refusal("KEY_ROLE", `a key of role ${role}`, `${algorithm} key ${fingerprint} of ${others.join(", ")}`);
}

export interface NamedBundle {
  readonly name: string;
  readonly bundle: Bundle;
}

/** A key that signed, and the bundle in which it did. */
export interface Signer {
  readonly bundle: string;
  readonly key: PublicKey;
}

export interface Signers {
  /** Distinct keys of the role whose signature holds, in the order of the bundles. */
  readonly counted: readonly Signer[];
  readonly uncounted: readonly (Refusal & { readonly bundle: string })[];
  /** What every counted signer signed; undefined without one. */
  readonly payload: Buffer | undefined;
}

/**
 * Who of `keys` signed, and why every other bundle does not count.
 * @param message the bytes of the signed file; undefined where the bundles carry a statement
 */
export function signersOf(bundles: readonly NamedBundle[], keys: RoleKeys, message?: Uint8Array): Signers {
  const counted: Signer[] = [];
  const uncounted: (Refusal & { readonly bundle: string })[] = [];
  let payload: Buffer | undefined;
  for (const { name, bundle } of bundles) {
    const found = signerOf(bundle, keys, message);
    const judged = "code" in found ? found : (conflict(found, counted, payload) ?? found);
    if ("code" in judged) {
      uncounted.push({ bundle: name, ...judged });
    } else {
      counted.push({ bundle: name, key: judged.key });
      payload ??= judged.payload;
    }
  }
  return { counted, uncounted, payload };
}

interface Verified {
  readonly key: PublicKey;
  readonly payload: Buffer;
}

/** The hint is only a claim: it chooses the key that is tried, and the signature decides. */
function signerOf(bundle: Bundle, { standing, role }: RoleKeys, message: Uint8Array | undefined): Verified | Refusal {
  const key = standing.get(bundle.keyHint);
  if (key === undefined) {
    const actual = Buffer.from(bundle.keyHint, "base64").toString("hex");
    return refusal("KEY_UNTRUSTED", `a key of role ${role}`, actual);
  }
  if ("code" in key) return key;
  try {
    return { key, payload: verifiedPayload(bundle, key, message) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { code: error.code, expected: error.expected ?? "-", actual: error.actual ?? "-" };
  }
}

/** @throws FormatError SIGNATURE_INVALID, ALGORITHM_UNAVAILABLE */
function verifiedPayload(bundle: Bundle, key: PublicKey, message: Uint8Array | undefined): Buffer {
  if (message === undefined && bundle.kind === "statement") return verifyStatementBundle(bundle, key);
  if (message === undefined || bundle.kind !== "message") {
    const expected = message === undefined ? "a signed statement" : "a signed file";
    throw new FormatError("SIGNATURE_INVALID", { expected, actual: `a bundle of a ${bundle.kind}` });
  }
  verifyMessageBundle(bundle, message, key);
  return Buffer.from(message);
}

/** Why a good signature adds nothing to those before it, or undefined when it does. */
function conflict({ key, payload }: Verified, counted: readonly Signer[], before: Buffer | undefined): Refusal | undefined {
  if (counted.some(({ key: other }) => other.fingerprint === key.fingerprint))
    return refusal("KEY_REPEATED", "another key", key.fingerprint);
  if (before !== undefined && !before.equals(payload))
    return refusal("PAYLOADS_DIFFER", "the statement that the others signed", `another by ${key.fingerprint}`);
  return undefined;
}

/**
 * Why the signers are too few, or undefined when they are enough. Under `hybrid` the threshold is to be met by P-256 keys and, once more,
 * by ML-DSA-65 keys; under `classical` by P-256 keys, whoever else signed.
 */
export function thresholdRefusal(
  signers: Pick<Signers, "counted">,
  { role, threshold, signatures }: RoleKeys,
): Refusal | undefined {
  const count = (algorithm: PublicKey["algorithm"]) => signers.counted.filter(({ key }) => key.algorithm === algorithm).length;
  const [classical, postQuantum] = [count("ecdsa-p256"), count("ml-dsa-65")];
  const short = (kind: string, actual: number) => refusal("THRESHOLD_SHORT", `${threshold} ${kind} of role ${role}`, `${actual}`);
  switch (signatures) {
    case "any":
      return classical + postQuantum < threshold ? short("signatures", classical + postQuantum) : undefined;
    case "classical":
      return classical < threshold ? short("P-256 signatures", classical) : undefined;
    case "hybrid":
      if (classical < threshold) return short("P-256 signatures", classical);
      return postQuantum < threshold ? short("ML-DSA-65 signatures", postQuantum) : undefined;
  }
}
