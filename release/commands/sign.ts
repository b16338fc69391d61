import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseBundle } from "@secai/formats/bundle";
import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE } from "@secai/formats/checksums";
import { bundleOf, furtherBundleOf, isSignedFile } from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { parseStatement } from "@secai/formats/statement";
import { loadSigningKey, type SigningKey } from "@secai/sign/key-file";
import { signBlob, signStatement } from "@secai/sign/sign";
import { takeInventory } from "@secai/verify/inventory";
import { ReleaseError } from "../errors.ts";
import { requireVerified } from "../gate/gate.ts";
import type { ReleaseIo } from "../gate/io.ts";
import { answer, COMMON_HELP, commonOptions, directoryFrom, parseOptions } from "./options.ts";

const help = `secai release sign DIR --signing-key FILE [--apply]: adds a second or later signature to every signed file of a release.

For releases that need more than one signer, or a post-quantum signature beside the first. Verifies first, as this signer trusts; changes no
file that is there; signatures of this key that are there already stay.

  --signing-key FILE    a private key of this signer
${COMMON_HELP}

Examples:
  secai release sign out/debian-13/0.1.0 --signing-key second.key
  secai release sign out/debian-13/0.1.0 --signing-key second.key --apply
`;

/** `secai release sign`. @throws ReleaseError, GateError, SignError, FormatError */
export async function runSign(args: readonly string[], io: ReleaseIo): Promise<number> {
  const { values, positionals } = parseOptions(args, { ...commonOptions, "signing-key": { type: "string" } });
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const { dir } = directoryFrom(positionals);
  const path = values["signing-key"];
  if (path === undefined) throw new ReleaseError("RELEASE_USAGE", { expected: "--signing-key FILE", actual: "none" });
  await requireVerified(dir, values, io.env);
  const key = await loadSigningKey(path);
  const bundles = await furtherBundles(dir, key);
  if (values.apply === true) for (const [name, bytes] of bundles) await writeWhole(join(dir, name), bytes);
  const done = values.apply === true ? "added" : "would add (run with --apply)";
  answer(
    io,
    values.json,
    { dir, applied: values.apply === true, key: key.fingerprint, bundles: [...bundles.keys()] },
    `${done} ${bundles.size} signatures by key ${key.fingerprint}\n`,
  );
  return 0;
}

/** A bundle by this key for each signed file that the key's holder may speak for and has not yet. */
async function furtherBundles(dir: string, key: SigningKey): Promise<ReadonlyMap<string, Buffer>> {
  const { files } = await takeInventory(dir);
  const tag = key.fingerprint.slice(0, 16);
  const made = new Map<string, Buffer>();
  const add = async (name: string, make: () => Buffer | Promise<Buffer>) => {
    const bundle = furtherBundleOf(name, tag);
    if (!files.has(bundle)) made.set(bundle, await make());
  };
  for (const name of [...files.keys()].filter((file) => isSignedFile(file) && statementOf(file)?.signer === "release").sort()) {
    const first = parseBundle(files.get(bundleOf(name))?.bytes ?? Buffer.of());
    if (first.kind !== "statement") continue;
    await add(name, () => signStatement(parseStatement(first.payload), key));
  }
  const sums = files.get(CHECKSUMS_FILE)?.bytes;
  if (sums !== undefined && files.has(CHECKSUMS_BUNDLE)) await add(CHECKSUMS_FILE, () => signBlob(sums, key));
  return made;
}

/** Whole or not at all. */
async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await writeFile(partial, bytes, { flag: "wx", mode: 0o644 });
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}
