import { parseCanonicalJson } from "./canonical-json.ts";
import { list, literal, object, parseShape, type TypeOf, table, text } from "./shape.ts";
import { lineShape, sha256Shape, timestampShape, uriShape } from "./shapes.ts";

const described = object({ uri: uriShape, digest: object({ sha256: sha256Shape }) });

/** SLSA verification summary v1: https://slsa.dev/spec/v1.0/verification_summary. Whoever signs it says it verified the subject. */
export const vsaShape = object({
  verifier: object({ id: uriShape, version: table(/^[a-zA-Z0-9@/._-]{1,100}$/, lineShape, { min: 1 }) }),
  timeVerified: timestampShape,
  resourceUri: uriShape,
  policy: described,
  inputAttestations: list(described, { max: 1000 }),
  verificationResult: literal("PASSED", "FAILED"),
  verifiedLevels: list(text(/^[A-Z][A-Z0-9_]{1,63}$/, 64), { max: 16 }),
  slsaVersion: literal("1.0"),
});
export type Vsa = TypeOf<typeof vsaShape>;

/** @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH */
export function parseVsa(bytes: Uint8Array): Vsa {
  return parseShape(vsaShape, parseCanonicalJson(bytes, 1 << 20), "a SLSA verification summary v1");
}
