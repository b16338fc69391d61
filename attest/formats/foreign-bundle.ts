import { base64Text, parseBase64 } from "./base64.ts";
import type { MessageBundle, StatementBundle } from "./bundle.ts";
import { type JsonValue, parseJson } from "./canonical-json.ts";
import { foreignEnvelopeShape, MAX_PAYLOAD_BYTES, MAX_SIGNATURE_CHARACTERS, openEnvelope } from "./dsse.ts";
import { FormatError } from "./errors.ts";
import { list, literal, object, parseShape, type TypeOf, text } from "./shape.ts";

/** Every media type that names a version of https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto. */
const VERSIONS = {
  "application/vnd.dev.sigstore.bundle+json;version=0.1": "0.1",
  "application/vnd.dev.sigstore.bundle+json;version=0.2": "0.2",
  "application/vnd.dev.sigstore.bundle+json;version=0.3": "0.3",
  "application/vnd.dev.sigstore.bundle.v0.3+json": "0.3",
} as const;
export type BundleVersion = "0.1" | "0.2" | "0.3";

/** Signed payload in base64, and a few certificates, proofs and timestamps. */
export const MAX_FOREIGN_BUNDLE_BYTES = Math.ceil(MAX_PAYLOAD_BYTES / 3) * 4 + (1 << 20);
const MAX_CERTIFICATES = 8;
const MAX_LOG_ENTRIES = 8;
const MAX_TIMESTAMPS = 8;
/** A log of 2^64 leaves has proofs of 64 hashes. */
const MAX_PROOF_HASHES = 64;

/** int64 in proto3 JSON: text, left out when zero. */
const number = text(/^(0|[1-9][0-9]{0,18})$/, 19);
const der = object({ rawBytes: base64Text(16 << 10) });
const logEntryShape = object(
  {
    logId: object({ keyId: base64Text(64) }),
    kindVersion: object({ kind: text(/^[a-z0-9.-]+$/, 64), version: text(/^[0-9.]+$/, 16) }),
    // Holds the hashes and the verifier, for old entry types the payload's hash only.
    canonicalizedBody: base64Text(256 << 10),
  },
  {
    logIndex: number,
    integratedTime: number,
    inclusionPromise: object({ signedEntryTimestamp: base64Text(MAX_SIGNATURE_CHARACTERS) }),
    inclusionProof: object(
      { rootHash: base64Text(64), checkpoint: object({ envelope: text(/^[^\0]*$/, 16 << 10) }) },
      { treeSize: number, logIndex: number, hashes: list(base64Text(64), { max: MAX_PROOF_HASHES }) },
    ),
  },
);
const materialShape = object(
  {},
  {
    publicKey: object({ hint: text(/^[!-~]+$/, 256) }),
    x509CertificateChain: object({ certificates: list(der, { min: 1, max: MAX_CERTIFICATES }) }),
    certificate: der,
    tlogEntries: list(logEntryShape, { max: MAX_LOG_ENTRIES }),
    timestampVerificationData: object(
      {},
      { rfc3161Timestamps: list(object({ signedTimestamp: base64Text(32 << 10) }), { max: MAX_TIMESTAMPS }) },
    ),
  },
);
const messageShape = object({
  messageDigest: object({ algorithm: literal("SHA2_256"), digest: base64Text(44) }),
  signature: base64Text(MAX_SIGNATURE_CHARACTERS),
});
const foreignShape = object(
  { mediaType: literal(...(Object.keys(VERSIONS) as (keyof typeof VERSIONS)[])), verificationMaterial: materialShape },
  { dsseEnvelope: foreignEnvelopeShape, messageSignature: messageShape },
);
type InclusionProof = NonNullable<TypeOf<typeof logEntryShape>["inclusionProof"]>;
type Material = TypeOf<typeof materialShape>;
type Content = Omit<StatementBundle, "keyHint"> | Omit<MessageBundle, "keyHint">;

/** An entry of a transparency log as the bundle claims it, numbers as decimal text. */
export interface LogEntry {
  readonly kind: string;
  readonly version: string;
  readonly logId: Buffer;
  readonly logIndex: string;
  /** Seconds since 1970, "0" when the log makes no claim. */
  readonly integratedTime: string;
  readonly hasInclusionPromise: boolean;
  readonly hasInclusionProof: boolean;
  readonly body: Buffer;
}

/** What a bundle claims besides a key's signature; decoded, not believed. */
export interface Evidence {
  /** DER, the signer's own first. */
  readonly certificates: readonly Buffer[];
  readonly logEntries: readonly LogEntry[];
  /** RFC 3161 TimeStampResp, DER. */
  readonly timestamps: readonly Buffer[];
}
interface Foreign {
  readonly version: BundleVersion;
  /** undefined when a certificate carries the key. */
  readonly keyHint: string | undefined;
  readonly evidence: Evidence;
}
export type ForeignStatementBundle = Omit<StatementBundle, "keyHint"> & Foreign;
export type ForeignMessageBundle = Omit<MessageBundle, "keyHint"> & Foreign;
export type ForeignBundle = ForeignStatementBundle | ForeignMessageBundle;

