import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { MAX_FOREIGN_BUNDLE_BYTES } from "@secai/formats/foreign-bundle";
import { bundleOf, signedFileOf } from "@secai/formats/release-layout";
import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import type { FileQuestion } from "./file-evidence.ts";
import { hashFile } from "./hash-file.ts";
import type { KeylessTrust } from "./keyless.ts";
import { loadPolicyFile, policyFrom, readInput, trustOptions } from "./policy-options.ts";
import { exitStatusOf } from "./report.ts";
import { output, outputOptions, requireForms } from "./report-output.ts";
import { verifyFile } from "./verify-file.ts";

export const FILE_HELP = `secai verify file FILE: did somebody you trust sign this one file, or a statement about it?

The signature:
  --bundle FILE         a Sigstore bundle, ours or another tool's; may be repeated. Without it: those beside FILE
                        (FILE.sigstore.json and further signers')
  --subject-of FILE     a bundle whose statement must name FILE's digest, e.g. provenance.intoto.json.sigstore.json
  --type URI            the predicate type that is expected, compared whole
Whom to trust (never read from FILE or its bundle):
  --key FILE            a public key, as its owner handed it out; may be repeated
  --key-manifest FILE   a keys.json obtained elsewhere: the keys of the role that may sign such a file, and their threshold
                        without either: this user's own keys
  --trusted-root FILE   for keyless bundles: the Sigstore instance's trusted_root.json, with both of
  --identity NAME       who must have signed: a URI or an e-mail address, compared whole
  --issuer URL          the OpenID Connect provider that vouched for the name
  --policy FILE, --at TIME
                        as secai verify release
Output:
  --json, --verbose, --report FILE
                        as secai verify release
  --help

Examples:
  secai verify file out/debian-13/0.1.0/measurements.json
  secai verify file uki.efi --subject-of provenance.intoto.json.sigstore.json --key release.pub
  secai verify file tool.tar.gz --bundle tool.sigstore.json --trusted-root trusted_root.json \\
    --identity https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1 --issuer https://token.actions.githubusercontent.com
`;

/** A file up to this size is held in memory, for signatures over all of it, in bytes. */
const MAX_SIGNED_FILE_BYTES = 256 << 20;

const options = {
  ...trustOptions,
  ...outputOptions,
  bundle: { type: "string", multiple: true },
  "subject-of": { type: "string" },
  type: { type: "string" },
  "trusted-root": { type: "string" },
  identity: { type: "string" },
  issuer: { type: "string" },
} as const;

/** @throws VerifyError and FormatError for a question that cannot be asked; the answer is the exit status */
export async function runVerifyFile(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help) {
    io.stdout(FILE_HELP);
    return 0;
  }
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0)
    throw new VerifyError("VERIFY_USAGE", { expected: "one file", actual: `${positionals.length}` });
  requireForms(values.report ?? []);
  const report = await verifyFile(await questionFrom(file, values, io));
  await output(report, values, io);
  return exitStatusOf(report);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new VerifyError("VERIFY_USAGE", { expected: "known options", actual: (cause as Error).message, cause });
  }
}
type Values = ReturnType<typeof parse>["values"];

async function questionFrom(file: string, values: Values, io: CommandIo): Promise<FileQuestion> {
  const statement = values["subject-of"];
  if (statement !== undefined && values.bundle !== undefined)
    throw new VerifyError("VERIFY_USAGE", { expected: "--bundle or --subject-of", actual: "both" });
  const keyless = await keylessFrom(values);
  const names = statement === undefined ? (values.bundle ?? (await bundlesBeside(file))) : [statement];
  const bundles: { readonly name: string; readonly bytes: Buffer }[] = [];
  for (const name of names) bundles.push({ name, bytes: await readInput(name, MAX_FOREIGN_BUNDLE_BYTES, "a bundle") });
  return {
    target: file,
    ...(await contentOf(file)),
    bundles,
    subjectOnly: statement !== undefined,
    predicateType: values.type,
    policy: keyless === undefined ? await policyFrom(values, io, await loadPolicyFile(values.policy)) : NOBODY,
    keyless,
  };
}

/** An identity takes the place of keys: certificates are judged at the time that log and timestamp prove. */
const NOBODY = { keys: [], fingerprints: [], designations: [], builders: [], without: [] } as const;

async function contentOf(path: string): Promise<{ readonly sha256: Sha256; readonly bytes: Buffer | undefined }> {
  const target = await stat(path).catch(() => undefined);
  if (target?.isFile() !== true) throw new VerifyError("TARGET_MISSING", { expected: "a plain file", actual: path });
  if (target.size <= MAX_SIGNED_FILE_BYTES) {
    const bytes = await readInput(path, MAX_SIGNED_FILE_BYTES, "a file");
    return { sha256: sha256(bytes), bytes };
  }
  const hashed = hashFile(path);
  if ("error" in hashed) throw new VerifyError("TARGET_MISSING", { expected: "a file that can be read", actual: hashed.error });
  return { sha256: hashed.sha256 as Sha256, bytes: undefined };
}

/** The file's bundles by their names, the first signer's first. */
async function bundlesBeside(file: string): Promise<readonly string[]> {
  const [folder, name] = [dirname(file), basename(file)];
  const entries = (await readdir(folder)).filter((entry) => signedFileOf(entry) === name);
  const first = bundleOf(name);
  return entries
    .sort((a, b) => Number(b === first) - Number(a === first) || (a < b ? -1 : 1))
    .map((entry) => join(folder, entry));
}

async function keylessFrom(values: Values): Promise<KeylessTrust | undefined> {
  const { "trusted-root": root, identity, issuer } = values;
  if (root === undefined && identity === undefined && issuer === undefined) return undefined;
  if (root === undefined || identity === undefined || issuer === undefined)
    throw new VerifyError("VERIFY_USAGE", {
      expected: "--trusted-root, --identity and --issuer together",
      actual: "not all of them",
    });
  return {
    trustedRoot: await readInput(root, 1 << 20, "a trusted root"),
    identity: { subjectAlternativeName: identity, issuer },
  };
}
