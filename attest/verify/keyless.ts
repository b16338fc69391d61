import { createHash } from "node:crypto";
import { type ForeignBundle, parseForeignBundle } from "@secai/formats/bundle";
import { parseJson } from "@secai/formats/canonical-json";
import type { Sha256 } from "@secai/formats/digest";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { anyObject, list, literal, object, parseShape, table, text } from "@secai/formats/shape";
import { IN_TOTO_PAYLOAD_TYPE, STATEMENT_TYPE } from "@secai/formats/uris";
import type { Signer } from "@sigstore/verify";
import { KeylessError } from "./keyless-errors.ts";
import { type KeylessIdentity, requireIdentity } from "./keyless-identity.ts";
import { type KeylessThresholds, loadTrustMaterial } from "./trusted-root.ts";

/** All of it comes from the caller; there is no default root and no default identity. */
export interface KeylessTrust {
  /** The bytes of the Sigstore instance's trusted_root.json. */
  readonly trustedRoot: Uint8Array;
  readonly identity: KeylessIdentity;
  readonly thresholds?: Partial<KeylessThresholds>;
}

/** Whether only a keyless verifier can judge the bundle. */
export const isKeyless = ({ evidence }: ForeignBundle): boolean => evidence.certificates.length > 0;

/**
 * The payload of a keyless statement that speaks of `about`, offline. The statement's own content is the caller's to compare.
 * @throws KeylessError; FormatError when the bundle cannot be read
 */
export async function verifyKeylessStatement(bytes: Uint8Array, trust: KeylessTrust, about: readonly Sha256[]): Promise<Buffer> {
  const bundle = parseForeignBundle(bytes);
  if (bundle.kind !== "statement" || bundle.payloadType !== IN_TOTO_PAYLOAD_TYPE)
    throw invalid("a bundle of an in-toto statement", "another bundle");
  await verifySigner(bundle, bytes, trust, undefined);
  requireSubjects(bundle.payload, about);
  return bundle.payload;
}

/**
 * Returns if the expected identity signed exactly `data`, offline.
 * @throws KeylessError; FormatError when the bundle cannot be read
 */
export async function verifyKeylessBlob(bytes: Uint8Array, data: Uint8Array, trust: KeylessTrust): Promise<void> {
  const bundle = parseForeignBundle(bytes);
  if (bundle.kind !== "message") throw invalid("a bundle of a file", "a bundle of a statement");
  const digest = createHash("sha256").update(data).digest();
  if (!digest.equals(bundle.digest))
    throw invalid(`a signature of ${bundle.digest.toString("hex")}`, `a file with ${digest.toString("hex")}`);
  await verifySigner(bundle, bytes, trust, Buffer.from(data));
}

/**
 * Certificate chain at each proven time, SCTs, log inclusion, timestamps and the signature are the library's to verify; it refuses a
 * claim that is present and wrong. Presence and identity are compared here: the library takes a log's time for a timestamp and an
 * expected name for a pattern.
 */
async function verifySigner(
  bundle: ForeignBundle,
  bytes: Uint8Array,
  { trustedRoot, identity, thresholds }: KeylessTrust,
  data: Buffer | undefined,
): Promise<void> {
  const needed = { logEntries: 1, timestamps: 1, certificateTimestamps: 1, ...thresholds };
  requireEvidence(bundle, needed);
  const material = await loadTrustMaterial(trustedRoot, needed);
  const { bundleFromJSON } = await import("@sigstore/bundle");
  const { toSignedEntity, Verifier } = await import("@sigstore/verify");
  const verifier = new Verifier(material, {
    tlogThreshold: needed.logEntries,
    ctlogThreshold: needed.certificateTimestamps,
    timestampThreshold: Math.max(1, needed.timestamps),
  });
  requireIdentity(
    attempt(() => verifier.verify(toSignedEntity(bundleFromJSON(parseJson(bytes, bytes.length)), data))),
    identity,
  );
}

function requireEvidence({ evidence }: ForeignBundle, { logEntries, timestamps }: KeylessThresholds): void {
  const counts = [
    ["certificates", 1, evidence.certificates.length],
    ["log entries", logEntries, evidence.logEntries.length],
    ["timestamps", timestamps, evidence.timestamps.length],
    // Without any proven time nothing says whether the certificate was valid.
    ["proofs of time", 1, evidence.timestamps.length + evidence.logEntries.length],
  ] as const;
  const short = counts.find(([, needed, actual]) => actual < needed);
  if (short === undefined) return;
  const [what, needed, actual] = short;
  throw new KeylessError("KEYLESS_EVIDENCE_MISSING", { expected: `${needed} ${what}`, actual: `${actual}` });
}

/** Whatever the library throws over hostile input is a refusal. */
function attempt(verify: () => Signer): Signer {
  try {
    return verify();
  } catch (cause) {
    const { code, message } = cause as { readonly code?: string; readonly message: string };
    throw invalid("evidence that verifies", `${code ?? "unreadable"}: ${message}`, cause);
  }
}

/** Subjects alone, also of the older v0.1 that cosign writes. */
const subjectsShape = object(
  {
    _type: literal(STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"),
    subject: list(
      object({ digest: table(/^[A-Za-z0-9]{1,32}$/, text(/^[0-9a-f]{1,256}$/), { max: 8 }) }, { name: text(/^[^\0]*$/) }),
      {
        min: 1,
        max: 1000,
      },
    ),
    predicateType: text(/^[!-~]+$/, 512),
  },
  { predicate: anyObject },
);

/** The library does not compare a statement with any file. */
function requireSubjects(payload: Buffer, about: readonly Sha256[]): void {
  const { subject } = parseShape(subjectsShape, parseJson(payload, MAX_PAYLOAD_BYTES), "an in-toto statement");
  const named = new Set(subject.map(({ digest }) => digest.sha256));
  const missing = about.find((digest) => !named.has(digest));
  if (missing !== undefined)
    throw new KeylessError("KEYLESS_SUBJECT_WRONG", {
      expected: `a statement about ${missing}`,
      actual: [...named].slice(0, 3).join(", "),
    });
}

const invalid = (expected: string, actual: string, cause?: unknown) =>
  new KeylessError("KEYLESS_EVIDENCE_INVALID", { expected, actual, cause });
