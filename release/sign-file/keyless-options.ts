import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Sha256 } from "@secai/formats/digest";
import { tokenSource } from "@secai/sign/identity-token";
import { keylessSigner } from "@secai/sign/keyless";
import { parseFd } from "@secai/sign/passphrase";
import type { Signer } from "@secai/sign/signer";
import { parseSigningConfig } from "@secai/sign/signing-config";
import { type KeylessTrust, verifyKeylessBlob, verifyKeylessStatement } from "@secai/verify/keyless";
import { SignFileError } from "./errors.ts";

export const keylessOptions = {
  "signing-config": { type: "string" },
  "trusted-root": { type: "string" },
  identity: { type: "string" },
  issuer: { type: "string" },
  "identity-token-fd": { type: "string" },
} as const;
export type KeylessValues = { readonly [K in keyof typeof keylessOptions]?: string | undefined };

const MAX_INPUT_BYTES = 1 << 20;

/**
 * A keyless signer whose every bundle the offline verifier has accepted, with the trust that its readers will have.
 * @throws SignFileError SIGN_USAGE, SIGN_TARGET_UNUSABLE; SignError SIGNING_CONFIG_UNUSABLE
 */
export async function openKeylessSigner(
  values: KeylessValues,
  about: Sha256,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Signer> {
  const { "signing-config": config, "trusted-root": root, identity, issuer, "identity-token-fd": fd } = values;
  if (config === undefined || root === undefined || identity === undefined || issuer === undefined)
    throw new SignFileError("SIGN_USAGE", {
      expected: "--signing-config, --trusted-root, --identity and --issuer together",
      actual: "not all of them",
    });
  const services = parseSigningConfig(await readSmall(config), new Date());
  const trust: KeylessTrust = {
    trustedRoot: await readSmall(root),
    identity: { subjectAlternativeName: identity, issuer },
  };
  return keylessSigner({
    services,
    token: tokenSource({ env, ...(fd !== undefined && { fd: parseFd(fd) }) }),
    judge: {
      statement: (bundle) => verifyKeylessStatement(bundle, trust, [about]),
      blob: (bundle, data) => verifyKeylessBlob(bundle, data, trust),
    },
  });
}

async function readSmall(path: string): Promise<Buffer> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { size } = await file.stat();
      if (size > MAX_INPUT_BYTES) throw new RangeError(`${size} bytes`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new SignFileError("SIGN_TARGET_UNUSABLE", {
      expected: `${path}: a file that can be read`,
      actual: (cause as Error).message,
      cause,
    });
  }
}
