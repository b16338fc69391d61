import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { ControlError } from "./errors.ts";

/** Suites over a booted image, whose results a release carries as signed statements. */
export const SUITES = ["acceptance", "adversarial", "media"] as const;

export interface ListedScenario {
  readonly suite: string;
  readonly id: string;
  readonly title: string;
}

const LINE = /^(?<id>[a-z][a-z0-9.-]*)\s+(?:host|container|shared|fork|boot)\s+(?<title>\S.*)$/;

/** What a suite prints with --list. @throws ControlError CONTROL_SUITE_UNLISTED for a line that is no scenario, and for none */
export function parseList(suite: string, list: string): readonly ListedScenario[] {
  const lines = list.split("\n").filter((line) => line !== "");
  if (lines.length === 0) throw new ControlError("CONTROL_SUITE_UNLISTED", { expected: `scenarios of ${suite}`, actual: "none" });
  return lines.map((line) => {
    const { id, title } = LINE.exec(line)?.groups ?? {};
    if (id === undefined || title === undefined)
      throw new ControlError("CONTROL_SUITE_UNLISTED", { expected: `${suite}: an id, what it needs, a title`, actual: line });
    return { suite, id, title };
  });
}

/** Asks every suite for its scenarios, all at once. @throws ControlError CONTROL_SUITE_UNLISTED */
export async function listScenarios(top: string): Promise<readonly ListedScenario[]> {
  const lists = await Promise.all(SUITES.map((suite) => listOf(top, suite)));
  return lists.flat();
}

async function listOf(top: string, suite: string): Promise<readonly ListedScenario[]> {
  try {
    const path = join(top, "test", suite, "main.ts");
    // Compiled modules are kept, as the secai command keeps them: half of what starting costs.
    const env = { NODE_COMPILE_CACHE: join(top, "node_modules/.compile-cache"), ...process.env };
    const { stdout } = await promisify(execFile)(process.execPath, [path, "--list"], { cwd: top, env, timeout: 60_000 });
    return parseList(suite, stdout);
  } catch (cause) {
    if (cause instanceof ControlError) throw cause;
    const actual = (cause as Error).message.split("\n", 1)[0] ?? "-";
    throw new ControlError("CONTROL_SUITE_UNLISTED", { expected: `the scenarios of ${suite}`, actual, cause });
  }
}

/** The one scenario with this id. @throws ControlError CONTROL_SCENARIO_UNKNOWN */
export function scenarioNamed(id: string, scenarios: readonly ListedScenario[], namedBy: string): ListedScenario {
  const [found, ...more] = scenarios.filter((scenario) => scenario.id === id);
  if (found !== undefined && more.length === 0) return found;
  const actual = found === undefined ? `${id}, which none has` : `${id}, which ${more.length + 1} have`;
  throw new ControlError("CONTROL_SCENARIO_UNKNOWN", { expected: `${namedBy}: a scenario that one suite has`, actual });
}
