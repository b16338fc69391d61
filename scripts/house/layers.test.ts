import { expect, test } from "vitest";
import { parseExplainedFiles } from "./imports.ts";
import { roomCycles, roomOf, violationOf } from "./layers.ts";

const edge = (from: string, to: string, specifier = "@secai/x/y") => ({ from, to, specifier });

const forbidden = [
  edge("attest/verify/a.ts", "attest/sign/key-file.ts"),
  edge("attest/formats/a.ts", "attest/measure/pcr.ts"),
  edge("attest/sign/a.ts", "attest/verify/check.ts"),
  edge("pipelines/a.ts", "release/bundle.ts"),
  edge("release/a.ts", "pipelines/plan.ts"),
  edge("pipelines/a.ts", "attest/sign/sign.ts"),
  edge("services-src/policy-engine/a.ts", "services-src/airlock/core.ts"),
  edge("services-src/policy-engine/a.ts", "attest/measure/pcr.ts"),
  edge("services-src/kit/a.ts", "services-src/policy-engine/core.ts"),
  edge("scripts/secai.ts", "attest/sign/sign.ts", "../attest/sign/sign.ts"),
  edge("scripts/secai.ts", "services-src/kit/http.ts", "../services-src/kit/http.ts"),
  edge("pipelines/a.ts", "scripts/secai.ts"),
  edge("pipelines/a.ts", "test/vm/machine.ts"),
  edge("pipelines/a.test.ts", "release/bundle.ts"),
  edge("elsewhere/a.ts", "attest/formats/digest.ts"),
  edge("release/a.ts", "attest/formats/digest.ts", "../attest/formats/digest.ts"),
];
for (const { from, to, specifier } of forbidden) {
  test(`${from} may not import ${to} as ${specifier}`, () => {
    expect(violationOf(edge(from, to, specifier))).toContain(`${from} imports ${to}`);
  });
}

const allowed = [
  edge("attest/verify/a.ts", "attest/measure/pcr.ts"),
  edge("services-src/runtime-attestor/a.ts", "attest/measure/pcr.ts"),
  edge("services-src/airlock/a.ts", "services-src/kit/http.ts"),
  edge("scripts/secai.ts", "release/bundle.ts", "../release/bundle.ts"),
  edge("test/vm/machine.ts", "attest/sign/sign.ts", "../../attest/sign/sign.ts"),
  edge("pipelines/a.ts", "pipelines/engine/engine.ts", "./engine/engine.ts"),
  edge("pipelines/a.ts", "node_modules/yaml/dist/index.d.ts", "yaml"),
];
for (const { from, to, specifier } of allowed) {
  test(`${from} may import ${to}`, () => expect(violationOf(edge(from, to, specifier))).toBeUndefined());
}

test("a circle of rooms is named once, a diamond is none", () => {
  const circle = [edge("pipelines/a.ts", "release/b.ts"), edge("release/c.ts", "pipelines/d.ts")];
  expect(roomCycles(circle)).toEqual(["pipelines > release > pipelines"]);
  const diamond = [edge("a/x.ts", "b/x.ts"), edge("a/x.ts", "c/x.ts"), edge("b/x.ts", "d/x.ts"), edge("c/x.ts", "d/x.ts")];
  expect(roomCycles(diamond)).toEqual([]);
});

test("a room is a workspace", () => {
  expect(["attest/sign/a/b.ts", "services-src/kit/x.ts", "pipelines/steps/uki.ts", "vitest.config.ts"].map(roomOf)).toEqual([
    "attest/sign",
    "services-src/kit",
    "pipelines",
    "vitest.config.ts",
  ]);
});

test("the compiler's explanation becomes edges; reasons of node_modules are left out", () => {
  const graph = parseExplainedFiles(
    [
      "a/x.ts",
      "   Imported via \"./x.ts\" from file 'a/y.ts'",
      "   Matched by include pattern 'a' in 'tsconfig.json'",
      "node_modules/p/index.d.ts",
      "   Imported via \"p\" from file 'a/y.ts' with packageId 'p@1.0.0'",
      "   Imported via './q' from file 'node_modules/p/z.d.ts'",
      "",
    ].join("\n"),
  );
  expect(graph.files).toEqual(["a/x.ts"]);
  expect(graph.imports).toEqual([
    { from: "a/y.ts", to: "a/x.ts", specifier: "./x.ts" },
    { from: "a/y.ts", to: "node_modules/p/index.d.ts", specifier: "p" },
  ]);
});
