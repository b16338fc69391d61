import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const sbomErrors = {
  SBOM_INPUT_MALFORMED: {
    exit: 1,
    meaning: "A file that the SBOM is made from does not have its format.",
    fix: "Run the step that wrote the file again; when it stays so, report a bug.",
  },
  SBOM_BUNDLE_INPUT_UNKNOWN: {
    exit: 1,
    meaning: "The bundler names a file that belongs to no npm package and no workspace.",
    fix: "Import the file through a package, so that its version and licence are known.",
  },
  SBOM_SERVICE_UNDOCUMENTED: {
    exit: 1,
    meaning: "The image holds a service bundle that no service SBOM describes.",
    fix: "Build the bundle with the plan's own steps; they write its SBOM.",
  },
  SBOM_SERVICE_ABSENT: {
    exit: 1,
    meaning: "A service SBOM describes a bundle that is not in the image.",
    fix: "Take the service out of the recipe, or put its bundle into the image.",
  },
} as const satisfies Catalogue;

/** An SBOM that would be incomplete or untrue. */
export class SbomError extends CodedError<keyof typeof sbomErrors> {
  constructor(code: keyof typeof sbomErrors, detail?: ErrorDetail) {
    super(code, sbomErrors[code], detail);
  }
}
