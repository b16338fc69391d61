import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const daggerErrors = {
  DAGGER_NOT_FOUND: {
    exit: 3,
    meaning: "No Dagger engine can be reached: no session is running and no dagger program is in PATH.",
    fix: "Install the dagger CLI, or run the command below `dagger run`, or use --engine local.",
  },
  DAGGER_SESSION_INVALID: {
    exit: 2,
    meaning: "The variables that name a running Dagger session are incomplete or malformed.",
    fix: "Set DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN as `dagger run` does, or unset both.",
  },
  DAGGER_CLI_FAILED: {
    exit: 3,
    meaning: "The dagger program does not run, or ended before it opened a session.",
    fix: "Run `dagger version` and `dagger core version` by hand and read what they say.",
  },
  DAGGER_RUNNER_INVALID: {
    exit: 2,
    meaning: "_EXPERIMENTAL_DAGGER_RUNNER_HOST is not the address of a runner.",
    fix: "Use unix://PATH, tcp://HOST:PORT, tls://HOST:PORT, ssh://HOST, kube-pod://POD?namespace=NAME, container://NAME or image://REFERENCE.",
  },
  DAGGER_RUNNER_UNREACHABLE: {
    exit: 3,
    meaning: "The Dagger runner cannot be reached from this machine.",
    fix: "Start the runner or install the program that the message names.",
  },
  DAGGER_SDK_MISSING: {
    exit: 3,
    meaning: "The Dagger SDK is not installed and could not be installed.",
    fix: "Run `npm ci` in pipelines/engine/dagger/sdk on a machine that reaches the npm registry.",
  },
  DAGGER_SDK_UNKNOWN: {
    exit: 70,
    meaning: "The installed Dagger SDK does not have the shape this engine was written for.",
    fix: "Install the locked version: `npm ci` in pipelines/engine/dagger/sdk.",
  },
  DAGGER_CONNECTION_LOST: {
    exit: 3,
    meaning: "The connection to the Dagger session broke.",
    fix: "Check that the runner still runs and has disk space, then run the command again; finished steps are kept.",
  },
  DAGGER_DEADLINE: {
    exit: 3,
    meaning: "The Dagger engine did not answer in time.",
    fix: "Check the runner's load and logs, then run the command again; finished steps are kept.",
  },
  DAGGER_QUERY_FAILED: {
    exit: 3,
    meaning: "The Dagger engine refused or failed an operation that is not the step's own program.",
    fix: "Read the message and the runner's log; check that its version fits the SDK's.",
  },
  DAGGER_PLATFORM: {
    exit: 3,
    meaning: "The runner has another platform than this machine.",
    fix: "Use a runner of this machine's architecture.",
  },
  DAGGER_SANDBOX_UNAVAILABLE: {
    exit: 3,
    meaning: "The runner cannot make the sandbox that every step runs in.",
    fix: "Allow containers with all root capabilities on the runner (security.insecure), and run it privileged.",
  },
  DAGGER_SANDBOX_OPEN: {
    exit: 1,
    meaning: "The probe step could do on the runner what no step may: reach a network, hold capabilities or write to its tools.",
    fix: "Do not build on this runner; use one with an unmodified kernel and engine.",
  },
  DAGGER_TRANSFER: {
    exit: 3,
    meaning: "What arrived from the runner, or at it, is not what was sent.",
    fix: "Run the command again; if it happens again, check the runner's disk.",
  },
  DAGGER_LAUNCHER_INVALID: {
    exit: 2,
    meaning: "SECAI_DAGGER_LAUNCHER is not an image reference with a digest.",
    fix: "Use NAME@sha256:DIGEST, or unset it to use this machine's own programs.",
  },
} as const satisfies Catalogue;

export type DaggerErrorCode = keyof typeof daggerErrors;

/** The Dagger engine could not be reached or did not do what it must. Holds no query text and no cause that might. */
export class DaggerError extends CodedError<DaggerErrorCode> {
  constructor(code: DaggerErrorCode, detail?: Omit<ErrorDetail, "cause">) {
    super(code, daggerErrors[code], detail);
  }
}
