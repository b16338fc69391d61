import { parseArgs } from "node:util";
import { ClientError } from "@secai/kit/client-errors";
import { CodedError } from "@secai/kit/errors";
import type { Command, Flags, Invocation } from "./command.ts";
import { attestCommand } from "./commands/attest.ts";
import { auditCommand } from "./commands/audit.ts";
import { baselineCommand } from "./commands/baseline.ts";
import { incidentsCommand } from "./commands/incidents.ts";
import { recoverCommand } from "./commands/recover.ts";
import { statusCommand } from "./commands/status.ts";
import { vaultCommand } from "./commands/vault.ts";
import { CliError } from "./errors.ts";
import type { Machine } from "./machine.ts";
import { createOutput, printable } from "./output.ts";

const commands: readonly Command[] = [
  statusCommand,
  incidentsCommand,
  attestCommand,
  baselineCommand,
  auditCommand,
  recoverCommand,
  vaultCommand,
];

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  json: { type: "boolean" },
  yes: { type: "boolean" },
  all: { type: "boolean" },
  replace: { type: "boolean" },
  force: { type: "boolean" },
  state: { type: "string" },
  class: { type: "string" },
  severity: { type: "string" },
  operator: { type: "string" },
  accept: { type: "string" },
} as const;

export const HELP = `secai: this appliance, by hand

${commands.map(({ name, summary }) => `  secai ${name.padEnd(10)} ${summary}`).join("\n")}

Every command takes --help and --json. What changes something only says what it would do, until it is given --yes.
Exit status: 0 well, 1 something says no, 2 wrong use, 3 something cannot be said, 70 a bug.
`;

export interface Surroundings {
  readonly openMachine: () => Machine;
  readonly colour: boolean;
  out(text: string): void;
  err(text: string): void;
  sleep(ms: number): Promise<void>;
}

/** The whole command but its process. Returns the exit status; never throws. */
export async function secai(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const wantsJson = argv.includes("--json");
  try {
    return await dispatch(argv, surroundings);
  } catch (error) {
    return explain(error, wantsJson, surroundings);
  }
}

async function dispatch(argv: readonly string[], { openMachine, colour, out, err, sleep }: Surroundings): Promise<number> {
  const { positionals, values } = parse(argv);
  const [name, ...words] = positionals;
  if (name === undefined) {
    (values.help === true ? out : err)(HELP);
    return values.help === true ? 0 : 2;
  }
  const command = commands.find((one) => one.name === name);
  if (command === undefined) throw usage(commands.map((one) => one.name).join(", "), name);
  if (values.help === true) {
    out(command.help);
    return 0;
  }
  const invocation: Invocation = {
    machine: openMachine(),
    out: createOutput({ json: values.json === true, colour, write: out }),
    words,
    flags: toFlags(command, values),
    sleep,
  };
  return command.run(invocation);
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (cause) {
    throw usage("known flags", (cause as Error).message.split("\n")[0] ?? "-");
  }
}

const usage = (expected: string, actual: string) => new CliError("CLI_USAGE", { expected, actual, fix: "Run `secai --help`." });

/** A flag that a command does not know is a mistake, not something to be ignored. */
function toFlags({ name, flags }: Command, values: ReturnType<typeof parse>["values"]): Flags {
  const given = Object.keys(values).filter((key) => key !== "json" && key !== "help");
  const stray = given.find((key) => !(flags as readonly string[]).includes(key));
  if (stray !== undefined)
    throw new CliError("CLI_USAGE", {
      expected: `flags of secai ${name}`,
      actual: `--${stray}`,
      fix: `Run \`secai ${name} --help\`.`,
    });
  const { yes, all, replace, force, state, class: className, severity, operator, accept } = values;
  const switches = { yes: yes === true, all: all === true, replace: replace === true, force: force === true };
  return { ...switches, state, class: className, severity, operator, accept };
}

/** What a refusal asks for, by its code: mostly a service's own. */
const NEXT: Readonly<Record<string, string>> = {
  INCIDENT_UNKNOWN: "secai incidents list --all",
  INCIDENT_TRANSITION: "secai incidents show INCIDENT: it is in a state from which this is no step",
  RECOVERY_REQUIRED: "secai recover INCIDENT",
  RECOVERY_BUSY: "wait until its containment has ended, then repeat",
  RECOVERY_REFUSED: "secai attest status: the machine was not attested well enough",
  ATTESTOR_UNAVAILABLE: "systemctl status secure-ai-runtime-attestor.service",
  GPU_BASELINE_EXISTS: "repeat with --replace",
  GPU_BASELINE_UNSAFE: "secai baseline verify; then --accept DIGEST, if that is how it should be",
  GPU_BASELINE_OTHER: "secai baseline capture-gpu, and accept the digest that it prints",
  RELEASE_REFUSED: "secai baseline verify: something is still not as it should be",
  REBASELINE_REFUSED:
    "secai baseline verify: put right what is the release's, a mount, a module, a socket or the firewall; that is never accepted",
  FORENSIC_TOO_LARGE: "resolve and acknowledge incidents (secai incidents), then repeat",
  FORENSIC_KEY: "nothing was written. Treat the recorder as replaced: it does not sign with this machine's key",
  FORENSIC_SIGNATURE: "nothing was written. Treat the recorder as replaced: what it answers is not what was signed",
};

function explain(error: unknown, json: boolean, { err, out }: Surroundings): number {
  if (!(error instanceof CodedError)) {
    err(`secai: BUG: ${printable(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`);
    return 70;
  }
  const [, refusal] = error instanceof ClientError ? (/\b\d{3} ([A-Z][A-Z0-9_]+)$/.exec(error.message) ?? []) : [];
  const code = refusal ?? error.code;
  const next = NEXT[code] ?? error.fix;
  err(`secai: ${printable(error.message)}\n  next: ${next}\n`);
  if (json) out(`${JSON.stringify({ error: { code, message: error.message, next } }, undefined, 2)}\n`);
  return error.exit;
}
