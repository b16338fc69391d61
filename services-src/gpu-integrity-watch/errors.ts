import { type Catalogue, CodedError, type ErrorDetail } from "@secai/kit/errors";

export const gpuWatchErrors = {
  GPU_BASELINE_EXISTS: {
    exit: 1,
    meaning: "There is a GPU baseline already, and nobody asked to replace it.",
    fix: 'Compare what is there with what should be; then send {"replace":true}.',
  },
  GPU_BASELINE_FOREIGN: {
    exit: 1,
    meaning: "The GPU baseline was signed with another key than this machine's.",
    fix: "Treat it as tampered with; after looking into it capture a new one with replace and accept_digest.",
  },
  GPU_BASELINE_INCOMPLETE: {
    exit: 3,
    meaning: "Something that belongs into a GPU baseline cannot be read now.",
    fix: "Mend what the service's log names, then capture again.",
  },
  GPU_BASELINE_MALFORMED: {
    exit: 1,
    meaning: "The GPU baseline is not a document that this service writes.",
    fix: "Treat it as tampered with; after looking into it capture a new one with replace and accept_digest.",
  },
  GPU_BASELINE_MISSING: {
    exit: 1,
    meaning: "The GPU baseline is gone although one was captured.",
    fix: "Find out who removed it; then capture a new one with replace and accept_digest.",
  },
  GPU_BASELINE_OTHER: {
    exit: 1,
    meaning: "What would be captured is not what the caller looked at and accepted.",
    fix: 'Send {"dry_run":true}, look at what it names, and accept its digest.',
  },
  GPU_BASELINE_REPLACED: {
    exit: 1,
    meaning: "The GPU baseline is genuine, but not the one that was captured last.",
    fix: "Find out who put an older one back; then capture a new one with replace and accept_digest.",
  },
  GPU_BASELINE_SIGNATURE: {
    exit: 1,
    meaning: "The GPU baseline was edited after it was signed.",
    fix: "Treat it as tampered with; after looking into it capture a new one with replace and accept_digest.",
  },
  GPU_BASELINE_UNSAFE: {
    exit: 1,
    meaning: "The GPU watch warns at the moment, so a new baseline would bless what it warns of.",
    fix: 'Send {"dry_run":true}, look at what it names, and send its digest as accept_digest if that is how it should be.',
  },
  GPU_MODELS_UNREADABLE: {
    exit: 3,
    meaning: "The folder of models cannot be read whole.",
    fix: "Check the folder's owner and mode, and that it holds no more than the limits in the message.",
  },
  GPU_PROFILE_REFUSED: {
    exit: 2,
    meaning: "The profile on disk was refused; the one that was in force still is.",
    fix: "Read the service's log, correct the file, reload again.",
  },
  GPU_TOOL_FAILED: {
    exit: 3,
    meaning: "The driver's own tool did not answer, so its counters are unknown.",
    fix: "Run the tool by hand as root and read what it says.",
  },
  GPU_TOOL_OUTPUT: {
    exit: 3,
    meaning: "The driver's own tool answered with something that is not the table that was asked for.",
    fix: "Check that the driver and its tool are of the same release.",
  },
} as const satisfies Catalogue;

export type GpuWatchErrorCode = keyof typeof gpuWatchErrors;

export class GpuWatchError extends CodedError<GpuWatchErrorCode> {
  constructor(code: GpuWatchErrorCode, detail?: ErrorDetail) {
    super(code, gpuWatchErrors[code], detail);
  }
}
