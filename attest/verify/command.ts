import { CodedError } from "@secai/formats/errors";
import { VerifyError } from "./errors.ts";
import { printable } from "./report-text.ts";

export interface CommandIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether standard output is a terminal that shows colours. */
  readonly colour?: boolean;
  /** The top of the checkout, when run from one. */
  readonly top?: string;
}

export const VERIFY_HELP = `secai verify: is this exactly what it says, and who says so?

  secai verify release DIR [options]     a release directory, offline
  secai verify file FILE [options]       one file with its signature, ours or another tool's
  secai verify runtime [options]         a running machine; see secai verify runtime --help
  secai verify forensic FILE --key PEM   incidents and audit records that a machine exported
  secai verify self-test                 this very verifier: does it refuse what it must?
  secai verify explain ID                what a check asks, the codes it can give, what to do; "list" names all

Exit status: 0 accepted, 1 rejected, 2 wrong use, 3 undecided, 70 our bug.
`;

/** The `verify` command. Returns the exit status; writes only through `io`. */
export async function runVerify(args: readonly string[], io: CommandIo): Promise<number> {
  const [what, ...rest] = args;
  try {
    switch (what) {
      case "release":
        return await (await import("./release-command.ts")).runVerifyRelease(rest, io);
      case "file":
        return await (await import("./file-command.ts")).runVerifyFile(rest, io);
      case "explain":
        return await (await import("./explain-command.ts")).runExplain(rest, io);
      case "runtime":
        return await (await import("./runtime-command.ts")).runVerifyRuntime(rest, io);
      case "forensic":
        return await (await import("./forensic-command.ts")).runVerifyForensic(rest, io);
      case "self-test":
        return await (await import("./self-test/command.ts")).runSelfTest(rest, io);
      case "--help":
      case "-h":
        io.stdout(VERIFY_HELP);
        return 0;
      default:
        throw new VerifyError("VERIFY_USAGE", {
          expected: "release, file, runtime, forensic, self-test or explain",
          actual: what ?? "nothing",
        });
    }
  } catch (error) {
    return reportError(error, io);
  }
}

function reportError(error: unknown, io: CommandIo): number {
  if (error instanceof CodedError) {
    // Names and values in it may come from what was looked at.
    const message = error.message.split("\n").map(printable).join("\n");
    io.stderr(`${message}\n  fix: ${printable(error.fix)}\n`);
    return error.exit;
  }
  io.stderr(`INTERNAL: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 70;
}
