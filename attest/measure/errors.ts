import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const measureErrors = {
  PE_MALFORMED: {
    exit: 1,
    meaning: "An EFI program is not a well-formed PE32+ file of which every byte is measured.",
    fix: "Build or fetch the file again; a genuine one parses.",
  },
  UKI_UNSUPPORTED: {
    exit: 1,
    meaning: "A unified kernel image lacks a section it needs, repeats one, or has one whose measurement cannot be predicted.",
    fix: "Build it with ukify from one kernel, initrd, command line and os-release.",
  },
  ADDON_UNSUPPORTED: {
    exit: 1,
    meaning: "A UKI addon has something other than a command line, or there is more than one.",
    fix: "Use one addon that holds a command line only.",
  },
  CERTIFICATE_MALFORMED: {
    exit: 1,
    meaning: "A Secure Boot certificate is not one X.509 certificate.",
    fix: "Give PEM or DER certificates as `openssl req -x509` writes them.",
  },
  GUID_MALFORMED: {
    exit: 1,
    meaning: "A Secure Boot owner GUID is not a GUID.",
    fix: "Use the form 01234567-89ab-cdef-0123-456789abcdef, in lower case.",
  },
  ROOT_HASH_MISMATCH: {
    exit: 1,
    meaning: "The command line in the UKI does not carry the root hash of the image.",
    fix: "Build the UKI again, from the root hash that systemd-repart printed for this very root.",
  },
  EVENT_LOG_MALFORMED: {
    exit: 1,
    meaning: "A firmware event log is not a crypto-agile TCG event log with SHA-256 digests.",
    fix: "Read /sys/kernel/security/tpm0/binary_bios_measurements again, whole.",
  },
  USERSPACE_LOG_MALFORMED: {
    exit: 1,
    meaning: "The measurement log of systemd is not a sequence of JSON records with SHA-256 digests.",
    fix: "Read /run/log/systemd/tpm2-measure.log again, whole.",
  },
  QUOTE_MALFORMED: {
    exit: 1,
    meaning: "A quote is not one TPMS_ATTEST structure of type quote over SHA-256 PCRs, without trailing bytes.",
    fix: "Collect the evidence again with `secai-evidence`.",
  },
  QUOTE_SIGNATURE_MALFORMED: {
    exit: 1,
    meaning: "A quote's signature is not one TPMT_SIGNATURE (RSASSA, RSAPSS or ECDSA with SHA-256), without trailing bytes.",
    fix: "Collect the evidence again with `secai-evidence`.",
  },
  AK_MALFORMED: {
    exit: 1,
    meaning: "An attestation key's public area is not a TPM2B_PUBLIC with a supported RSA or ECC key, without trailing bytes.",
    fix: "Collect the evidence again with `secai-evidence`.",
  },
  EK_MALFORMED: {
    exit: 1,
    meaning:
      "An endorsement key's public area is not a TPM2B_PUBLIC with a supported RSA or ECC storage key, without trailing bytes.",
    fix: "Collect the evidence again with `secai-evidence`.",
  },
  EK_CERTIFICATE_MALFORMED: {
    exit: 1,
    meaning: "An endorsement key's certificate is not one X.509 certificate.",
    fix: "Read it again from the TPM; some makers keep it on a server instead.",
  },
  PCR_SIGNATURE_MALFORMED: {
    exit: 1,
    meaning: "The PCR signatures or the public key in a unified kernel image are not as systemd-measure and OpenSSL write them.",
    fix: "Build the UKI again with ukify; /run/systemd/tpm2-pcr-signature.json and tpm2-pcr-public-key.pem are copies of its sections.",
  },
  MEASUREMENTS_MALFORMED: {
    exit: 1,
    meaning: "A measurements document does not have the shape that its schema version demands.",
    fix: "Take measurements.json from the release directory, unchanged.",
  },
} as const satisfies Catalogue;

/** The only error the functions of this workspace throw for bytes from outside, whatever those bytes are. */
export class MeasureError extends CodedError<keyof typeof measureErrors> {
  constructor(code: keyof typeof measureErrors, detail?: ErrorDetail) {
    super(code, measureErrors[code], detail);
  }
}
export type MeasureCode = keyof typeof measureErrors;
