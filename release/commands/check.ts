import { designations } from "@secai/formats/designation";
import { parseProvenance } from "@secai/formats/provenance";
import { PROVENANCE_FILE, roleOf } from "@secai/formats/release-layout";
import { parseStatement } from "@secai/formats/statement";
import { parseTestResult } from "@secai/formats/test-result";
import { ReleaseError } from "../errors.ts";
import { GateError } from "../gate/errors.ts";
import { readManifest, readReleaseFile, requireVerified, type TrustValues } from "../gate/gate.ts";
import type { ReleaseIo } from "../gate/io.ts";
import { type Obstacle, obstaclesTo } from "../readiness.ts";
import { answer, COMMON_HELP, commonOptions, directoryFrom, parseOptions } from "./options.ts";

const help = `secai release check DIR [--for DESIGNATION]: may this release become a candidate, or stable?

Verifies the release, then names everything that stands in the way. Changes nothing.

  --for DESIGNATION     ${designations.join(", ")} (default: stable)
${COMMON_HELP.replace(/\n {2}--apply.*\n/, "\n")}

Examples:
  secai release check out/debian-13/0.1.0
  secai release check out/debian-13/0.1.0 --for candidate --json

Exit status: 0 ready, 1 not ready or refused by the verifier, 2 wrong use, 3 the verifier lacks something.
`;

/** `secai release check`. @throws ReleaseError, GateError, FormatError */
export async function runCheck(args: readonly string[], io: ReleaseIo): Promise<number> {
  const { values, positionals } = parseOptions(args, { ...commonOptions, for: { type: "string" } });
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const { dir } = directoryFrom(positionals);
  const target = parseTarget(values.for ?? "stable");
  const obstacles = await obstaclesIn(dir, target, values, io);
  const lines = obstacles.map(({ code, detail }) => `  ${code.padEnd(22)} ${detail}\n`).join("");
  const verdict = obstacles.length === 0 ? `ready for ${target}: ${dir}\n` : `not ready for ${target}: ${dir}\n${lines}`;
  answer(io, values.json, { dir, target, ready: obstacles.length === 0, obstacles }, verdict);
  return obstacles.length === 0 ? 0 : 1;
}

/** @throws ReleaseError RELEASE_USAGE */
export function parseTarget(name: string) {
  const target = designations.find((one) => one === name);
  if (target === undefined) throw new ReleaseError("RELEASE_USAGE", { expected: designations.join(" or "), actual: name });
  return target;
}

/** @throws GateError, FormatError */
export async function obstaclesIn(
  dir: string,
  target: ReturnType<typeof parseTarget>,
  trust: TrustValues,
  { env }: ReleaseIo,
): Promise<readonly Obstacle[]> {
  const report = await requireVerified(dir, trust, env);
  const manifest = await readManifest(dir);
  const provenance = parseProvenance(parseStatement(await needed(dir, PROVENANCE_FILE)));
  const results = manifest.files.filter(({ name }) => roleOf(name) === "test-result");
  const tests = await Promise.all(results.map(async ({ name }) => parseTestResult(await needed(dir, name))));
  return obstaclesTo(target, { report, manifest, provenance, tests });
}

async function needed(dir: string, name: string): Promise<Buffer> {
  const bytes = await readReleaseFile(dir, name);
  if (bytes === undefined) throw new GateError("GATE_READ", { expected: name, actual: "no such file" });
  return bytes;
}
