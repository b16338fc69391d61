import { stat, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { bundleOf } from "@secai/formats/release-layout";
import type { Signer } from "@secai/sign/signer";
import { KEY_SIGNER_HELP, keySignerOptions, openKeySigner } from "@secai/sign/signer-options";
import type { CommandIo } from "@secai/verify/command";
import { parseArguments } from "../arguments.ts";
import { SignFileError } from "./errors.ts";
import { keylessOptions, openKeylessSigner } from "./keyless-options.ts";
import { readTarget, type Target } from "./target.ts";

const help = `secai sign FILE (--signing-key FILE | --pkcs11-... | --signing-config FILE ...) [--apply]: signs one file.

Writes a Sigstore bundle beside it, which secai verify file and cosign read. Verified before it is written; never overwrites.

What is said:
  (nothing)             a signature over the file itself, up to 256 MiB
  --type URI            a statement of this predicate type about the file, of any size, with
  --predicate FILE      the predicate: a JSON object
  --bundle FILE         where the bundle goes; default: FILE.sigstore.json
Who says it, one of:
${KEY_SIGNER_HELP}
  --signing-config FILE an identity (keyless): the services of a Sigstore instance; leaves a public record there. With all of:
  --trusted-root FILE   the same instance's trusted_root.json
  --identity NAME       whom the certificate must name: a URI or an e-mail address
  --issuer URL          the OpenID Connect provider
  --identity-token-fd N read the token from this descriptor; default: SIGSTORE_ID_TOKEN, or GitHub Actions is asked
Else:
  --apply               do it; without, only say what would be done
  --json                one JSON document on standard output
  --help

Examples:
  secai sign tool.tar.gz --signing-key cosign.key
  secai sign tool.tar.gz --signing-key cosign.key --passphrase-fd 3 --apply 3< passphrase
  secai sign disk.img --type https://example.org/scan/v1 --predicate scan.json --signing-key release.key --apply
  secai sign tool.tar.gz --signing-config signing_config.json --trusted-root trusted_root.json \\
    --identity https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1 --issuer https://token.actions.githubusercontent.com --apply
`;

const options = {
  ...keySignerOptions,
  ...keylessOptions,
  type: { type: "string" },
  predicate: { type: "string" },
  bundle: { type: "string" },
  apply: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

function parse(args: readonly string[]) {
  return parseArguments(args, options, (detail) => new SignFileError("SIGN_USAGE", detail));
}
type Values = ReturnType<typeof parse>["values"];

/** The `sign` command. @throws SignFileError, SignError, KeylessError, FormatError */
export async function runSignFile(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0)
    throw new SignFileError("SIGN_USAGE", { expected: "one file", actual: `${positionals.length}` });
  const target = await readTarget(file, values);
  const bundle = values.bundle ?? bundleOf(file);
  if ((await stat(bundle).catch(() => undefined)) !== undefined)
    throw new SignFileError("SIGN_BUNDLE_EXISTS", { expected: `nothing at ${bundle}`, actual: "a file" });
  const signer = await openSigner(values, target, io);
  if (values.apply === true) await writeNew(bundle, await signed(target, signer));
  report({ file, bundle, ...describe(target, signer, values), applied: values.apply === true }, values, io);
  return 0;
}

async function openSigner(values: Values, target: Target, io: CommandIo): Promise<Signer> {
  const isKeyless = Object.keys(keylessOptions).some((name) => values[name as keyof typeof keylessOptions] !== undefined);
  const isKeyed = Object.keys(keySignerOptions).some((name) => values[name as keyof typeof keySignerOptions] !== undefined);
  if (isKeyless && isKeyed) throw new SignFileError("SIGN_USAGE", { expected: "one signer", actual: "a key and an identity" });
  return isKeyless ? await openKeylessSigner(values, target.sha256, io.env) : await openKeySigner(values, io.env);
}

const signed = (target: Target, signer: Signer): Promise<Buffer> =>
  target.kind === "statement" ? signer.signStatement(target.statement) : signer.signBlob(target.bytes);

async function writeNew(path: string, bytes: Buffer): Promise<void> {
  try {
    await writeFile(path, bytes, { flag: "wx", mode: 0o644, flush: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    throw new SignFileError("SIGN_BUNDLE_EXISTS", { expected: `nothing at ${path}`, actual: "a file", cause });
  }
}

const describe = (target: Target, { publicKey }: Signer, { identity, type }: Values) => ({
  sha256: target.sha256,
  ...(type !== undefined && { type }),
  ...(publicKey === undefined ? { identity } : { key: publicKey.fingerprint }),
});

interface Outcome {
  readonly file: string;
  readonly bundle: string;
  readonly applied: boolean;
  readonly key?: string;
  readonly identity?: string | undefined;
}

function report(outcome: Outcome, { json }: Values, io: CommandIo): void {
  const done = outcome.applied ? "signed" : "would sign (run with --apply)";
  const who = outcome.key === undefined ? outcome.identity : `key ${outcome.key}`;
  io.stdout(
    json === true
      ? `${JSON.stringify({ schema: 1, ...outcome }, undefined, 2)}\n`
      : `${done} ${outcome.file} as ${who}: ${basename(outcome.bundle)}\n`,
  );
}