/**
 * A bundle of version 0.1 to 0.3 that another tool wrote: any spacing, but nothing that is not understood.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH, BASE64_MALFORMED
 */
export function parseForeignBundle(bytes: Uint8Array): ForeignBundle {
  return toForeignBundle(parseJson(bytes, MAX_FOREIGN_BUNDLE_BYTES));
}

function toForeignBundle(value: JsonValue): ForeignBundle {
  const what = "a Sigstore bundle v0.1, v0.2 or v0.3";
  const { mediaType, verificationMaterial, dsseEnvelope, messageSignature } = parseShape(foreignShape, value, what);
  const version = VERSIONS[mediaType];
  const evidence = evidenceOf(verificationMaterial);
  requireOneSigner(verificationMaterial, version);
  requireInclusion(evidence, version);
  const foreign = { version, keyHint: verificationMaterial.publicKey?.hint, evidence };
  if (dsseEnvelope !== undefined && messageSignature === undefined)
    return { kind: "statement", ...openEnvelope(dsseEnvelope), ...foreign };
  if (messageSignature !== undefined && dsseEnvelope === undefined) return { ...messageOf(messageSignature), ...foreign };
  throw mismatch("one dsseEnvelope or one messageSignature", "both or neither");
}

function messageOf({ messageDigest, signature }: TypeOf<typeof messageShape>): Content & { readonly kind: "message" } {
  return { kind: "message", digest: parseBase64(messageDigest.digest), signature: parseBase64(signature) };
}

/** A oneof of the protocol, which JSON cannot say; "certificate" came with v0.3, which dropped the chain. */
function requireOneSigner({ publicKey, certificate, x509CertificateChain }: Material, version: BundleVersion): void {
  const signers = [publicKey, certificate, x509CertificateChain].filter((signer) => signer !== undefined);
  if (signers.length !== 1) throw mismatch("one key, certificate or certificate chain", `${signers.length}`);
  if (certificate !== undefined && version !== "0.3") throw mismatch("a certificate chain", `a v${version} with one certificate`);
  if (x509CertificateChain !== undefined && version === "0.3") throw mismatch("one certificate", "a v0.3 with a chain");
}

/** v0.1 demands the log's promise, later versions its proof. */
function requireInclusion({ logEntries }: Evidence, version: BundleVersion): void {
  const lacking = logEntries.find((entry) => (version === "0.1" ? !entry.hasInclusionPromise : !entry.hasInclusionProof));
  if (lacking !== undefined)
    throw mismatch(`a log entry with its inclusion ${version === "0.1" ? "promise" : "proof"}`, "a log entry without");
}

function evidenceOf(material: Material): Evidence {
  const { certificate, x509CertificateChain, tlogEntries = [], timestampVerificationData } = material;
  const certificates = certificate === undefined ? (x509CertificateChain?.certificates ?? []) : [certificate];
  return {
    certificates: certificates.map(({ rawBytes }) => parseBase64(rawBytes)),
    logEntries: tlogEntries.map(logEntryOf),
    timestamps: (timestampVerificationData?.rfc3161Timestamps ?? []).map(({ signedTimestamp }) => parseBase64(signedTimestamp)),
  };
}

function logEntryOf(entry: TypeOf<typeof logEntryShape>): LogEntry {
  const { inclusionProof, inclusionPromise } = entry;
  const hashes = [...(inclusionProof?.hashes ?? []), inclusionPromise?.signedEntryTimestamp ?? ""];
  for (const encoded of hashes) parseBase64(encoded);
  if (inclusionProof !== undefined) requireAgreement(inclusionProof);
  return {
    ...entry.kindVersion,
    logId: parseBase64(entry.logId.keyId),
    logIndex: entry.logIndex ?? "0",
    integratedTime: entry.integratedTime ?? "0",
    hasInclusionPromise: inclusionPromise !== undefined,
    hasInclusionProof: inclusionProof !== undefined,
    body: parseBase64(entry.canonicalizedBody),
  };
}

/**
 * The log signs its checkpoint (https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md: origin, size, root hash), so verifiers read that
 * one; the proof's own copy of both must say the same.
 */
function requireAgreement({ rootHash, treeSize = "0", checkpoint }: InclusionProof): void {
  const [, size, root] = checkpoint.envelope.split("\n");
  parseBase64(rootHash);
  if (root !== rootHash || size !== treeSize) throw mismatch("a proof that agrees with its checkpoint", "another root or size");
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });
