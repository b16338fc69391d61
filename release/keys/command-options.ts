import { type KeyRole, type SignatureMode, signatureModes } from "@secai/formats/key-manifest";
import { type PassphraseSource, parseFd, passphraseSource } from "@secai/sign/passphrase";
import { parseArguments } from "../arguments.ts";
import { KeysError } from "./errors.ts";
import type { InitOptions } from "./plan-init.ts";
import type { RevokeOptions } from "./plan-revoke.ts";
import type { RotateOptions } from "./plan-rotate.ts";

/** How long new keys are valid where nobody says: those that sign releases are replaced more easily than those people start from. */
const SIGNING_DAYS = 1095;
const LASTING_DAYS = 3650;

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
  --days N              how long new keys are valid; ${SIGNING_DAYS}, root and device keys ${LASTING_DAYS}
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
export type Values = ReturnType<typeof parse>["values"];

/** @throws KeysError KEYS_USAGE */
export function parse(args: readonly string[]) {
  return parseArguments(args, options, (detail) => new KeysError("KEYS_USAGE", detail));
}

/** @throws KeysError KEYS_USAGE */
export function initOptions(values: Values): InitOptions {
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
    windows: { rootDays: days ?? LASTING_DAYS, signingDays: days ?? SIGNING_DAYS },
  };
}

/** @throws KeysError KEYS_USAGE */
export function rotateOptions(role: KeyRole, values: Values): RotateOptions {
  const keys = wholeNumber(values.keys, "--keys");
  const threshold = wholeNumber(values.threshold, "--threshold");
  const signatures = modeOf(values);
  if (role !== "root" && (keys ?? threshold) !== undefined)
    throw new KeysError("KEYS_USAGE", { expected: "--keys and --threshold for role root alone", actual: role });
  return {
    days: daysOf(values, [role]),
    ...(keys !== undefined && { keys }),
    ...(threshold !== undefined && { threshold }),
    ...(signatures !== undefined && { signatures }),
    ...(values["ml-dsa"] === true && { mlDsa: true }),
    ...(values.from !== undefined && { from: values.from }),
  };
}

/** @throws KeysError KEYS_USAGE */
export function reasonOf({ reason }: Values): string {
  if (reason !== undefined && reason !== "") return reason;
  throw new KeysError("KEYS_USAGE", { expected: "--reason TEXT, which everybody will read", actual: "none" });
}

/** @param roles those of the key that is revoked. @throws KeysError KEYS_USAGE */
export function revokeOptions(roles: readonly KeyRole[], values: Values): RevokeOptions {
  return {
    reason: reasonOf(values),
    days: daysOf(values, roles),
    ...(values.from !== undefined && { from: values.from }),
  };
}

function daysOf(values: Values, roles: readonly KeyRole[]): number {
  const lasting = roles.some((role) => role === "root" || role === "secure-boot" || role === "pcr");
  return wholeNumber(values.days, "--days") ?? (lasting ? LASTING_DAYS : SIGNING_DAYS);
}

/** A descriptor can be read once, and people want to be asked once: one passphrase for all keys of a directory. */
export function passphraseOf(values: Values): { readonly passphrase: PassphraseSource } {
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
