import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { bundleOf } from "@secai/formats/release-layout";
import { ReleaseError } from "../errors.ts";
import { readManifest, requireVerified } from "../gate/gate.ts";
import type { ReleaseIo } from "../gate/io.ts";
import { remakeRelease } from "../remake.ts";
import { type TestResultFile, testResultLine, testResultOf } from "../test-results.ts";
import { answer, COMMON_HELP, commonOptions, directoryFrom, ownSigners, parseOptions } from "./options.ts";

const help = `secai release attest DIR RESULT.json... [--apply]: adds test results to a release, each signed and bound to the image's digest.

RESULT.json is what a suite of virtual machines writes with --json. A result of the same suite that is there already is replaced.

${COMMON_HELP}

Examples:
  secai release attest out/debian-13/0.1.0 test-results/acceptance.json
  secai release attest out/debian-13/0.1.0 test-results/acceptance.json test-results/adversarial.json --apply
`;

/** `secai release attest`. @throws ReleaseError, GateError, SignError, FormatError */
export async function runAttest(args: readonly string[], io: ReleaseIo): Promise<number> {
  const { values, positionals } = parseOptions(args, commonOptions);
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const { dir, more } = directoryFrom(positionals);
  if (more.length === 0) throw new ReleaseError("RELEASE_USAGE", { expected: "at least one result", actual: "none" });
  await requireVerified(dir, values, io.env);
  const { image } = await readManifest(dir);
  const results = await Promise.all(more.map(async (path) => testResultOf(await readFile(path), image.digest)));
  if (values.apply === true) {
    await remakeRelease(dir, dir, (copy) => writeResults(copy, results), await ownSigners(io));
  }
  const lines = results.map(testResultLine);
  const done = values.apply === true ? "added" : "would add (run with --apply)";
  answer(
    io,
    values.json,
    { dir, applied: values.apply === true, results: results.map(({ name, result }) => ({ name, result: result.result })) },
    `${lines.map((line) => `${done} ${line}\n`).join("")}`,
  );
  return 0;
}

async function writeResults(dir: string, results: readonly TestResultFile[]): Promise<void> {
  for (const { name, content } of results) {
    await mkdir(dirname(join(dir, name)), { recursive: true, mode: 0o755 });
    await rm(join(dir, bundleOf(name)), { force: true });
    await writeFile(join(dir, name), content, { mode: 0o644 });
  }
}
