import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const gateErrors = {
  GATE_REJECTED: {
    exit: 1,
    meaning: "A release was refused by the verifier, so nothing was done with it.",
    fix: "Run `secai verify release DIR` for the whole report; fetch the release again or ask its publisher.",
  },
  GATE_UNDECIDED: {
    exit: 3,
    meaning: "The verifier lacks something it needs to judge a release, so nothing was done with it.",
    fix: "Run `secai verify release DIR`; name media that were not fetched with --without.",
  },
  GATE_UNASKABLE: {
    exit: 2,
    meaning: "The verifier could not be asked: a wrong directory, key or option.",
    fix: "Try the same options with `secai verify release DIR`.",
  },
  GATE_READ: {
    exit: 3,
    meaning: "A file of a verified release could not be read.",
    fix: "See that nothing else changes the directory, then run the command again.",
  },
} as const satisfies Catalogue;

/** A release did not pass the gate in front of flashing, comparing or publishing. */
export class GateError extends CodedError<keyof typeof gateErrors> {
  constructor(code: keyof typeof gateErrors, detail?: ErrorDetail) {
    super(code, gateErrors[code], detail);
  }
}
