import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const verifyFormatErrors = {
  XML_MALFORMED: {
    exit: 1,
    meaning: "A file is not plain XML: a document type, an odd entity or unbalanced elements.",
    fix: "Fetch the file again; a genuine one is plain.",
  },
  OCI_MALFORMED: {
    exit: 1,
    meaning: "A document of an OCI image layout is not one of an image of ours.",
    fix: "Fetch the oci folder again.",
  },
  MEDIUM_MALFORMED: {
    exit: 1,
    meaning: "A medium does not say in the known place which image it installs.",
    fix: "Fetch the medium again.",
  },
} as const satisfies Catalogue;

/** Part of a release, read by the verifier alone, that is not what it must be. */
export class VerifyFormatError extends CodedError<keyof typeof verifyFormatErrors> {
  constructor(code: keyof typeof verifyFormatErrors, detail?: ErrorDetail) {
    super(code, verifyFormatErrors[code], detail);
  }
}
