import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const runtimeErrors = {
  EVIDENCE_MALFORMED: {
    exit: 1,
    meaning: "A file that should be a machine's evidence is not such a document.",
    fix: "Collect it again with `node /usr/libexec/secure-ai/secai-evidence.mjs --nonce HEX` in the machine.",
  },
  EVIDENCE_TOO_LARGE: {
    exit: 1,
    meaning: "A file of the machine is larger than evidence may hold.",
    fix: "Look at the file named in the message; a genuine log is smaller.",
  },
  TPM_COMMAND_FAILED: {
    exit: 3,
    meaning: "A TPM command failed, printed too much or did not end in time.",
    fix: "Run as root, and look at the command's own message; then try again.",
  },
  STATE_COMMAND_FAILED: {
    exit: 3,
    meaning: "A program of the machine that says how it runs failed, printed too much or did not end in time.",
    fix: "Run as root on a machine that has come up, and look at the program's own message; then try again.",
  },
  REMOTE_FAILED: {
    exit: 3,
    meaning: "The command that should reach the machine could not be started, failed or did not end in time.",
    fix: "Try the same command with `true` in the collector's place; the machine must be up, and the collector needs root.",
  },
  RUNTIME_USAGE: {
    exit: 2,
    meaning: "The command line of a runtime check is wrong.",
    fix: "See `secai verify runtime --help`.",
  },
  RUNTIME_FILE_UNREADABLE: {
    exit: 2,
    meaning: "A file named on the command line cannot be read.",
    fix: "Check its name and permissions.",
  },
  RUNTIME_POLICY_MALFORMED: {
    exit: 2,
    meaning: "A runtime policy file does not have the shape its schema demands.",
    fix: "Compare it with the policy's description in `secai verify runtime --help`.",
  },
} as const satisfies Catalogue;

/** Failures around runtime evidence that are not findings about the machine. */
export class RuntimeError extends CodedError<keyof typeof runtimeErrors> {
  constructor(code: keyof typeof runtimeErrors, detail?: ErrorDetail) {
    super(code, runtimeErrors[code], detail);
  }
}
