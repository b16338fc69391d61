import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { type SignatureMode, signatureModes } from "@secai/formats/key-manifest";
import { defaultKeysDirectory } from "@secai/formats/keys";
import { newPassphrase, type PassphraseSource, parseFd, passphraseSource } from "@secai/sign/passphrase";
import type { CommandIo } from "@secai/verify/command";
import type { Change } from "./change.ts";
import { changeText, differencesOf, reportOf } from "./describe.ts";
import { readDeviceKeys } from "./device-keys.ts";
import { requireKeySet } from "./ensure.ts";
import { KeysError } from "./errors.ts";
import { commitChanges, finishChanges } from "./journal.ts";
import { type KeySet, loadChain, loadKeySet } from "./key-set.ts";
import { filesOf } from "./layout.ts";
import { holding } from "./lock.ts";
import { planInit } from "./plan-init.ts";
import { planRevoke } from "./plan-revoke.ts";
import { parseRole, planRotate } from "./plan-rotate.ts";
import { listKeyFiles, loadHeldKeys, RELEASE_KEY_NAME } from "./private-keys.ts";
import { type Proof, rehearse, rehearseFirst } from "./rehearse.ts";
import { statusOf, statusText } from "./status.ts";

export const KEYS_HELP = `secai keys: who may sign what, and how that changes.

  secai keys status                     the current key manifest, and which private keys are at hand
  secai keys init                       a first manifest with root keys of their own
  secai keys rotate ROLE                new keys for root, release, image, channel, secure-boot or pcr
  secai keys revoke FINGERPRINT --reason TEXT
                                        nothing this key ever signed counts any more; a new one takes its place

Every change is rehearsed first on a copy, with the verifier's own code. Without --apply that is all that happens.
  --apply               make the change; the old state stays in history/
  --threshold K         how many root keys must sign together (init, rotate root)
  --keys N              how many root keys there are (init, rotate root)
  --ml-dsa              also ML-DSA-65 keys (init: for releases; rotate: for ROLE where it has none)
  --signatures MODE     ${signatureModes.join(", ")}: whether P-256, either or both must sign
  --days N              how long new keys are valid; 1095, root and device keys 3650
  --from DIR            where new PK, KEK and db lie as .key and .crt (secure-boot), or pcr.key and pcr.pub
  --encrypt             new private keys are stored under a passphrase
  --passphrase-fd N     read the passphrase from this descriptor instead of asking
  --dir DIR             the keys; default: $SECAI_KEYS or ~/.local/share/secai/keys
  --json                the result on standard output
  --help

Examples:
  secai keys status
  secai keys init --threshold 2 --keys 3
  secai keys rotate release --apply
  secai keys revoke 5f1c20a1b2c3d4e5 --reason "laptop stolen" --apply
`;

const options = {
  apply: { type: "boolean" },
  threshold: { type: "string" },
  keys: { type: "string" },
  "ml-dsa": { type: "boolean" },
  signatures: { type: "string" },
  days: { type: "string" },
  from: { type: "string" },
  reason: { type: "string" },
  encrypt: { type: "boolean" },
  "passphrase-fd": { type: "string" },
  dir: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;
type Values = ReturnType<typeof parse>["values"];

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

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new KeysError("KEYS_USAGE", { expected: "known options", actual: (cause as Error).message, cause });
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

function initOptions(values: Values) {
  const rootKeys = wholeNumber(values.keys, "--keys") ?? 1;
  const rootThreshold = wholeNumber(values.threshold, "--threshold") ?? 1;
  const days = wholeNumber(values.days, "--days");
  if (rootThreshold > rootKeys || rootKeys > 32)
    throw new KeysError("KEYS_USAGE", {
      expected: "--threshold up to --keys, and --keys up to 32",
      actual: `${rootThreshold} of ${rootKeys}`,
    });
  return {
    rootKeys,
    rootThreshold,
    signatures: modeOf(values) ?? (values["ml-dsa"] === true ? "any" : "classical"),
    windows: { rootDays: days ?? 3650, signingDays: days ?? 1095 },
  };
}

async function change(request: Request, verb: "rotate" | "revoke"): Promise<number> {
  const { dir, subject = "", values, world } = request;
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

async function rotation(set: KeySet, subject: string, values: Values, nowMs: number): Promise<Change> {
  const role = parseRole(subject);
  const [keys, threshold, signatures] = [
    wholeNumber(values.keys, "--keys"),
    wholeNumber(values.threshold, "--threshold"),
    modeOf(values),
  ];
  if (role !== "root" && (keys ?? threshold) !== undefined)
    throw new KeysError("KEYS_USAGE", { expected: "--keys and --threshold for role root alone", actual: role });
  return planRotate(
    set,
    role,
    {
      days: daysOf(values, role === "release" || role === "image" || role === "channel" ? 1095 : 3650),
      ...(keys !== undefined && { keys }),
      ...(threshold !== undefined && { threshold }),
      ...(signatures !== undefined && { signatures }),
      ...(values["ml-dsa"] === true && { mlDsa: true }),
      ...(values.from !== undefined && { from: values.from }),
    },
    nowMs,
  );
}

async function revocation(set: KeySet, subject: string, values: Values, nowMs: number): Promise<Change> {
  if (values.reason === undefined || values.reason === "")
    throw new KeysError("KEYS_USAGE", { expected: "--reason TEXT, which everybody will read", actual: "none" });
  const from = values.from === undefined ? {} : { from: values.from };
  return planRevoke(set, subject, { reason: values.reason, days: daysOf(values, 1095), ...from }, nowMs);
}

const daysOf = (values: Values, otherwise: number): number => wholeNumber(values.days, "--days") ?? otherwise;

/** A descriptor can be read once, and people want to be asked once: one passphrase for all keys of a directory. */
function passphraseOf(values: Values): { readonly passphrase: PassphraseSource } {
  const source = passphraseSource(fdOf(values));
  let first: Promise<Buffer> | undefined;
  const once = (question: string) => {
    first ??= source(question);
    return first;
  };
  // Whoever gets it wipes it, so each gets a copy.
  return { passphrase: async (question) => Buffer.from(await once(question)) };
}
const fdOf = (values: Values) => (values["passphrase-fd"] === undefined ? {} : { fd: parseFd(values["passphrase-fd"]) });

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

function modeOf({ signatures }: Values): SignatureMode | undefined {
  const mode = signatureModes.find((one) => one === signatures);
  if (signatures !== undefined && mode === undefined)
    throw new KeysError("KEYS_USAGE", { expected: signatureModes.join(", "), actual: signatures });
  return mode;
}

function wholeNumber(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,4}$/.test(text)) return Number(text);
  throw new KeysError("KEYS_USAGE", { expected: `${option} with a whole number from 1`, actual: text });
}
