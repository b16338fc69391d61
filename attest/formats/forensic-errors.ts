import { type Catalogue, CodedError, type ErrorDetail } from "./errors.ts";

/** Why a forensic bundle is refused. */
export const forensicErrors = {
  FORENSIC_AMBIGUOUS: {
    exit: 1,
    meaning:
      "A forensic bundle is not written as the incident recorder writes it, so two readers might see different things in it.",
    fix: "Use the file as it was exported; do not reformat it.",
  },
  FORENSIC_AUDIT: {
    exit: 1,
    meaning: "The audit records in a forensic bundle do not follow one another up to the head that it names.",
    fix: "Treat the machine as tampered with; keep the bundle and its audit log as evidence.",
  },
  FORENSIC_CONTENT: {
    exit: 1,
    meaning: "A forensic bundle does not hold what it says about itself.",
    fix: "Export it again; keep this one as evidence.",
  },
  FORENSIC_KEY: {
    exit: 1,
    meaning: "A forensic bundle is not by the given key, or the key is none of an incident recorder.",
    fix: "Use the incident-recorder-signing.pub that was kept of this machine.",
  },
  FORENSIC_SIGNATURE: {
    exit: 1,
    meaning: "A forensic bundle was changed after the incident recorder signed it.",
    fix: "Do not rely on it; export it again or use another copy.",
  },
} as const satisfies Catalogue;

export class ForensicError extends CodedError<keyof typeof forensicErrors> {
  constructor(code: keyof typeof forensicErrors, detail?: ErrorDetail) {
    super(code, forensicErrors[code], detail);
  }
}
