import { sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { type ExplainFacts, explain, explanationText } from "./explain.ts";

const locked = {
  name: "libuv1t64",
  version: "1.50.0-2",
  architecture: "amd64",
  archive: "debian",
  path: "pool/main/libu/libuv1/libuv1t64_1.50.0-2_amd64.deb",
  size: 1,
  sha256: sha256("libuv"),
};

const facts: ExplainFacts = {
  packages: new Map([
    ["nodejs", { name: "nodejs", depends: ["libnode115"], files: new Set(["/usr/bin/node"]) }],
    ["libnode115", { name: "libnode115", depends: ["libuv1t64"], files: new Set<string>() }],
    ["libuv1t64", { name: "libuv1t64", depends: [], files: new Set(["/lib/x86_64-linux-gnu/libuv.so.1"]) }],
    ["base-files", { name: "base-files", depends: [], files: new Set(["/etc/issue"]) }],
  ]),
  locked: new Map([["libuv1t64", locked]]),
  requested: new Map([["nodejs", { file: "recipes/fragments/debian.yaml", line: 12, column: 5 }]]),
  overlays: new Map([["/etc/issue", "image/common/etc/issue"]]),
  made: new Map([["/usr/lib/secure-ai/services/policy-engine.mjs", "bundle.policy-engine"]]),
};

test("refuses a path that nothing put there", () => {
  expect(() => explain("/etc/shadow", facts)).toThrow(expect.objectContaining({ code: "EXPLAIN_NOT_FOUND", exit: 1 }));
});

test("an overlay wins over the package that also has the file", () => {
  expect(explain("/etc/issue", facts)).toMatchObject({ kind: "overlay", repositoryPath: "image/common/etc/issue" });
});

test("a bundle names the step that made it", () => {
  expect(explain("/usr/lib/secure-ai/services/policy-engine.mjs", facts)).toMatchObject({
    kind: "made",
    step: "bundle.policy-engine",
  });
});

test("a library is traced to the recipe line that brings it in, through its dependencies and the merged /usr", () => {
  const explanation = explain("/usr/lib/x86_64-linux-gnu/libuv.so.1", facts);
  expect(explanation).toMatchObject({ kind: "package", locked, because: ["nodejs", "libnode115", "libuv1t64"] });
  expect(explanationText(explanation)).toContain("recipes/fragments/debian.yaml:12:5");
});

test("an essential package says that no line names it", () => {
  expect(explanationText(explain("base-files", facts))).toContain("not named");
});
