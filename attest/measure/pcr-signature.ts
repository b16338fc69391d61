import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { parseJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { FormatError } from "@secai/formats/errors";
import { integer, list, object, parseShape, type TypeOf, table, text } from "@secai/formats/shape";
import { sha256Shape } from "@secai/formats/shapes";
import { MeasureError } from "./errors.ts";
import { ZERO_PCR } from "./pcr.ts";

/** Largest tpm2-pcr-signature.json, in bytes: a signature for a boot phase takes some 700. */
export const MAX_PCR_SIGNATURE_BYTES = 64 * 1024;
/** TPM_CC_PolicyPCR, then a TPML_PCR_SELECTION: one bank, SHA-256, three octets with bit 11 (TPM 2.0 Library, Part 2, 6.5.2 and 10.9.7). */
const POLICY_PCR_11 = Buffer.from("0000017f" + "00000001" + "000b" + "03000800", "hex");
const MIN_RSA_BITS = 2048;

const entryShape = object({
  pcrs: list(integer(0, 23), { min: 1, max: 24 }),
  /** SHA-256 of the SubjectPublicKeyInfo in DER. */
  pkfp: sha256Shape,
  pol: sha256Shape,
  sig: text(/^[A-Za-z0-9+/]{1,1364}={0,2}$/, 1366),
});
const signaturesShape = table(/^sha(1|256|384|512)$/, list(entryShape, { max: 64 }), { min: 1, max: 4 });

/** What systemd-measure(1) signed: policy digests of PCR values, one for each boot phase. */
export type PcrSignatures = TypeOf<typeof signaturesShape>;

/** @throws MeasureError PCR_SIGNATURE_MALFORMED */
export function parsePcrSignatures(bytes: Uint8Array): PcrSignatures {
  try {
    return parseShape(signaturesShape, parseJson(bytes, MAX_PCR_SIGNATURE_BYTES), "signatures of PCR policies");
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new MeasureError("PCR_SIGNATURE_MALFORMED", {
      expected: cause.expected ?? "-",
      actual: cause.actual ?? cause.code,
      cause,
    });
  }
}

/** One RSA or P-256 key in PEM, as systemd-stub hands it on. @throws MeasureError PCR_SIGNATURE_MALFORMED */
export function parsePcrKey(pem: string): { readonly key: KeyObject; readonly fingerprint: Sha256 } {
  try {
    if (!/^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{1,4096}-----END PUBLIC KEY-----\n?$/.test(pem))
      throw new TypeError("no PEM");
    const key = createPublicKey(pem);
    const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
    if (modulusLength < MIN_RSA_BITS && namedCurve !== "prime256v1")
      throw new TypeError(`a key of type ${key.asymmetricKeyType}`);
    return { key, fingerprint: sha256(key.export({ type: "spki", format: "der" })) };
  } catch (cause) {
    throw new MeasureError("PCR_SIGNATURE_MALFORMED", {
      expected: "one RSA or P-256 public key in PEM",
      actual: (cause as Error).message,
      cause,
    });
  }
}

/** The policy digest of a TPM object that opens while PCR 11 has this value (TPM 2.0 Library, Part 3, 23.7). */
export function pcr11Policy(value: Sha256): Sha256 {
  const composite = createHash("sha256").update(Buffer.from(value, "hex")).digest();
  return sha256(Buffer.concat([Buffer.from(ZERO_PCR, "hex"), POLICY_PCR_11, composite]));
}

/** Whether `key` signed that PCR 11 may have this value. systemd-measure signs the bytes of the policy digest. */
export function isSignedPcr11(signatures: PcrSignatures, value: Sha256, key: KeyObject): boolean {
  const policy = pcr11Policy(value);
  const fits = ({ pcrs, pol }: TypeOf<typeof entryShape>) => pcrs.length === 1 && pcrs[0] === 11 && pol === policy;
  return (signatures.sha256 ?? [])
    .filter(fits)
    .some(({ sig }) => verify("sha256", Buffer.from(policy, "hex"), key, Buffer.from(sig, "base64")));
}
