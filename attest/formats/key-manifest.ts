import { createPublicKey } from "node:crypto";
import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { type Sha256, sha256 } from "./digest.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { instantMs, instantShape } from "./instant.ts";
import { fingerprintOf, parsePublicKey } from "./keys.ts";
import { KEY_MANIFEST_FILE } from "./release-layout.ts";
import { integer, list, literal, nullable, object, parseShape, type TypeOf, table, text } from "./shape.ts";
import { lineShape, sha256Shape } from "./shapes.ts";
import { buildStatement, type Statement, subjectOf } from "./statement.ts";
import { KEYS_PREDICATE } from "./uris.ts";

/** Largest key manifest, in bytes. */
export const MAX_KEY_MANIFEST_BYTES = 1 << 20;

/** Roles whose keys sign statements and files; the keys of the other two sign what firmware and TPM check. */
export const SIGNING_ROLES = ["root", "release", "image", "channel"] as const;
export const DEVICE_ROLES = ["secure-boot", "pcr"] as const;
export const KEY_ROLES = [...SIGNING_ROLES, ...DEVICE_ROLES] as const;
export type SigningRole = (typeof SIGNING_ROLES)[number];
export type KeyRole = (typeof KEY_ROLES)[number];

/**
 * Which signatures a file needs. `classical`: P-256 alone counts. `any`: P-256 and ML-DSA-65 count alike, for the time of a change.
 * `hybrid`: the threshold must be met by P-256 and once more by ML-DSA-65, so that a file stands while either of the two does.
 */
export const signatureModes = ["classical", "any", "hybrid"] as const;
export const signatureModeShape = literal(...signatureModes);
export type SignatureMode = TypeOf<typeof signatureModeShape>;

const algorithmShape = literal("ecdsa-p256", "ml-dsa-65", "rsa-2048", "rsa-3072");
export type KeyAlgorithm = TypeOf<typeof algorithmShape>;

const keyShape = object({
  algorithm: algorithmShape,
  /** SubjectPublicKeyInfo, PEM of RFC 7468 and nothing around it. */
  publicKey: text(/^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/]{1,64}={0,2}\n)+-----END PUBLIC KEY-----\n$/, 4096),
  validFrom: instantShape,
  validUntil: instantShape,
});
export type ManifestKey = TypeOf<typeof keyShape>;

const roleShape = object({ threshold: integer(1, 64), keys: list(sha256Shape, { min: 1, max: 64 }) });
const predecessorShape = object({ version: integer(1), sha256: sha256Shape });

/** Who may sign what. Signed by the threshold of its predecessor's root keys and by that of its own; docs/predicates/keys.md. */
export const keyManifestShape = object({
  schema: literal(1),
  version: integer(1, 999_999),
  issued: instantShape,
  /** By fingerprint: SHA-256 of the SubjectPublicKeyInfo in DER. */
  keys: table(/^[0-9a-f]{64}$/, keyShape, { min: 1, max: 256 }),
  roles: object({
    root: roleShape,
    release: roleShape,
    image: roleShape,
    channel: roleShape,
    "secure-boot": roleShape,
    pcr: roleShape,
  }),
  revoked: list(object({ fingerprint: sha256Shape, at: instantShape, reason: lineShape }), { max: 1000 }),
  signatures: signatureModeShape,
  predecessor: nullable(predecessorShape),
});
export type KeyManifest = TypeOf<typeof keyManifestShape>;

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });

/**
 * A key manifest that agrees with itself.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, KEY_MALFORMED, DUPLICATE_ENTRY
 */
export function parseKeyManifest(bytes: Uint8Array): KeyManifest {
  const manifest = parseShape(keyManifestShape, parseCanonicalJson(bytes, MAX_KEY_MANIFEST_BYTES), "a key manifest, schema 1");
  for (const [fingerprint, key] of Object.entries(manifest.keys)) requireKey(fingerprint, key);
  for (const role of KEY_ROLES) requireRole(manifest, role);
  requireRevoked(manifest);
  requirePredecessor(manifest);
  return manifest;
}

/** The bytes of a keys.json. @throws FormatError when no reader would accept them */
export function keyManifestBytes(manifest: KeyManifest): Buffer {
  const bytes = Buffer.from(`${canonicalJson(manifest)}\n`);
  parseKeyManifest(bytes);
  return bytes;
}

/** What the signers of a manifest sign: its content, about itself under the name it has while it is the current one. */
export function keyManifestStatement(bytes: Uint8Array): Statement<KeyManifest> {
  return buildStatement(KEYS_PREDICATE, [subjectOf(KEY_MANIFEST_FILE, sha256(bytes))], parseKeyManifest(bytes));
}

