import { parseJson } from "@secai/formats/canonical-json";
import { KeylessError } from "./keyless-errors.ts";

/** What must be present, verified and different from each other in every bundle; 1 each unless said otherwise. */
export interface KeylessThresholds {
  /** Entries in transparency logs. */
  readonly logEntries: number;
  /** RFC 3161 timestamps: the time of a log does not count here. */
  readonly timestamps: number;
  /** Signed certificate timestamps: the certificate itself was logged. */
  readonly certificateTimestamps: number;
}

const MAX_BYTES = 1 << 20;
const MEDIA_TYPES = ["0.1", "0.2"].map((version) => `application/vnd.dev.sigstore.trustedroot+json;version=${version}`);
const PARTS = ["certificateAuthorities", "tlogs", "ctlogs", "timestampAuthorities"] as const;
type Part = (typeof PARTS)[number];

/**
 * The keys and certificates of one Sigstore instance as its operator publishes them (trusted_root.json), obtained by the caller: nothing
 * is fetched here. The library reads the details; this checks that there is something to check with, so that an empty root refuses.
 * @throws KeylessError TRUST_ROOT_MALFORMED; FormatError JSON_TOO_LARGE, JSON_MALFORMED
 */
export async function loadTrustMaterial(bytes: Uint8Array, thresholds: KeylessThresholds) {
  const value = parseJson(bytes, MAX_BYTES);
  requireParts(value, thresholds);
  const { TrustedRoot } = await import("@sigstore/protobuf-specs");
  const { toTrustMaterial } = await import("@sigstore/verify");
  try {
    return toTrustMaterial(TrustedRoot.fromJSON(value), () => {
      throw new KeylessError("KEYLESS_EVIDENCE_MISSING", { expected: "a certificate", actual: "a key" });
    });
  } catch (cause) {
    throw malformed("keys and certificates", (cause as Error).message, cause);
  }
}

function requireParts(value: unknown, { logEntries, timestamps, certificateTimestamps }: KeylessThresholds): void {
  const root = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(root).find((name) => name !== "mediaType" && !PARTS.some((part) => part === name));
  if (unknown !== undefined) throw malformed("a trusted root", `a member ${JSON.stringify(unknown.slice(0, 64))}`);
  if (!MEDIA_TYPES.some((type) => type === root.mediaType)) throw malformed(MEDIA_TYPES.join(" or "), "another media type");
  const needed: Readonly<Record<Part, number>> = {
    certificateAuthorities: 1,
    tlogs: logEntries,
    ctlogs: certificateTimestamps,
    timestampAuthorities: timestamps,
  };
  for (const part of PARTS) {
    const { length } = Array.isArray(root[part]) ? root[part] : [];
    if (length < Math.min(1, needed[part])) throw malformed(`a trusted root with ${part}`, "none");
  }
}

const malformed = (expected: string, actual: string, cause?: unknown) =>
  new KeylessError("TRUST_ROOT_MALFORMED", { expected, actual, cause });
