import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Designation, designations } from "@secai/formats/designation";
import { parseSha256 } from "@secai/formats/digest";
import { defaultKeysDirectory, MAX_KEY_FILE_BYTES, type PublicKey, parsePublicKey } from "@secai/formats/keys";
import type { CommandIo } from "./command.ts";
import { VerifyError } from "./errors.ts";
import { knownBuilders, type VerifyPolicy } from "./release-policy.ts";
import { exitStatusOf, type Report } from "./report.ts";
import { reportText } from "./report-text.ts";
import { verifyRelease } from "./verify-release.ts";

export const RELEASE_HELP = `secai verify release DIR: check every byte of a release directory, without a network.

Whom to trust (from outside the release; never read from it):
  --key FILE            a public key, as its publisher handed it out; may be repeated
  --fingerprint HEX     the SHA-256 of such a key; may be repeated
                        without either: release.pub of this user's own keys, which accepts what this user built
What to expect:
  --designation NAME    ${designations.join(", ")}; may be repeated. Without it: candidate and stable, and dev only under
                        this user's own keys
  --release VERSION     refuse any other version, however well signed
  --builder URI         instead of the builders this program knows; may be repeated
  --without FILE        a disk file that was not fetched: reported as not present instead of missing; may be repeated
Output:
  --json                the report alone, on standard output
  --verbose             a line for every file
  --help

Examples:
  secai verify release out/debian-13/0.1.0
  secai verify release ./secai-1.2.0 --fingerprint 5f1c...e2 --release 1.2.0
  secai verify release ./secai-1.2.0 --key release.pub --without disk.qcow2 --json
`;

const options = {
  key: { type: "string", multiple: true },
  fingerprint: { type: "string", multiple: true },
  designation: { type: "string", multiple: true },
  release: { type: "string" },
  builder: { type: "string", multiple: true },
  without: { type: "string", multiple: true },
  json: { type: "boolean" },
  verbose: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** @throws VerifyError and FormatError for a question that cannot be asked; the answer is the exit status */
export async function runVerifyRelease(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help) {
    io.stdout(RELEASE_HELP);
    return 0;
  }
  const [dir, ...more] = positionals;
  if (dir === undefined || more.length > 0)
    throw new VerifyError("VERIFY_USAGE", { expected: "one release directory", actual: `${positionals.length}` });
  const report = await verifyRelease(dir, await policyFrom(values, io));
  print(report, values, io);
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

/** Whom the options trust. @throws VerifyError, FormatError */
export async function policyFrom(values: Values, { env }: CommandIo): Promise<VerifyPolicy> {
  const fingerprints = (values.fingerprint ?? []).map(parseSha256);
  const given = await Promise.all((values.key ?? []).map(loadPublicKey));
  const own = given.length + fingerprints.length === 0;
  return {
    keys: own ? [await loadOwnKey(env)] : given,
    fingerprints,
    designations: values.designation?.map(parseDesignation) ?? (own ? designations : ["candidate", "stable"]),
    builders: values.builder ?? knownBuilders,
    without: values.without ?? [],
    ...(values.release !== undefined && { version: values.release }),
  };
}

async function loadOwnKey(env: CommandIo["env"]): Promise<PublicKey> {
  const path = join(defaultKeysDirectory(env), "release.pub");
  try {
    return await loadPublicKey(path);
  } catch (cause) {
    if (!(cause instanceof VerifyError)) throw cause;
    throw new VerifyError("TRUST_ROOT_MISSING", { expected: `--key, --fingerprint or ${path}`, actual: "none", cause });
  }
}

/** @throws VerifyError VERIFY_USAGE (no such file), FormatError KEY_MALFORMED */
async function loadPublicKey(path: string): Promise<PublicKey> {
  let bytes: Buffer;
  try {
    bytes = await readUpTo(path, MAX_KEY_FILE_BYTES + 1);
  } catch (cause) {
    throw new VerifyError("VERIFY_USAGE", { expected: `a public key in ${path}`, actual: (cause as Error).message, cause });
  }
  return parsePublicKey(bytes);
}

async function readUpTo(path: string, bytes: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function parseDesignation(name: string): Designation {
  const found = designations.find((one) => one === name);
  if (found === undefined) throw new VerifyError("VERIFY_USAGE", { expected: designations.join(" or "), actual: name });
  return found;
}

/** The report as --json and --verbose ask for it. */
export function print(report: Report, { json, verbose }: Values, io: CommandIo): void {
  // https://no-color.org: any value but the empty one.
  const colour = io.colour === true && !io.env.NO_COLOR;
  if (!json) {
    io.stdout(reportText(report, { colour, verbose: verbose === true }));
    return;
  }
  io.stdout(`${JSON.stringify(report, undefined, 2)}\n`);
  io.stderr(`${report.verdict} ${report.target}\n`);
}
