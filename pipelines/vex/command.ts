import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type CommandIo, printHelp } from "../io.ts";
import { loadLock } from "../lock/load.ts";
import { lockPath } from "../lock/lock.ts";
import { judgeFindings, parseFindings, requireWaived } from "./findings.ts";
import { loadWaivers, requireCurrent, waiversPath } from "./waivers.ts";

const help = `secai waivers check [RECIPE] [--findings FILE] [--on DAY] [--json]

Checks recipes/waivers/RECIPE.yaml: every waiver has a reason, a reviewer and a date that has not passed, and is about a locked package. With
--findings, a scanner's JSON array of {"id", "package"}, also that every finding is waived. RECIPE defaults to debian-13.

  --findings FILE  what a scanner found
  --on DAY         judge as of this day, YYYY-MM-DD (default: today, UTC)
  --json           one JSON document on standard output

Examples:
  secai waivers check
  secai waivers check debian-13 --findings findings.json

Exit status: 0 all waived and current, 1 a waiver has expired or a finding has none, 2 the file is wrong.
`;

/** `secai waivers`. @throws VexError, LockError, FormatError */
export async function runWaivers(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      findings: { type: "string" },
      on: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  const [verb, recipe = "debian-13", ...more] = positionals;
  if (values.help === true || verb !== "check" || more.length > 0) return printHelp(io, help, values.help === true);
  const waivers = await loadWaivers(io.top, recipe);
  const lock = await loadLock(join(io.top, lockPath(recipe)));
  const day = values.on ?? new Date().toISOString().slice(0, 10);
  requireCurrent(waivers, new Set(lock.roots.image.map(({ name }) => name)), day);
  const judged = judgeFindings(waivers, values.findings === undefined ? [] : parseFindings(await readFile(values.findings)));
  requireWaived(judged);
  if (values.json === true) io.stdout(`${JSON.stringify({ schema: 1, recipe, day, ...judged })}\n`);
  else
    io.stdout(`${waiversPath(recipe)}: ${waivers.waivers.length} current on ${day}, ${judged.waived.length} findings waived\n`);
  return 0;
}
