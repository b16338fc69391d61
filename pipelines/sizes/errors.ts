import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const sizeErrors = {
  SIZE_GREW: {
    exit: 1,
    meaning: "A part of the image grew by more than a tenth since its size was last accepted, or is new.",
    fix: "Find out why from the packages named; if it is meant to be so, run secai image RECIPE --accept-sizes and commit recipes/sizes.",
  },
  SIZE_RECORD_MALFORMED: {
    exit: 2,
    meaning: "The recorded sizes of a recipe cannot be read.",
    fix: "Restore the file below recipes/sizes from the history, or write it again with secai image RECIPE --accept-sizes.",
  },
  SIZE_UNRECORDED: {
    exit: 2,
    meaning: "A release needs the sizes of its parts on record, and its recipe has none.",
    fix: "Run secai image RECIPE --accept-sizes, look at what it wrote, and commit it.",
  },
} as const satisfies Catalogue;

/** Sizes of an image's parts that nobody has accepted. */
export class SizeError extends CodedError<keyof typeof sizeErrors> {
  constructor(code: keyof typeof sizeErrors, detail?: ErrorDetail) {
    super(code, sizeErrors[code], detail);
  }
}
