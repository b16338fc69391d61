import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { fencedCommands, makeTargets, relativeLinks, targetsOf } from "../scripts/house/doc-page.ts";
import { readRepositoryFile, repositoryFiles, top } from "../scripts/house/tree.ts";

const pages = repositoryFiles().filter((path) => path.endsWith(".md") && !path.startsWith("test/vectors/"));
const commands = pages.flatMap((page) => fencedCommands(readRepositoryFile(page)).map((command) => ({ page, ...command })));
const targets = makeTargets(readRepositoryFile("Makefile"));

/** Words that name a subcommand: up to the first flag, path, variable or placeholder. */
function subcommand(text: string): readonly string[] {
  const words = text.split(/\s+/).slice(1);
  const end = words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word));
  return end < 0 ? words : words.slice(0, end);
}

const secai = (args: readonly string[]) =>
  spawnSync(process.execPath, ["scripts/secai.ts", ...args], { cwd: top, encoding: "utf8", timeout: 25_000 });

test("the README tells how to build, test and verify", () => {
  const named = commands.filter(({ page }) => page === "README.md").flatMap(({ text }) => targetsOf(text));
  expect(named).toEqual(expect.arrayContaining(["image", "test", "verify-release"]));
});

test("every target of make that a page names exists", () => {
  const asked = commands.filter(({ text }) => text.startsWith("make "));
  const unknown = asked.filter(({ text }) => targetsOf(text).length === 0 || !targetsOf(text).every((name) => targets.has(name)));
  expect(unknown).toEqual([]);
});

test("make help lists every target", () => {
  const { status, stdout } = spawnSync("make", ["--no-print-directory"], { cwd: top, encoding: "utf8" });
  expect(status).toBe(0);
  const listed = stdout.split("\n").map((line) => /^\s+make ([a-z-]+)/.exec(line)?.[1]);
  expect([...targets].filter((name) => !listed.includes(name))).toEqual([]);
});

describe("secai subcommands of the pages", () => {
  const asked = commands
    .filter(({ text }) => /^(scripts\/)?secai\b/.test(text))
    .map(({ text }) => subcommand(text).slice(0, 1).join(" "));
  for (const name of new Set(["", ...asked])) {
    test(`secai ${name} --help explains itself`, () => {
      const { status, stdout } = secai(name === "" ? ["--help"] : [name, "--help"]);
      expect({ status, explained: stdout.length > 20 }).toEqual({ status: 0, explained: true });
    });
  }
  test("an unknown subcommand is wrong use", () => expect(secai(["no-such-command"]).status).toBe(2));
});

test("every relative link leads somewhere", () => {
  const broken = pages.flatMap((page) =>
    relativeLinks(readRepositoryFile(page))
      .filter(({ target }) => target !== "" && !existsSync(join(top, dirname(page), target)))
      .map(({ line, target }) => `${page}:${line}: ${target}`),
  );
  expect(broken).toEqual([]);
});

test("every dependency of a workspace is reasoned, and only those", () => {
  const page = readRepositoryFile("docs/decisions/0002-runtime-dependencies.md");
  const reasoned = [...page.matchAll(/^### (?<name>\S+)$/gm)].map((match) => match.groups?.name ?? "");
  const manifests = repositoryFiles().filter((path) => path.endsWith("/package.json") && !path.startsWith("test/"));
  const declared = manifests.flatMap((path) => Object.keys(JSON.parse(readRepositoryFile(path)).dependencies ?? {}));
  expect([...reasoned].sort()).toEqual([...new Set(declared.filter((name) => !name.startsWith("@secai/")))].sort());
});

test("the threat model says of every invariant what holds it", () => {
  const model = readRepositoryFile("docs/threat-model.md");
  const invariants = model
    .split(/^### (?=G\d )/m)
    .slice(1)
    .map((section) => section.split(/^##/m)[0] ?? "");
  expect(invariants.map((section) => section.slice(0, 2))).toEqual(["G1", "G2", "G3", "G4", "G5"]);
  for (const section of invariants) expect(/\]\(\.\.\/test\/|\*unproven\*/.test(section)).toBe(true);
});

test("every scenario that the threat model cites exists", () => {
  const suites = repositoryFiles().filter((path) => /^test\/(acceptance|adversarial)\/main\.ts$/.test(path));
  const list = suites
    .map((path) => spawnSync(process.execPath, [path, "--list"], { cwd: top, encoding: "utf8" }).stdout)
    .join("\n");
  const known = new Set(list.split("\n").map((line) => line.split(" ")[0]));
  const areas = new Set([...known].map((id) => id?.split(".")[0] ?? ""));
  const cited = [...readRepositoryFile("docs/threat-model.md").matchAll(/`(?<id>(?<area>[a-z-]+)\.[a-z-]+)`/g)];
  const ids = cited.filter((match) => areas.has(match.groups?.area ?? "")).map((match) => match.groups?.id);
  expect(ids.length).toBeGreaterThan(10);
  expect(ids.filter((id) => !known.has(id))).toEqual([]);
});
