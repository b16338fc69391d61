import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const preflightErrors = {
  PREFLIGHT_MISSING: {
    exit: 3,
    meaning: "Programs that are needed are not installed on this machine.",
    fix: "Install the packages that the message names.",
  },
  PREFLIGHT_INSTALL_FAILED: {
    exit: 3,
    meaning: "Programs that are needed are missing, and apt could not install them.",
    fix: "Run the command that the message names and read what apt says.",
  },
} as const satisfies Catalogue;

/** The host lacks something; says how to get it. */
export class PreflightError extends CodedError<keyof typeof preflightErrors> {
  constructor(code: keyof typeof preflightErrors, detail?: ErrorDetail) {
    super(code, preflightErrors[code], detail);
  }
}
