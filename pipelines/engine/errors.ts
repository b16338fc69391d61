import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const engineErrors = {
  STEP_FAILED: {
    exit: 1,
    meaning: "A build step ended with an exit status other than 0.",
    fix: "Read the log named in the message; `scripts/secai step shell ID` opens the same sandbox.",
  },
  STEP_OUTPUT_MISSING: {
    exit: 70,
    meaning: "A build step ended well without making an output it declares.",
    fix: "Correct the step's program or its declared outputs.",
  },
  STEP_OUTPUT_UNDECLARED: {
    exit: 70,
    meaning: "A build step left something in /out that it does not declare.",
    fix: "Declare the output, or write scratch files to /tmp.",
  },
  STEP_SOURCE_CHANGED: {
    exit: 3,
    meaning: "A source file or program changed after the plan was made.",
    fix: "Run the command again without editing the files meanwhile.",
  },
  STEP_UNKNOWN: { exit: 2, meaning: "The plan has no step of this name.", fix: "List the steps with `scripts/secai plan`." },
  STEP_NOT_RECORDED: {
    exit: 3,
    meaning: "No step of the plan has ever run with its present inputs, so no time is known.",
    fix: "Build the recipe once: `scripts/secai image RECIPE`.",
  },
  STEP_NEEDS_RUNNER: {
    exit: 3,
    meaning: "A step needs the devices and every capability of a machine, which sandboxes of this one do not give it.",
    fix: "Use --engine dagger with a runner that allows privileged containers, or build without what the message names.",
  },
  PLAN_INVALID: {
    exit: 70,
    meaning: "A plan refers to something it does not hold, or its steps are not in an order in which they can run.",
    fix: "Correct the code that makes the plan.",
  },
  BUILD_CANCELLED: { exit: 3, meaning: "The build was stopped before it ended.", fix: "Run it again; finished steps are kept." },
  SECRET_MISSING: {
    exit: 2,
    meaning: "A step needs a key that is not in the keyring.",
    fix: "Make the keys with `scripts/secai keys init`.",
  },
  SANDBOX_UNAVAILABLE: {
    exit: 3,
    meaning: "bubblewrap cannot make a sandbox on this machine.",
    fix: "Install it with `apt-get install bubblewrap` and run on the machine itself, not in a chroot or a locked-down container.",
  },
  USER_NAMESPACE_UNAVAILABLE: {
    exit: 3,
    meaning: "An ordinary user cannot make a user namespace with subordinate ids on this machine.",
    fix: "Run as root, or: `apt-get install uidmap`, `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`, and allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu also `kernel.apparmor_restrict_unprivileged_userns=0`).",
  },
  CACHE_BUSY: {
    exit: 3,
    meaning: "Another run uses the cache, so nothing can be removed from it.",
    fix: "Wait for the other run to end and try again.",
  },
  CACHE_LOCK_FAILED: {
    exit: 3,
    meaning: "The cache could not be locked.",
    fix: "Check that util-linux is installed and that the cache folder is writable and has free space.",
  },
  ENGINE_UNKNOWN: { exit: 2, meaning: "There is no engine of this name.", fix: "Use --engine local, dagger or auto." },
  JOBS_INVALID: {
    exit: 2,
    meaning: "The number of steps that may run at once is not one from 1 to 64.",
    fix: "Use --jobs with such a number.",
  },
  CACHE_USAGE: {
    exit: 2,
    meaning: "A cache or step command was called in a wrong way.",
    fix: "Run `scripts/secai cache --help` or `scripts/secai step --help`.",
  },
} as const satisfies Catalogue;

export type EngineErrorCode = keyof typeof engineErrors;

/** A build that could not be done, or a cache that could not be used. */
export class EngineError extends CodedError<EngineErrorCode> {
  constructor(code: EngineErrorCode, detail?: ErrorDetail) {
    super(code, engineErrors[code], detail);
  }
}
