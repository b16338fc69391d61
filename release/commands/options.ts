import { defaultKeysDirectory } from "@secai/formats/keys";
import { type Options, parseArguments } from "../arguments.ts";
import { ReleaseError } from "../errors.ts";
import { TRUST_HELP, trustOptions } from "../gate/gate.ts";
import type { ReleaseIo } from "../gate/io.ts";
import type { SealOptions } from "../seal.ts";
import { openSigners } from "../signers.ts";

/** Options that every command has that changes a release. */
export const commonOptions = {
  ...trustOptions,
  apply: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

export const COMMON_HELP = `${TRUST_HELP}

  --apply               do it; without, only say what would be done
  --json                one JSON document on standard output
  --help`;

/** @throws ReleaseError RELEASE_USAGE */
export function parseOptions<const O extends Options>(args: readonly string[], options: O) {
  return parseArguments(args, options, (detail) => new ReleaseError("RELEASE_USAGE", detail));
}

/** The one directory a command is about, and what follows it. @throws ReleaseError RELEASE_USAGE */
export function directoryFrom(positionals: readonly string[]): { readonly dir: string; readonly more: readonly string[] } {
  const [dir, ...more] = positionals;
  if (dir === undefined) throw new ReleaseError("RELEASE_USAGE", { expected: "a release directory", actual: "none" });
  return { dir: dir.replace(/\/+$/, ""), more };
}

/** What sealing needs of this user's keys directory. @throws ReleaseError, KeysError, SignError */
export async function ownSigners({ env }: ReleaseIo): Promise<Pick<SealOptions, "signers" | "keysDir">> {
  const keysDir = defaultKeysDirectory(env);
  return { signers: await openSigners(keysDir), keysDir };
}

/** One document on standard output, or lines for people. */
export function answer(
  io: ReleaseIo,
  json: boolean | undefined,
  document: Readonly<Record<string, unknown>>,
  text: string,
): void {
  io.stdout(json === true ? `${JSON.stringify({ schema: 1, ...document }, undefined, 2)}\n` : text);
}
