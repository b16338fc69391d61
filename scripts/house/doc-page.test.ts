import { expect, test } from "vitest";
import { fencedCommands, makeTargets, relativeLinks, targetsOf } from "./doc-page.ts";

const page = [
  "# Page",
  "Inline `make nothing` and [a link](docs/a.md#part), [away](https://x.example/), [here](#page), `[code](no.md)`.",
  "```sh",
  "$ make image RECIPE=debian-13   # builds",
  "# only a comment",
  "scripts/secai verify release out",
  "```",
  "```json",
  '{"make": "not a command"}',
  "[not](a-link.md)",
  "```",
  "[reference]: <b.md>",
  "[other]: ../up.md",
].join("\n");

test("commands are the lines of shell blocks, without prompts and comments", () => {
  expect(fencedCommands(page)).toEqual([
    { line: 4, text: "make image RECIPE=debian-13" },
    { line: 6, text: "scripts/secai verify release out" },
  ]);
});

test("links are those in prose that stay in the repository", () => {
  expect(relativeLinks(page)).toEqual([
    { line: 2, target: "docs/a.md" },
    { line: 12, target: "b.md" },
    { line: 13, target: "../up.md" },
  ]);
});

test("a Makefile's targets are found, variables are not", () => {
  expect([...makeTargets("A := b\nRECIPE ?= x\n.PHONY: help\nhelp: ## list\nverify-release:\n\t@echo no:\n")]).toEqual([
    "help",
    "verify-release",
  ]);
  expect(targetsOf("make image RECIPE=debian-13 -j2 test")).toEqual(["image", "test"]);
});
