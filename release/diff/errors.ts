import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const diffErrors = {
  DIFF_USAGE: {
    exit: 2,
    meaning: "A comparison was asked for in a way it does not know.",
    fix: "See `secai release diff --help`.",
  },
  DIFF_NOT_WRITTEN: {
    exit: 3,
    meaning: "The page of a comparison could not be written.",
    fix: "Name a file in a folder that you may write to.",
  },
} as const satisfies Catalogue;

/** Two releases were not compared. */
export class DiffError extends CodedError<keyof typeof diffErrors> {
  constructor(code: keyof typeof diffErrors, detail?: ErrorDetail) {
    super(code, diffErrors[code], detail);
  }
}
