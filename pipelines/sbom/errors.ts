import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const sbomErrors = {
  SBOM_INPUT_MALFORMED: {
    exit: 1,
    meaning: "A file that the SBOM is made from does not have its format.",
    fix: "Run the step that wrote the file again; when it stays so, report a bug.",
  },
  SBOM_FILE_UNOWNED: {
    exit: 1,
    meaning: "A file of the image belongs to no package, no overlay, no known generator and no declared exception.",
    fix: "Remove the file in the step that makes the tree, or declare it in pipelines/sbom/declared.ts with the reason.",
  },
  SBOM_CROSSCHECK_DIFFERS: {
    exit: 1,
    meaning: "Another reader of the same root sees other files or packages than the SBOM.",
    fix: "Build the tree again; when it stays so, report a bug: one of the two readers is wrong.",
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
  SBOM_BACKEND_DIFFERS: {
    exit: 1,
    meaning: "A library of a GPU backend is missing, has other bytes than declared, or is declared by nothing.",
    fix: "Build the backends with the plan's own steps; nothing else may put files into their folders.",
  },
  SBOM_MODULE_DIFFERS: {
    exit: 1,
    meaning: "A kernel module that was compiled for the image is missing, has other bytes than listed, or is listed nowhere.",
    fix: "Build the modules with the plan's own steps; nothing else may put files into their folder.",
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
