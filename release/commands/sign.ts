import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseBundle } from "@secai/formats/bundle";
import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE } from "@secai/formats/checksums";
import { bundleOf, furtherBundleOf, isSignedFile } from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { parseStatement } from "@secai/formats/statement";
import type { KeyedSigner } from "@secai/sign/signer";
import { KEY_SIGNER_HELP, keySignerOptions, openKeySigner } from "@secai/sign/signer-options";
import { takeInventory } from "@secai/verify/inventory";
import { requireVerified } from "../gate/gate.ts";
import type { ReleaseIo } from "../gate/io.ts";
import { answer, COMMON_HELP, commonOptions, directoryFrom, parseOptions } from "./options.ts";

const help = `secai release sign DIR (--signing-key FILE | --pkcs11-...) [--apply]: adds a second or later signature to every signed file of a release.

For releases that need more than one signer, or a post-quantum signature beside the first. Verifies first, as this signer trusts; changes no
file that is there; signatures of this key that are there already stay.

${KEY_SIGNER_HELP}
${COMMON_HELP}

Examples:
  secai release sign out/debian-13/0.1.0 --signing-key second.key
  secai release sign out/debian-13/0.1.0 --signing-key second.key --apply
  secai release sign out/debian-13/0.1.0 --pkcs11-module /usr/lib/x86_64-linux-gnu/opensc-pkcs11.so \\
    --pkcs11-token release --pkcs11-label sign --apply
`;

/** `secai release sign`. @throws ReleaseError, GateError, SignError, FormatError */
export async function runSign(args: readonly string[], io: ReleaseIo): Promise<number> {
  const { values, positionals } = parseOptions(args, { ...commonOptions, ...keySignerOptions });
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const { dir } = directoryFrom(positionals);
  const signer = await openKeySigner(values, io.env);
  const { fingerprint } = signer.publicKey;
  await requireVerified(dir, values, io.env);
  const bundles = await furtherBundles(dir, signer);
  if (values.apply === true) for (const [name, bytes] of bundles) await writeWhole(join(dir, name), bytes);
  const done = values.apply === true ? "added" : "would add (run with --apply)";
  answer(
    io,
    values.json,
    { dir, applied: values.apply === true, key: fingerprint, bundles: [...bundles.keys()] },
    `${done} ${bundles.size} signatures by key ${fingerprint}\n`,
  );
  return 0;
}

/** A bundle by this key for each signed file that the key's holder may speak for and has not yet. */
async function furtherBundles(dir: string, signer: KeyedSigner): Promise<ReadonlyMap<string, Buffer>> {
  const { files } = await takeInventory(dir);
  const tag = signer.publicKey.fingerprint.slice(0, 16);
  const made = new Map<string, Buffer>();
  const add = async (name: string, make: () => Promise<Buffer>) => {
    const bundle = furtherBundleOf(name, tag);
    if (!files.has(bundle)) made.set(bundle, await make());
  };
  for (const name of [...files.keys()].filter((file) => isSignedFile(file) && statementOf(file)?.signer === "release").sort()) {
    const first = parseBundle(files.get(bundleOf(name))?.bytes ?? Buffer.of());
    if (first.kind !== "statement") continue;
    await add(name, () => signer.signStatement(parseStatement(first.payload)));
  }
  const sums = files.get(CHECKSUMS_FILE)?.bytes;
  if (sums !== undefined && files.has(CHECKSUMS_BUNDLE)) await add(CHECKSUMS_FILE, () => signer.signBlob(sums));
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
