import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { makeTargets, targetsOf } from "./doc-page.ts";
import { readRepositoryFile, top } from "./tree.ts";
import { commandOf, commandsOf, type WorkflowFile, workflowFindings } from "./workflows.ts";

const folder = ".github/workflows";
const load = (path: string, text: string): WorkflowFile => ({
  path,
  text,
  document: parse(text, { version: "1.2", uniqueKeys: true }),
});
const workflows = readdirSync(join(top, folder)).map((name) =>
  load(`${folder}/${name}`, readRepositoryFile(`${folder}/${name}`)),
);

test("there is one for changes, one for releases, one for locks, and no other", () => {
  expect(workflows.map(({ path }) => path).toSorted()).toEqual(
    ["ci", "lock-refresh", "release"].map((name) => `${folder}/${name}.yml`),
  );
});

test.each(workflows)("$path keeps every rule", (workflow) => {
  expect(workflowFindings(workflow)).toEqual([]);
});

test("one action is one commit in all of them", () => {
  const used = workflows.flatMap(({ text }) => [...text.matchAll(/uses: (?<action>\S+)@(?<commit>\S+) # (?<version>\S+)/g)]);
  const pins = new Set(used.map((match) => JSON.stringify(match.groups)));
  const actions = new Set(used.map((match) => match.groups?.action));
  expect(pins.size).toBe(actions.size);
});

test("a release is published by nothing but a person's request", () => {
  const release = workflows.find(({ path }) => path.endsWith("/release.yml"))?.document as {
    on: object;
    jobs: Record<string, { environment?: string; permissions: object }>;
  };
  expect(Object.keys(release.on)).toEqual(["workflow_dispatch"]);
  const writing = Object.values(release.jobs).filter(({ permissions }) => JSON.stringify(permissions).includes("write"));
  expect(writing.map(({ environment }) => environment)).toEqual(["release"]);
});

describe("commands run locally too", () => {
  const commands = workflows.flatMap(commandsOf);
  const targets = makeTargets(readRepositoryFile("Makefile"));
  test("every target of make is one of the Makefile", () => {
    const asked = commands.flatMap((command) => (command.kind === "make" ? targetsOf(`make ${command.words.join(" ")}`) : []));
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((target) => !targets.has(target))).toEqual([]);
  });

  const subcommands = commands.flatMap((command) => {
    if (command.kind !== "secai") return [];
    const end = command.words.findIndex((word) => !/^[a-z][a-z-]*$/.test(word));
    return [(end < 0 ? command.words : command.words.slice(0, end)).join(" ")];
  });
  test.each([...new Set(subcommands)])("secai %s --help explains itself", (name) => {
    const words = [...name.split(" ").slice(0, 2), "--help"];
    const { status, stdout } = spawnSync(process.execPath, ["scripts/secai.ts", ...words], { cwd: top, encoding: "utf8" });
    expect({ status, named: stdout.includes(name.split(" ").slice(0, 2).join(" ")) }).toEqual({ status: 0, named: true });
  });
});

const PIN = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0";
const good = `on:
  pull_request:
permissions: {}
concurrency:
  group: x
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: ${PIN}
        with:
          persist-credentials: false
      - run: make lint
`;
const bad: readonly { readonly name: string; readonly from: string | RegExp; readonly to: string; readonly finding: RegExp }[] = [
  { name: "a tag for a commit", from: PIN, to: "actions/checkout@v5 # v5.0.0", finding: /not pinned/ },
  { name: "a short commit", from: PIN, to: "actions/checkout@08c6903 # v5.0.0", finding: /not pinned/ },
  { name: "no version beside the commit", from: " # v5.0.0", to: "", finding: /not pinned/ },
  { name: "a stranger's action", from: PIN, to: PIN.replace("actions/", "someone/"), finding: /uses someone\/checkout/ },
  { name: "an action of the checkout", from: PIN, to: "./.github/actions/x", finding: /not pinned/ },
  { name: "a container as an action", from: PIN, to: "docker://alpine:3", finding: /not pinned/ },
  { name: "a token left behind", from: "persist-credentials: false", to: "fetch-depth: 0", finding: /leaves its token/ },
  {
    name: "a token left behind by a string",
    from: "persist-credentials: false",
    to: 'persist-credentials: "false"',
    finding: /leaves its token/,
  },
  { name: "pull_request_target", from: "pull_request:", to: "pull_request_target:", finding: /runs on pull_request_target/ },
  {
    name: "pull_request_target in a list",
    from: "on:\n  pull_request:",
    to: "on: [push, pull_request_target]",
    finding: /runs on pull_request_target/,
  },
  { name: "workflow_run", from: "on:\n  pull_request:", to: "on: workflow_run", finding: /runs on workflow_run/ },
  { name: "all permissions", from: "permissions: {}", to: "permissions: write-all", finding: /top-level permissions/ },
  { name: "no permissions at the top", from: "permissions: {}\n", to: "", finding: /top-level permissions/ },
  { name: "a job that may write", from: "contents: read", to: "contents: write", finding: /may write contents/ },
  { name: "a job that may have tokens", from: "contents: read", to: "id-token: write", finding: /may write id-token/ },
  {
    name: "a job with the default permissions",
    from: "    permissions:\n      contents: read\n",
    to: "",
    finding: /no permissions of its own/,
  },
  { name: "no end", from: "    timeout-minutes: 5\n", to: "", finding: /no timeout/ },
  { name: "no concurrency", from: "concurrency:\n  group: x\n", to: "", finding: /no concurrency/ },
  { name: "our own runner for strangers", from: "ubuntu-24.04", to: "[self-hosted]", finding: /runner of our own/ },
  {
    name: "a secret on a pull request",
    from: "run: make lint",
    to: `run: make lint\n        env:\n          A: \${{ secrets.A }}`,
    finding: /uses secrets/,
  },
  {
    name: "a secret by index",
    from: "run: make lint",
    to: `run: make lint\n        env:\n          A: \${{ toJSON(secrets) }}`,
    finding: /uses secrets/,
  },
  {
    name: "a title inside a command",
    from: "make lint",
    to: `make lint A=\${{ github.event.pull_request.title }}`,
    finding: /expression inside/,
  },
  { name: "somebody's script", from: "make lint", to: "curl https://x.example", finding: /not a command of this project/ },
  { name: "a pipe after a target", from: "make lint", to: "make lint | sh", finding: /not a command of this project/ },
  {
    name: "a second line",
    from: "run: make lint",
    to: "run: |\n          make lint\n          bash x.sh",
    finding: /not a command.*bash x\.sh/,
  },
  { name: "a substitution", from: "make lint", to: "make $(id)", finding: /not a command of this project/ },
  { name: "another shell", from: "run: make lint", to: "run: make lint\n        shell: python", finding: /chooses a shell/ },
  {
    name: "another workflow",
    from: /steps:[\s\S]*$/,
    to: "uses: o/r/.github/workflows/x.yml@main",
    finding: /calls another workflow/,
  },
];
test("the good example has no findings", () => expect(workflowFindings(load("ci.yml", good))).toEqual([]));
test.each(bad)("found: $name", ({ from, to, finding }) => {
  const text = good.replace(from, to);
  expect(text).not.toBe(good);
  expect(workflowFindings(load("ci.yml", text)).join("\n")).toMatch(finding);
});

test("a command is one command", () => {
  expect(commandOf("sudo make test")).toEqual({ kind: "make", words: ["test"] });
  expect(commandOf("npm ci")).toEqual({ kind: "npm-ci" });
  for (const line of [
    "make",
    "npm install",
    "npm ci --ignore-scripts=false",
    "make a && b",
    "./scripts/secai x",
    "sudo sudo make x",
  ])
    expect(commandOf(line), line).toBeUndefined();
});
