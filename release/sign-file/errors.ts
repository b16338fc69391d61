import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const signFileErrors = {
  SIGN_USAGE: { exit: 2, meaning: "`secai sign` was asked for something it does not do.", fix: "Run `secai sign --help`." },
  SIGN_TARGET_UNUSABLE: {
    exit: 2,
    meaning: "What should be signed is not a plain file of a size that can be signed, or a predicate is no JSON object.",
    fix: "Name a file; sign a statement about it (--type, --predicate) when it is too large to be signed itself.",
  },
  SIGN_BUNDLE_EXISTS: {
    exit: 2,
    meaning: "There is a file already where the bundle should go.",
    fix: "Name another with --bundle, or move the old one away.",
  },
} as const satisfies Catalogue;

/** A file was not signed. */
export class SignFileError extends CodedError<keyof typeof signFileErrors> {
  constructor(code: keyof typeof signFileErrors, detail?: ErrorDetail) {
    super(code, signFileErrors[code], detail);
  }
}
