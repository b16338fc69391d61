import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const keylessErrors = {
  TRUST_ROOT_MALFORMED: {
    exit: 2,
    meaning: "A trusted root is not one that Sigstore tools write, or lacks what the policy needs: an authority or a log.",
    fix: "Fetch the trusted_root.json of the Sigstore instance again, from its operator.",
  },
  KEYLESS_EVIDENCE_MISSING: {
    exit: 1,
    meaning: "A keyless bundle lacks a certificate, or has fewer log entries or timestamps than the policy demands.",
    fix: "Do not use the file; fetch its bundle again from its publisher.",
  },
  KEYLESS_EVIDENCE_INVALID: {
    exit: 1,
    meaning: "A certificate, log entry, timestamp or signature of a keyless bundle does not verify under the trusted root.",
    fix: "Do not use the file; fetch it and its bundle again from its publisher.",
  },
  KEYLESS_IDENTITY_WRONG: {
    exit: 1,
    meaning: "A keyless bundle is valid, but somebody else signed it, or from another source.",
    fix: "Do not use the file, or correct the expected identity, which is compared whole.",
  },
  KEYLESS_SUBJECT_WRONG: {
    exit: 1,
    meaning: "A keyless statement is valid, but speaks of other files.",
    fix: "Fetch the statement that belongs to the file.",
  },
} as const satisfies Catalogue;

/** A keyless bundle is not accepted. */
export class KeylessError extends CodedError<keyof typeof keylessErrors> {
  constructor(code: keyof typeof keylessErrors, detail?: ErrorDetail) {
    super(code, keylessErrors[code], detail);
  }
}
