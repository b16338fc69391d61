import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const vexErrors = {
  WAIVERS_INVALID: {
    exit: 2,
    meaning: "The file of vulnerability waivers is not what its schema says.",
    fix: "Correct the place that the message names.",
  },
  WAIVER_EXPIRED: {
    exit: 1,
    meaning: "A vulnerability waiver is past its date.",
    fix: "Look at the vulnerability again: mend it, or record a new reason and date.",
  },
  WAIVER_UNMATCHED: {
    exit: 1,
    meaning: "A waiver is about a package that the lock does not have.",
    fix: "Remove the waiver, or correct the package's name.",
  },
  VULNERABILITY_OPEN: {
    exit: 1,
    meaning: "A scanner named a vulnerability that no waiver covers.",
    fix: "Update the package, or record a waiver with its reason.",
  },
} as const satisfies Catalogue;

/** Waivers, or findings that they do not cover. */
export class VexError extends CodedError<keyof typeof vexErrors> {
  constructor(code: keyof typeof vexErrors, detail?: ErrorDetail) {
    super(code, vexErrors[code], detail);
  }
}
