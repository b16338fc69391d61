import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const qualifyErrors = {
  GPU_NONE: {
    exit: 3,
    meaning: "This machine has no GPU that a declared backend is for, or no driver is bound to it.",
    fix: "Run it on a machine with an NVIDIA, AMD or Intel GPU and its driver loaded; `lspci -k` shows whether one is bound.",
  },
  GPU_TREES_MISSING: {
    exit: 3,
    meaning: "There is no built image whose backends could be qualified.",
    fix: "Build the image, then name its tree and its extensions' with --tree.",
  },
  GPU_LIBRARY_DIFFERS: {
    exit: 1,
    meaning:
      "A library is missing or is not the one that gpu-backends.json declares, so a run would prove nothing about the image.",
    fix: "Build the image and its extensions again, and name the trees of one build.",
  },
  GPU_NOT_RUN: {
    exit: 1,
    meaning: "A backend did not run the model on this machine.",
    fix: "Read the reason; a missing library belongs to the driver or to the backend's extension.",
  },
  GPU_TOKENS_DIFFER: {
    exit: 1,
    meaning: "A GPU does not compute what the CPU computes.",
    fix: "Do not use this GPU with this driver; report the tokens, the device and the driver's version.",
  },
} as const satisfies Catalogue;

export class QualifyError extends CodedError<keyof typeof qualifyErrors> {
  constructor(code: keyof typeof qualifyErrors, detail?: ErrorDetail) {
    super(code, qualifyErrors[code], detail);
  }
}
