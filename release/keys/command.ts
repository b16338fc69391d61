import { existsSync } from "node:fs";
import { defaultKeysDirectory } from "@secai/formats/keys";
import { newPassphrase, type PassphraseSource } from "@secai/sign/passphrase";
import type { CommandIo } from "@secai/verify/command";
import type { Change } from "./change.ts";
import {
  initOptions,
  KEYS_HELP,
  parse,
  passphraseOf,
  reasonOf,
  revokeOptions,
  rotateOptions,
  type Values,
} from "./command-options.ts";
import { changeText, differencesOf, reportOf } from "./describe.ts";
import { readDeviceKeys } from "./device-keys.ts";
import { requireKeySet } from "./ensure.ts";
import { KeysError } from "./errors.ts";
import { commitChanges, finishChanges } from "./journal.ts";
import { type KeySet, loadChain, loadKeySet } from "./key-set.ts";
import { filesOf } from "./layout.ts";
import { holding } from "./lock.ts";
import { planInit } from "./plan-init.ts";
import { findKey, planRevoke, rolesOfKey } from "./plan-revoke.ts";
import { parseRole, planRotate } from "./plan-rotate.ts";
import { listKeyFiles, loadHeldKeys, RELEASE_KEY_NAME } from "./private-keys.ts";
import { type Proof, rehearse, rehearseFirst } from "./rehearse.ts";
import { statusOf, statusText } from "./status.ts";

/** What a test, or the program around this command, puts in place of the world. */
export interface KeysWorld {
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  /** Makes a directory with Secure Boot, PCR and release keys where there is none; undefined: not possible here. */
  readonly makeKeyring?: (dir: string, say: (message: string) => void) => void;
}

/** The `keys` command. @throws KeysError, SignError; FormatError for files that no reader accepts */
export async function runKeys(args: readonly string[], io: CommandIo, world: KeysWorld = { nowMs: Date.now }): Promise<number> {
  const { values, positionals } = parse(args);
  const [verb, subject, ...more] = positionals;
  if (values.help === true) return say(io, KEYS_HELP);
  const dir = values.dir ?? defaultKeysDirectory(io.env);
  const request: Request = { dir, subject, values, io, world, ...passphraseOf(values) };
  if (more.length > 0) throw new KeysError("KEYS_USAGE", { expected: "one thing to act on", actual: `${more.length + 1}` });
  switch (verb) {
    case "status":
      return status(request);
    case "init":
      return init(request);
    case "rotate":
    case "revoke":
      return change(request, verb);
    default:
      throw new KeysError("KEYS_USAGE", { expected: "status, init, rotate or revoke", actual: verb ?? "nothing" });
  }
}

interface Request {
  readonly dir: string;
  readonly subject: string | undefined;
  readonly values: Values;
  readonly io: CommandIo;
  readonly world: KeysWorld;
  readonly passphrase: PassphraseSource;
}

function say(io: CommandIo, text: string): 0 {
  io.stdout(text);
  return 0;
}

async function status({ dir, values, io, world }: Request): Promise<number> {
  const chain = existsSync(dir) ? await loadChain(dir) : undefined;
  if (chain === undefined) throw new KeysError("KEY_SET_INCOMPLETE", { expected: `a key manifest in ${dir}`, actual: "none" });
  const found = statusOf(chain, await listKeyFiles(dir), world.nowMs());
  return say(io, values.json === true ? `${JSON.stringify(found, undefined, 2)}\n` : statusText(found));
}

async function init(request: Request): Promise<number> {
  const { dir, values, io, world } = request;
  if (!existsSync(dir)) {
    if (values.apply !== true || world.makeKeyring === undefined)
      throw new KeysError("KEY_SET_INCOMPLETE", {
        expected: `Secure Boot, PCR and release keys in ${dir}`,
        actual: "no such directory",
        fix: world.makeKeyring === undefined ? "Make them with `secai image`." : "Run it with --apply, which makes them first.",
      });
    world.makeKeyring(dir, (message) => io.stderr(`${message}\n`));
  }
  return locked(request, async (apply) => {
    if ((await loadChain(dir)) !== undefined) throw new KeysError("KEY_SET_EXISTS", { expected: "no manifest yet", actual: dir });
    const held = await loadHeldKeys(dir, request);
    const release = [...held.values()].find(({ file }) => file === RELEASE_KEY_NAME)?.key;
    if (release === undefined)
      throw new KeysError("KEY_SET_INCOMPLETE", { expected: `${RELEASE_KEY_NAME} in ${dir}`, actual: "none" });
    const nowMs = world.nowMs();
    const planned = await planInit(release, await readDeviceKeys(dir), initOptions(values), nowMs);
    const proofs = await rehearseFirst({ dir, held }, planned, nowMs);
    return apply({ dir, held }, planned, proofs);
  });
}

async function change(request: Request, verb: "rotate" | "revoke"): Promise<number> {
  const { dir, subject = "", values, world } = request;
  if (verb === "revoke") reasonOf(values);
  if (!existsSync(dir))
    throw new KeysError("KEY_SET_INCOMPLETE", { expected: `a key manifest in ${dir}`, actual: "no such directory" });
  return locked(request, async (apply) => {
    const set = requireKeySet(await loadKeySet(dir, request), dir);
    const nowMs = world.nowMs();
    const planned =
      verb === "rotate" ? await rotation(set, subject, values, nowMs) : await revocation(set, subject, values, nowMs);
    return apply(set, planned, await rehearse(set, planned, nowMs));
  });
}

function rotation(set: KeySet, subject: string, values: Values, nowMs: number): Promise<Change> {
  const role = parseRole(subject);
  return planRotate(set, role, rotateOptions(role, values), nowMs);
}

function revocation(set: KeySet, subject: string, values: Values, nowMs: number): Promise<Change> {
  const fingerprint = findKey(set.manifest, subject);
  return planRevoke(set, fingerprint, revokeOptions(rolesOfKey(set.manifest, fingerprint), values), nowMs);
}

type Apply = (set: Pick<KeySet, "dir" | "held"> & Partial<KeySet>, change: Change, proofs: readonly Proof[]) => Promise<number>;

/** Nobody else changes the directory between the look at it and the change. */
async function locked(request: Request, work: (apply: Apply) => Promise<number>): Promise<number> {
  const { dir } = request;
  return holding(dir, async () => {
    await finishChanges(dir);
    return work((set, planned, proofs) => conclude(request, set, planned, proofs));
  });
}

/** Writes the change where it was asked for and the rehearsal went well, and says what was done or would be. */
async function conclude(request: Request, set: Parameters<Apply>[0], planned: Change, rehearsal: readonly Proof[]) {
  const { dir, values, io } = request;
  const bad = rehearsal.find(({ holds }) => !holds);
  const apply = values.apply === true && bad === undefined;
  const files = await filesOf(set, planned, apply ? await encryption(request) : undefined);
  if (apply) await commitChanges(dir, files);
  const differences = differencesOf(set.manifest, planned.manifest);
  const report = reportOf(files, { applied: apply, directory: dir, version: planned.manifest.version, differences, rehearsal });
  io.stdout(values.json === true ? `${JSON.stringify(report, undefined, 2)}\n` : changeText(report));
  if (bad !== undefined) throw new KeysError("KEYS_REHEARSAL_FAILED", { expected: bad.name, actual: bad.answer });
  return 0;
}

async function encryption({ values, passphrase }: Request): Promise<Buffer | undefined> {
  if (values.encrypt !== true) return undefined;
  const question = "Passphrase of the new keys: ";
  return values["passphrase-fd"] === undefined ? newPassphrase({}, question) : passphrase(question);
}
