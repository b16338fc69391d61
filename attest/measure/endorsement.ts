import { X509Certificate } from "node:crypto";
import { MeasureError } from "./errors.ts";
import type { PublicArea } from "./public-area.ts";

const MAX_CERTIFICATE_BYTES = 16 * 1024;
/** Longest path from a TPM's certificate to an anchor, the certificate not counted. */
const MAX_PATH = 5;
/** tcg-kp-EKCertificate (TCG EK Credential Profile 3.2.16). */
const EK_PURPOSE = "2.23.133.8.1";

/** Length of the DER value that `bytes` begin with: a TPM's NV index may be larger than the certificate in it. */
function derLength(bytes: Uint8Array): number {
  const [tag = 0, first = 0, second = 0, third = 0] = bytes;
  if (tag !== 0x30) return bytes.length;
  if (first < 0x80) return 2 + first;
  if (first === 0x81) return 3 + second;
  return first === 0x82 ? 4 + second * 256 + third : bytes.length;
}

/** @throws MeasureError EK_CERTIFICATE_MALFORMED */
export function parseEndorsementCertificate(bytes: Uint8Array): X509Certificate {
  const malformed = (actual: string, cause?: unknown) =>
    new MeasureError("EK_CERTIFICATE_MALFORMED", { expected: "one X.509 certificate", actual, cause });
  if (bytes.length > MAX_CERTIFICATE_BYTES) throw malformed(`${bytes.length} bytes`);
  try {
    return new X509Certificate(bytes.subarray(0, derLength(bytes)));
  } catch (cause) {
    throw malformed("other bytes", cause);
  }
}

export interface EndorsementTrust {
  /** Certificates of TPM makers that the site trusts. */
  readonly anchors: readonly X509Certificate[];
  /** Certificates between those and the TPMs'; trusted as far as an anchor vouches for them. */
  readonly intermediates: readonly X509Certificate[];
}

export type EndorsementFault =
  | "EK_CERTIFICATE_KEY"
  | "EK_CERTIFICATE_PURPOSE"
  | "EK_CERTIFICATE_EXPIRED"
  | "EK_CERTIFICATE_CHAIN";

const isCurrent = (certificate: X509Certificate, at: Date) => certificate.validFromDate <= at && at <= certificate.validToDate;

function isIssued(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/**
 * Whether a path of at most `length` issuers leads to an anchor. node:crypto does not tell name constraints and path lengths of a
 * certificate, so these are not looked at: an anchor is trusted for all TPMs below it.
 */
function leadsToAnchor(certificate: X509Certificate, trust: EndorsementTrust, at: Date, length = MAX_PATH): boolean {
  if (length === 0 || !isCurrent(certificate, at)) return false;
  if (trust.anchors.some((anchor) => isCurrent(anchor, at) && isIssued(certificate, anchor))) return true;
  return trust.intermediates.some(
    (issuer) =>
      issuer.fingerprint256 !== certificate.fingerprint256 &&
      isIssued(certificate, issuer) &&
      leadsToAnchor(issuer, trust, at, length - 1),
  );
}

/** What is wrong with an endorsement key's certificate at a time, or nothing. Pure. */
export function endorsementFault(
  certificate: X509Certificate,
  { key }: PublicArea,
  trust: EndorsementTrust,
  at: Date,
): EndorsementFault | undefined {
  if (!certificate.publicKey.equals(key)) return "EK_CERTIFICATE_KEY";
  if (certificate.ca || !(certificate.keyUsage ?? []).includes(EK_PURPOSE)) return "EK_CERTIFICATE_PURPOSE";
  if (!isCurrent(certificate, at)) return "EK_CERTIFICATE_EXPIRED";
  return leadsToAnchor(certificate, trust, at) ? undefined : "EK_CERTIFICATE_CHAIN";
}
