import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const ociSignErrors = {
  OCI_LAYOUT_UNREADABLE: {
    exit: 2,
    meaning: "A directory is not an OCI image layout with at least one image, or lacks a document that it names.",
    fix: "Make the layout again, or name the directory that holds oci-layout and index.json.",
  },
  OCI_SIGNER_UNSUITABLE: {
    exit: 2,
    meaning: "A container image cannot be signed by these signers: container engines need one with a P-256 key.",
    fix: "Sign with a P-256 key; further signers may be of any kind.",
  },
  OCI_SIGNATURE_UNVERIFIED: {
    exit: 70,
    meaning: "The signatures that were just made for an image do not verify.",
    fix: "Do not ship anything; report this with the output of `secai --version`.",
  },
} as const satisfies Catalogue;

/** An image layout was not signed. */
export class OciSignError extends CodedError<keyof typeof ociSignErrors> {
  constructor(code: keyof typeof ociSignErrors, detail?: ErrorDetail) {
    super(code, ociSignErrors[code], detail);
  }
}
