import { type Catalogue, CodedError, type ErrorDetail } from "@secai/kit/errors";

export const cliErrors = {
  CLI_CHAIN_UNKNOWN: {
    exit: 2,
    meaning: "There is no audit chain of that name.",
    fix: "Run `secai audit verify` without a name: it lists all of them.",
  },
  CLI_FILE_EXISTS: {
    exit: 2,
    meaning: "There is a file of that name already, and it is not written over.",
    fix: "Name another file, or repeat with --force.",
  },
  CLI_FILE_UNWRITABLE: {
    exit: 3,
    meaning: "A file cannot be written in that place, and nothing of it is left there.",
    fix: "Name another place: a directory that exists, with room, on a file system with hard links.",
  },
  CLI_NONCE: {
    exit: 1,
    meaning: "The attestor answered with a state that was attested for another request.",
    fix: "Ask again; if it stays, treat the attestor as replaced.",
  },
  CLI_NOT_ROOT: {
    exit: 2,
    meaning: "The credentials of the appliance can only be read by root.",
    fix: "Run the command as root.",
  },
  CLI_RELEASE_PENDING: {
    exit: 3,
    meaning: "The recovery ceremony is complete, but not everything that was closed has opened again yet.",
    fix: "Run the same command again in a minute; `secai recover list` says what is still closed.",
  },
  CLI_SIGNATURE: {
    exit: 1,
    meaning: "An attested state is not signed by this machine's attestor.",
    fix: "Treat the attestor as replaced; verify the machine from outside with `secai verify runtime`.",
  },
  CLI_USAGE: { exit: 2, meaning: "The command was called with words that it does not know.", fix: "Run it with --help." },
} as const satisfies Catalogue;

export type CliErrorCode = keyof typeof cliErrors;

export class CliError extends CodedError<CliErrorCode> {
  constructor(code: CliErrorCode, detail?: ErrorDetail) {
    super(code, cliErrors[code], detail);
  }
}
