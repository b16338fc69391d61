// `vault-ctl status | lock | unlock | setup`: the vault by hand, for root at this machine.
import { parseArgs } from "node:util";
import { CodedError } from "@secai/kit/errors";
import { errorFields, type Log } from "@secai/kit/log";
import { systemClock as clock } from "@secai/kit/sources";
import { VaultError } from "../errors.ts";
import { exclusively } from "../exclusive.ts";
import { readLatches } from "../latches.ts";
import { readPassphrase } from "../passphrase.ts";
import { openVaultAudit } from "../record.ts";
import { relock } from "../relock.ts";
import { loadSettings, type Settings } from "../settings.ts";
import { MAX_MIB, MIN_MIB, setUp } from "../setup.ts";
import { stateOf } from "../state.ts";
import { writeState } from "../state-file.ts";
import { requireUnlatched, unlock } from "../unlock.ts";

const HELP = `vault-ctl: the encrypted vault of this appliance

  vault-ctl status                        what state it is in, and which incidents keep it closed (exit 0 only if unlocked)
  vault-ctl lock                          stop its users, unmount it, forget its key
  vault-ctl unlock                        asks for the passphrase on the terminal, or reads it from standard input
  vault-ctl setup --file PATH --mib N     makes a new vault in a new file; nothing that exists is touched

Passphrases have 12 to 4096 bytes. They are never taken from arguments.
`;

const log: Log = (level, message, fields = {}) => {
  process.stderr.write(
    `${level}: ${message}${Object.entries(fields)
      .map(([key, value]) => ` ${key}=${JSON.stringify(value)}`)
      .join("")}\n`,
  );
};

async function main(argv: readonly string[]): Promise<number> {
  const { positionals, values } = readArguments(argv);
  if (values.help === true || positionals.length === 0) {
    process.stdout.write(HELP);
    return values.help === true ? 0 : 2;
  }
  const [command, ...rest] = positionals;
  if (rest.length > 0) throw usage("one command", positionals.join(" "));
  const settings = await loadSettings(process.env);
  switch (command) {
    case "status":
      return status(settings);
    case "lock":
      return lock(settings);
    case "unlock":
      return open(settings);
    case "setup":
      return make(settings, values.file, values.mib);
    default:
      throw usage("status, lock, unlock or setup", command ?? "-");
  }
}

function readArguments(argv: readonly string[]) {
  try {
    const options = { help: { type: "boolean", short: "h" }, file: { type: "string" }, mib: { type: "string" } } as const;
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw usage("known flags", (cause as Error).message);
  }
}

const usage = (expected: string, actual: string) => new VaultError("VAULT_USAGE", { expected, actual });

async function status(settings: Settings): Promise<number> {
  const state = await stateOf(settings);
  const latches = await readLatches(settings);
  process.stdout.write(`vault: ${state}\n${latches.map((incident) => `kept closed by: ${incident}\n`).join("")}`);
  return state === "unlocked" ? 0 : state === "error" ? 1 : 3;
}

/** Does it alone, on record, and leaves the state file saying how it ended. Only closing needs no record to be begun. */
async function recorded<T>(settings: Settings, event: "lock" | "unlock" | "setup", work: () => Promise<T>): Promise<T> {
  return exclusively(settings, async () => {
    const audit = await openVaultAudit(process.env, log);
    try {
      if (event !== "lock") await audit.append(`${event}_begun`, {});
      const result = await work();
      await audit.append(event, {});
      return result;
    } catch (error) {
      const code = error instanceof CodedError ? error.code : "unknown";
      await audit.append(`${event}_failed`, { code }).catch(() => undefined);
      throw error;
    } finally {
      await writeState(settings, await stateOf(settings).catch(() => "error" as const), `vault-ctl:${event}`, clock.nowMs());
      await audit.close();
    }
  });
}

async function lock(settings: Settings): Promise<number> {
  const { state, unstopped } = await recorded(settings, "lock", () => relock(settings));
  process.stdout.write(`vault: ${state}\n${unstopped.map((unit) => `did not stop: ${unit}\n`).join("")}`);
  return 0;
}

async function open(settings: Settings): Promise<number> {
  // Before anybody types a secret for nothing; asked again under the lock.
  await requireUnlatched(settings);
  const passphrase = await readPassphrase(process.stdin, "Passphrase of the vault: ");
  const { unstarted } = await recorded(settings, "unlock", () => unlock(settings, passphrase));
  process.stdout.write(`vault: unlocked\n${unstarted.map((unit) => `did not start: ${unit}\n`).join("")}`);
  return 0;
}

async function make(settings: Settings, file: string | undefined, mib: string | undefined): Promise<number> {
  const size = /^[1-9][0-9]{0,8}$/.test(mib ?? "") ? Number(mib) : 0;
  if (file === undefined || !/^\/[^\n]{1,1023}$/.test(file)) throw usage("--file /ABSOLUTE/PATH", file ?? "none");
  if (size < MIN_MIB || size > MAX_MIB) throw usage(`--mib ${MIN_MIB} to ${MAX_MIB}`, mib ?? "none");
  const passphrase = await readPassphrase(process.stdin, "Choose a passphrase for the vault: ");
  await recorded(settings, "setup", () => setUp(settings, { file, mib: size, nowMs: clock.nowMs() }, passphrase));
  process.stdout.write("vault: set up, and locked; open it with `vault-ctl unlock`\n");
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isOurs = error instanceof CodedError;
  log("error", isOurs ? error.message : "bug", isOurs ? { fix: error.fix } : errorFields(error));
  process.exitCode = isOurs ? error.exit : 70;
}
