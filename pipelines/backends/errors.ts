import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const backendErrors = {
  GPU_BACKEND_MISSING: {
    exit: 1,
    meaning: "The recipe declares a backend, and the build has not made it or lacks one of its files.",
    fix: "Restore the input that the message names, or take the backend out of gpuBackends of the recipe.",
  },
  GPU_BACKEND_UNLOADABLE: {
    exit: 1,
    meaning: "A backend needs a library that neither the sealed root nor the backend's extension holds, or is no library at all.",
    fix: "Add the package that brings the library to the image or to the extension that holds the backend.",
  },
  GPU_BACKEND_UNHASHED: {
    exit: 1,
    meaning: "A backend's library is in the image, and what declares the backends has no digest or another digest of it.",
    fix: "Build the backend again; never add or change a library of a backend by hand.",
  },
  GPU_BACKEND_SOURCE_UNEXPECTED: {
    exit: 1,
    meaning: "A package that a backend is made of does not hold what this build knows of it.",
    fix: "Lock the release of the package that the message names, or teach the build the new one.",
  },
  GPU_BACKEND_PATCH: {
    exit: 1,
    meaning: "A patch of this repository does not apply to the sources that a backend is compiled from.",
    fix: "Bring the patch that the message names up to the locked release, or remove it when the release has the change.",
  },
  GPU_ARCHITECTURES_DIFFER: {
    exit: 1,
    meaning: "A compiled backend has code for other GPUs than it was asked for.",
    fix: "Name architectures that the toolkit of the tool root knows, such as 75-virtual.",
  },
  ELF_MALFORMED: {
    exit: 1,
    meaning: "A file that must be a 64-bit little-endian ELF library is none, or one whose tables point outside it.",
    fix: "Build or fetch the file again.",
  },
} as const satisfies Catalogue;

export type BackendErrorCode = keyof typeof backendErrors;

/** A backend that cannot be shipped as declared. */
export class BackendError extends CodedError<BackendErrorCode> {
  constructor(code: BackendErrorCode, detail?: ErrorDetail) {
    super(code, backendErrors[code], detail);
  }
}
