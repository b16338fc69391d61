import { SignError } from "./errors.ts";
import { loadSigningKey } from "./key-file.ts";
import { parseFd, passphraseSource } from "./passphrase.ts";
import { parsePinSource, pkcs11Signer } from "./pkcs11.ts";
import { type KeyedSigner, keySigner } from "./signer.ts";

/** Options of every command that signs with one key: a file, or a token. For `parseArgs` of node:util. */
export const keySignerOptions = {
  "signing-key": { type: "string" },
  "passphrase-fd": { type: "string" },
  "pkcs11-module": { type: "string" },
  "pkcs11-token": { type: "string" },
  "pkcs11-label": { type: "string" },
  "pkcs11-pin": { type: "string" },
} as const;
export type KeySignerValues = { readonly [K in keyof typeof keySignerOptions]?: string | undefined };

export const KEY_SIGNER_HELP = `  --signing-key FILE    a private key: PKCS#8 PEM, or encrypted as cosign keeps it
  --passphrase-fd N     read its passphrase from this descriptor instead of asking at the terminal
  --pkcs11-module FILE  a token's driver, with all of:
  --pkcs11-token NAME   the token's label
  --pkcs11-label NAME   the label of the P-256 key in it
  --pkcs11-pin SOURCE   env:NAME, fd:N or prompt (default)`;

/**
 * The signer that the options name; a passphrase or PIN is asked for when it is needed.
 * @throws SignError SIGNER_UNCLEAR, and what loading a key or finding a token throws
 */
export async function openKeySigner(
  values: KeySignerValues,
  env: Readonly<Record<string, string | undefined>>,
): Promise<KeyedSigner> {
  const {
    "signing-key": path,
    "passphrase-fd": fd,
    "pkcs11-module": module,
    "pkcs11-token": token,
    "pkcs11-label": label,
  } = values;
  const tokens = [module, token, label, values["pkcs11-pin"]].filter((value) => value !== undefined);
  if (path !== undefined && tokens.length === 0)
    return keySigner(await loadSigningKey(path, { passphrase: passphraseSource(fd === undefined ? {} : { fd: parseFd(fd) }) }));
  if (path === undefined && fd === undefined && module !== undefined && token !== undefined && label !== undefined) {
    const pin = parsePinSource(values["pkcs11-pin"] ?? "prompt", env);
    return await pkcs11Signer({ module, token, label, pin });
  }
  throw new SignError("SIGNER_UNCLEAR", {
    expected: "--signing-key, or --pkcs11-module, -token and -label together",
    actual: path !== undefined ? "both" : "neither",
  });
}