/** Whether keys of the algorithm may have the role: files are signed with P-256 or ML-DSA-65, firmware and TPM policies with RSA. */
export function fitsRole(algorithm: KeyAlgorithm, role: KeyRole): boolean {
  return algorithm.startsWith("rsa-") === DEVICE_ROLES.some((one) => one === role);
}

function requireKey(fingerprint: string, { algorithm, publicKey, validFrom, validUntil }: ManifestKey): void {
  const found = publicKeyFacts(publicKey);
  if (found.fingerprint !== fingerprint) throw mismatch(`a key with fingerprint ${fingerprint}`, found.fingerprint);
  if (found.algorithm !== algorithm) throw mismatch(`key ${fingerprint} of algorithm ${algorithm}`, found.algorithm);
  if (instantMs(validFrom) >= instantMs(validUntil))
    throw mismatch(`key ${fingerprint} valid for a while`, `${validFrom} to ${validUntil}`);
}

/**
 * Fingerprint and algorithm of a public key in PEM.
 * @throws FormatError KEY_MALFORMED for anything but one P-256, ML-DSA-65, RSA-2048 or RSA-3072 key
 */
export function publicKeyFacts(pem: string): { readonly fingerprint: Sha256; readonly algorithm: KeyAlgorithm } {
  const rsa = rsaFacts(pem);
  if (rsa !== undefined) return rsa;
  const { algorithm, fingerprint } = parsePublicKey(Buffer.from(pem));
  return { algorithm, fingerprint };
}

/** Undefined for a key that is not RSA, or is none. Exponent 65537 alone: what TPM 2.0 and firmware agree on. */
function rsaFacts(pem: string): { readonly fingerprint: Sha256; readonly algorithm: KeyAlgorithm } | undefined {
  const key = tryPublicKey(pem);
  if (key?.asymmetricKeyType !== "rsa") return undefined;
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {};
  const algorithm = modulusLength === 2048 ? "rsa-2048" : modulusLength === 3072 ? "rsa-3072" : undefined;
  if (algorithm === undefined || publicExponent !== 65537n || key.export({ type: "spki", format: "pem" }) !== pem)
    throw new FormatError("KEY_MALFORMED", { expected: "RSA-2048 or RSA-3072, exponent 65537", actual: `${modulusLength} bits` });
  return { algorithm, fingerprint: fingerprintOf(key) };
}

function tryPublicKey(pem: string) {
  try {
    return createPublicKey(pem);
  } catch {
    return undefined;
  }
}

function requireRole(manifest: KeyManifest, role: KeyRole): void {
  const { threshold, keys } = manifest.roles[role];
  requireDistinct(keys, `keys of role ${role}`);
  const algorithms = keys.map((fingerprint) => {
    const key = Object.hasOwn(manifest.keys, fingerprint) ? manifest.keys[fingerprint] : undefined;
    if (key === undefined) throw mismatch(`role ${role} to name keys of the manifest`, fingerprint);
    if (!fitsRole(key.algorithm, role)) throw mismatch(`another algorithm for role ${role}`, key.algorithm);
    return key.algorithm;
  });
  const enough = countable(algorithms, role, manifest.signatures);
  if (threshold > enough) throw mismatch(`role ${role} with a threshold of at most ${enough}`, `${threshold}`);
}

/** How high a threshold the keys of a role can meet. */
function countable(algorithms: readonly KeyAlgorithm[], role: KeyRole, mode: SignatureMode): number {
  if (mode === "any" || role === "secure-boot" || role === "pcr") return algorithms.length;
  const classical = algorithms.filter((one) => one === "ecdsa-p256").length;
  return mode === "classical" ? classical : Math.min(classical, algorithms.length - classical);
}

/** What is revoked signs nothing any more, so it has no role; what has no role has no place among the keys. */
function requireRevoked({ keys, roles, revoked, issued }: KeyManifest): void {
  requireDistinct(
    revoked.map(({ fingerprint }) => fingerprint),
    "revoked keys",
  );
  for (const { fingerprint, at } of revoked) {
    if (Object.hasOwn(keys, fingerprint)) throw mismatch("revoked keys in no role", `${fingerprint} among the keys`);
    if (instantMs(at) > instantMs(issued)) throw mismatch("revocations of the past", `${fingerprint} at ${at}`);
  }
  const used = new Set(KEY_ROLES.flatMap((role) => roles[role].keys));
  const unused = Object.keys(keys).find((fingerprint) => !used.has(fingerprint));
  if (unused !== undefined) throw mismatch("a role for every key", `none for ${unused}`);
}

function requirePredecessor({ version, predecessor, issued }: KeyManifest): void {
  instantMs(issued);
  if (version === 1 && predecessor !== null) throw mismatch("no predecessor of version 1", `version ${predecessor.version}`);
  if (version > 1 && predecessor?.version !== version - 1)
    throw mismatch(`version ${version - 1} as predecessor`, `${predecessor?.version ?? "none"}`);
}
