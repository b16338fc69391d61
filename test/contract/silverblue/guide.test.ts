import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { fencedCommands } from "../../../scripts/house/doc-page.ts";
import { readRepositoryFile, top } from "../../../scripts/house/tree.ts";

// Commands of the guide that people run in a checkout; those for a machine run in machine.test.ts.
const commands = fencedCommands(readRepositoryFile("docs/guides/silverblue.md"));

/** What each ends with. A lock that nobody has resolved yet is undecided: 3. */
const endings: Readonly<Record<string, readonly number[]>> = {
  "scripts/secai recipe check silverblue-42": [0],
  "scripts/secai plan silverblue-42": [0],
  "scripts/secai lock check silverblue-42": [0, 3],
};

test("the guide names these commands and those for a machine, no others", () =>
  expect(commands.map(({ text }) => text).filter((text) => !text.startsWith("node "))).toEqual(Object.keys(endings)));

for (const [text, statuses] of Object.entries(endings))
  test(`${text}`, () => {
    const [, ...args] = text.split(" ");
    const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/secai.ts", ...args], { cwd: top, encoding: "utf8" });
    expect(statuses, `${stdout}${stderr}`).toContain(status);
    // What it prints is what the guide says of it.
    if (args[0] === "plan") expect(stdout).toContain("proven where");
    if (status === 3) expect(`${stdout}${stderr}`).toContain("unresolved".toUpperCase());
  });
