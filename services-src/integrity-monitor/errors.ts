import { type Catalogue, CodedError, type ErrorDetail } from "@secai/kit/errors";

export const monitorErrors = {
  BASELINE_MALFORMED: {
    exit: 1,
    meaning: "The saved integrity baseline was cut off, or is something else.",
    fix: "Treat the machine as tampered with: keep the file as evidence; `secai recover` says how a baseline is taken anew.",
  },
  BASELINE_SIGNATURE: {
    exit: 1,
    meaning: "The saved integrity baseline was edited, or another key signed it.",
    fix: "Treat the machine as tampered with: keep the file as evidence; `secai recover` says how a baseline is taken anew.",
  },
  BASELINE_MISSING: {
    exit: 1,
    meaning: "The integrity baseline is gone although this machine had one.",
    fix: "Treat the machine as tampered with; restore the file, or remove the latch beside it as well to begin anew.",
  },
  BASELINE_REPLAYED: {
    exit: 1,
    meaning: "The integrity baseline is an older one of this machine, put back.",
    fix: "Treat the machine as tampered with; restore the newest baseline.",
  },
  LATCH_MALFORMED: {
    exit: 1,
    meaning: "The file that remembers violations was cut off, or is something else.",
    fix: "Treat the machine as tampered with: keep the file as evidence.",
  },
  LATCH_SIGNATURE: {
    exit: 1,
    meaning: "The file that remembers violations was edited, or another key signed it.",
    fix: "Treat the machine as tampered with: keep the file as evidence.",
  },
  LATCH_MISSING: {
    exit: 1,
    meaning: "The file that remembers violations is gone although there is a baseline.",
    fix: "Treat the machine as tampered with; restore the file, or remove the baseline as well to begin anew.",
  },
  MONITOR_POLICY: {
    exit: 2,
    meaning: "A rule of the integrity monitor's policy cannot mean what it says.",
    fix: "Correct the rule named in the message.",
  },
  MONITOR_RELOAD_FAILED: {
    exit: 2,
    meaning: "The integrity monitor's policy was refused; the one that was in force still is.",
    fix: "Read the service's log, correct the file, reload again.",
  },
  MONITOR_SCANNING: {
    exit: 3,
    meaning: "The first look at the machine has not ended yet.",
    fix: "Ask again in a few seconds.",
  },
  MONITOR_COMMAND: {
    exit: 3,
    meaning: "A program that the integrity monitor asks failed, printed too much or did not end in time.",
    fix: "Look at the program's own message, and at the capabilities of the service's unit.",
  },
  REBASELINE_REFUSED: {
    exit: 1,
    meaning:
      "Something of the release is not as the release has it, or what stands is not what was accepted, so nothing is taken for good.",
    fix: "Look again; restore what /api/v1/status lists. A changed release is never taken into a baseline.",
  },
  RELEASE_REFUSED: {
    exit: 1,
    meaning: "The machine is still not as its baseline has it, so the latch stays.",
    fix: "Restore what /api/v1/status lists, or take it into the baseline if it is meant to be so; then release again.",
  },
  ROOT_UNSEALED: {
    exit: 1,
    meaning: "The root file system is not a read-only one below dm-verity whose root hash the kernel's command line names.",
    fix: "Start the image as it was built.",
  },
} as const satisfies Catalogue;

export type MonitorErrorCode = keyof typeof monitorErrors;

export class MonitorError extends CodedError<MonitorErrorCode> {
  constructor(code: MonitorErrorCode, detail?: ErrorDetail) {
    super(code, monitorErrors[code], detail);
  }
}
