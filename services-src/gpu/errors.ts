import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const gpuErrors = {
  GPU_USAGE: { exit: 2, meaning: "A GPU program was called with the wrong flags.", fix: "Run it with --help." },
  GPU_RUNTIME_UNUSABLE: {
    exit: 3,
    meaning: "The runtime that runs models cannot be loaded.",
    fix: "Install the missing library that the message names, or use a runtime for this machine.",
  },
  GPU_MODEL_UNUSABLE: {
    exit: 1,
    meaning: "The runtime refuses the model, or did not compute it.",
    fix: "Check the model file; for the built-in model report the message.",
  },
  GPU_STATE_UNSAFE: {
    exit: 1,
    meaning: "Something other than a plain file of root's stands where the state of the GPU is written.",
    fix: "Find out who put it there; remove it and start secure-ai-gpu-detect.service.",
  },
} as const satisfies Catalogue;

export class GpuError extends CodedError<keyof typeof gpuErrors> {
  constructor(code: keyof typeof gpuErrors, detail?: ErrorDetail) {
    super(code, gpuErrors[code], detail);
  }
}
