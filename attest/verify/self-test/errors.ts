import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const selfTestErrors = {
  CORPUS_DAMAGED: {
    exit: 1,
    meaning: "The cases inside the verifier are not those it was built with.",
    fix: "Do not use this copy; take services/secai-verify.mjs from the release again.",
  },
  SELF_TEST_USAGE: {
    exit: 2,
    meaning: "The self-test was called in a way it does not know.",
    fix: "See `secai verify self-test --help`.",
  },
} as const satisfies Catalogue;

/** The self-test could not be run as asked; a case that fails is no error but the answer. */
export class SelfTestError extends CodedError<keyof typeof selfTestErrors> {
  constructor(code: keyof typeof selfTestErrors, detail?: ErrorDetail) {
    super(code, selfTestErrors[code], detail);
  }
}
