import { randomBytes } from "node:crypto";
import { readlinkSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isatty } from "node:tty";
import { parseArgs } from "node:util";
import { MAX_STATEMENT_BYTES, STATEMENT_SUFFIX } from "@secai/kit/api/enrolment";
import type { Environment } from "@secai/kit/environment";
import { exists, readBounded, writeAtomic } from "@secai/kit/files";
import { type MachinePlaces, machinePlaces } from "./config.ts";
import { EMPTY_OFFER, type Offer, proposeProfile } from "./enrol.ts";
import { AttestorError } from "./errors.ts";
import { observe } from "./machine.ts";
import { type HardwareProfile, MAX_PROFILE_BYTES, parseProfile, printProfile } from "./profile.ts";

const USAGE = `usage: secai-attestation-enrol status
       secai-attestation-enrol enrol [--statement FILE --key FILE] [--accept-addon] [--yes]
       secai-attestation-enrol reenrol --confirm ENROLL-ATTESTATION [the same options] [--yes]
Without --yes nothing is written.
`;
const CONFIRMATION = "ENROLL-ATTESTATION";
const MAX_KEY_BYTES = 4096;
const PUBLIC_KEY = "/run/systemd/tpm2-pcr-public-key.pem";
/** Terminals that only somebody at the machine, or at its management port, has. */
const CONSOLE = /^\/dev\/(console|tty[0-9]{1,2}|hvc0|ttyS[0-9]{1,2}|ttyAMA[0-9])$/;

type Print = (text: string) => void;

const options = {
  statement: { type: "string" },
  key: { type: "string" },
  "accept-addon": { type: "boolean" },
  confirm: { type: "string" },
  yes: { type: "boolean" },
} as const;
type Values = ReturnType<typeof parseArgs<{ options: typeof options; args: string[]; allowPositionals: true }>>["values"];

/** The program, but for the process: resolves with its exit status. @throws AttestorError and what the collector throws */
export async function runEnrolment(args: readonly string[], environment: Environment, print: Print): Promise<number> {
  const { values, command } = parse(args);
  const places = machinePlaces(environment);
  if (command === "status") return status(places, print);
  const isThere = await exists(places.profilePath);
  if (command === "reenrol") requireConsole(values, environment);
  else if (isThere && (await readProfile(places)).mode === "hardware")
    throw new AttestorError("ENROL_EXISTS", { expected: "no enrolment", actual: places.profilePath });
  const offer = await readOffer(values);
  const profile = await propose(places, offer);
  print(printProfile(profile));
  if (values.yes !== true) {
    print("Nothing was written: pass --yes to enrol the machine so.\n");
    return 0;
  }
  await commit(places, profile, offer);
  print(`${places.profilePath} written. The attestor goes by it from its next attestation on.\n`);
  return 0;
}

function parse(args: readonly string[]): { readonly values: Values; readonly command: string } {
  const usage = (cause?: unknown) => new AttestorError("ENROL_USAGE", { expected: USAGE, actual: args.join(" "), cause });
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    const [command = ""] = positionals;
    const isKnown = ["status", "enrol", "reenrol"].includes(command) && positionals.length === 1;
    if (!isKnown || (values.statement === undefined) !== (values.key === undefined)) throw usage();
    return { values, command };
  } catch (cause) {
    throw cause instanceof AttestorError ? cause : usage(cause);
  }
}

const readProfile = async ({ profilePath }: MachinePlaces) => parseProfile(await readBounded(profilePath, MAX_PROFILE_BYTES));

/** 0: enrolled; 1: not. */
async function status(places: MachinePlaces, print: Print): Promise<number> {
  const profile = (await exists(places.profilePath)) ? await readProfile(places) : undefined;
  if (profile?.mode !== "hardware") {
    print("evaluation: not enrolled, so nothing that this machine says of itself is verified\n");
    return 1;
  }
  const { ak_fingerprint, enrolled_at, enrolled_deployment, statement_keys } = profile;
  print(
    `hardware: enrolled ${enrolled_at}, ${enrolled_deployment}, key ${ak_fingerprint}, ${statement_keys.length} statement keys\n`,
  );
  return 0;
}

/** Whoever is at the machine could take it apart anyway; whoever comes over the network must not bless what they changed. */
function requireConsole({ confirm }: Values, environment: Environment): void {
  if (confirm !== CONFIRMATION)
    throw new AttestorError("ENROL_USAGE", { expected: `--confirm ${CONFIRMATION}`, actual: confirm ?? "nothing" });
  const remote = ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"].find((name) => environment[name] !== undefined);
  const terminal = isatty(0) ? readlinkSync("/proc/self/fd/0") : "no terminal";
  if (remote !== undefined || !CONSOLE.test(terminal))
    throw new AttestorError("ENROL_CONSOLE", { expected: "the machine's console", actual: remote ?? terminal });
}

async function readOffer({ statement, key, "accept-addon": acceptAddon = false }: Values): Promise<Offer> {
  if (statement === undefined || key === undefined) return { ...EMPTY_OFFER, acceptAddon };
  return {
    acceptAddon,
    statement: {
      bundle: await readBounded(statement, MAX_STATEMENT_BYTES),
      key: (await readBounded(key, MAX_KEY_BYTES)).toString("latin1"),
    },
  };
}

async function propose(places: MachinePlaces, offer: Offer): Promise<HardwareProfile> {
  const seen = await observe(places, undefined, randomBytes(32).toString("hex"));
  const keyPath = join(places.root, PUBLIC_KEY);
  const pcrKey = (await exists(keyPath)) ? await readFile(keyPath, "latin1") : undefined;
  return proposeProfile({ seen, offer, pcrKey, at: new Date() });
}

/** The statement first: a profile that asks for one which is not there would fail the machine. */
async function commit(
  { profilePath, statementsDirectory }: MachinePlaces,
  profile: HardwareProfile,
  { statement }: Offer,
): Promise<void> {
  if (statement !== undefined) {
    await mkdir(statementsDirectory, { recursive: true, mode: 0o700 });
    const name = `${profile.enrolled_deployment.slice("sha256:".length)}${STATEMENT_SUFFIX}`;
    await writeAtomic(join(statementsDirectory, name), statement.bundle, 0o600);
  }
  await writeAtomic(profilePath, printProfile(profile), 0o600);
}
