import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const baselineErrors = {
  BASELINE_ROOT_UNFIT: {
    exit: 1,
    meaning: "The root file system holds something that a sealed root cannot have.",
    fix: "Remove the device file, socket or oddly named file in the step that makes the tree.",
  },
  BASELINE_SETTING_MALFORMED: {
    exit: 1,
    meaning: "A file of the image that says how it behaves cannot be read the way the system reads it.",
    fix: "Write the line as its manual page says: sysctl.d(5), systemd.exec(5) or the comment in the file.",
  },
  BASELINE_PORTS_DISAGREE: {
    exit: 1,
    meaning: "The health check asks a port on which no enabled unit listens.",
    fix: "Make BIND_ADDR of the unit and the line in health-endpoints name the same port.",
  },
} as const satisfies Catalogue;

/** A root that cannot be described as a baseline. */
export class BaselineError extends CodedError<keyof typeof baselineErrors> {
  constructor(code: keyof typeof baselineErrors, detail?: ErrorDetail) {
    super(code, baselineErrors[code], detail);
  }
}
