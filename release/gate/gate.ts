import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type Manifest, parseManifest } from "@secai/formats/manifest";
import { MANIFEST_FILE, placeOf } from "@secai/formats/release-layout";
import type { CommandIo } from "@secai/verify/command";
import { runVerify } from "@secai/verify/command";
import { trustOptions as verifierTrust } from "@secai/verify/policy-options";
import type { Report } from "@secai/verify/report";
import { GateError } from "./errors.ts";

/** Whom to trust and what to expect, in the words of `secai verify release`: these options are handed to it as they are. */
export const trustOptions = {
  ...verifierTrust,
  designation: { type: "string", multiple: true },
  builder: { type: "string", multiple: true },
  without: { type: "string", multiple: true },
} as const;
export type TrustValues = { readonly [K in keyof typeof trustOptions]?: string | readonly string[] | undefined };

export const TRUST_HELP = `Whom to trust (see secai verify release --help; without any, this user's own key):
  --key FILE, --fingerprint HEX, --key-manifest FILE, --policy FILE, --at TIME, --designation NAME, --builder URI
  --without FILE        a medium that was not fetched; may be repeated`;

/**
 * The verdict of the shipped verifier on a release directory, asked through its own command, so that no other door can be easier.
 * @throws GateError GATE_REJECTED, GATE_UNDECIDED, GATE_UNASKABLE
 */
export async function requireVerified(dir: string, trust: TrustValues, env: CommandIo["env"]): Promise<Report> {
  const said = { stdout: "", stderr: "" };
  const exit = await runVerify(["release", ...argumentsOf(trust), "--json", "--", dir], {
    stdout: (text) => {
      said.stdout += text;
    },
    stderr: (text) => {
      said.stderr += text;
    },
    env,
  });
  if (exit === 0) return JSON.parse(said.stdout) as Report;
  if (exit === 2)
    throw new GateError("GATE_UNASKABLE", { expected: "a question for the verifier", actual: firstLine(said.stderr) });
  if (exit !== 1 && exit !== 3) throw new Error(`the verifier failed: ${said.stderr}`);
  const code = exit === 1 ? "GATE_REJECTED" : "GATE_UNDECIDED";
  throw new GateError(code, { expected: `${dir} to verify`, actual: failuresOf(said.stdout) });
}

function argumentsOf(trust: TrustValues): readonly string[] {
  const names = Object.keys(trustOptions) as (keyof typeof trustOptions)[];
  return names.flatMap((name) => [trust[name] ?? []].flat().map((value) => `--${name}=${value}`));
}

const firstLine = (text: string) => text.split("\n")[0] ?? "";

/** The first checks that failed, as `id:subject`, and how many more. */
function failuresOf(json: string): string {
  const { checks } = JSON.parse(json) as Report;
  const wrong = checks.filter(({ status }) => status === "fail" || status === "undecided");
  const named = wrong.slice(0, 5).map(({ id, subject }) => (subject === undefined ? id : `${id}:${subject}`));
  return wrong.length > 5 ? `${named.join(", ")} and ${wrong.length - 5} more` : named.join(", ");
}

/**
 * A small file of a release, up to the limit that the layout gives it; undefined when it is not there.
 * @throws GateError GATE_READ
 */
export async function readReleaseFile(dir: string, name: string): Promise<Buffer | undefined> {
  try {
    return await readBounded(join(dir, name), placeOf(name)?.parsedUpTo ?? 0);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new GateError("GATE_READ", { expected: name, actual: (cause as Error).message, cause });
  }
}

/** A plain file of at most `maxBytes`; follows no link and waits for no pipe. @throws RangeError, and errors of the system */
export async function readBounded(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile() || found.size > maxBytes) throw new RangeError(`no plain file of at most ${maxBytes} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** @throws GateError GATE_READ, FormatError */
export async function readManifest(dir: string): Promise<Manifest> {
  const bytes = await readReleaseFile(dir, MANIFEST_FILE);
  if (bytes === undefined) throw new GateError("GATE_READ", { expected: MANIFEST_FILE, actual: `none in ${dir}` });
  return parseManifest(bytes);
}
