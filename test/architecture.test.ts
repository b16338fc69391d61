import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ImportGraph, readImportGraph } from "../scripts/house/imports.ts";
import { mayImport, roomCycles, roomOf, violationOf } from "../scripts/house/layers.ts";
import { readRepositoryFile, repositoryFiles, top } from "../scripts/house/tree.ts";

const compiler = join(top, "node_modules/typescript/bin/tsc");
const scratch = mkdtempSync(join(tmpdir(), "secai-architecture-"));
let graph: ImportGraph;

beforeAll(() => {
  graph = readImportGraph(top, compiler);
});
afterAll(() => rmSync(scratch, { recursive: true }));

test("every TypeScript file of the repository is in the graph", () => {
  const sources = repositoryFiles().filter((path) => path.endsWith(".ts") && path.includes("/"));
  expect(sources.length).toBeGreaterThan(0);
  expect(sources.filter((path) => !graph.files.includes(path))).toEqual([]);
});

test("no import breaks the table", () => {
  expect(graph.imports.map(violationOf).filter((violation) => violation !== undefined)).toEqual([]);
});

test("no room imports itself through another", () => {
  expect(roomCycles(graph.imports.filter(({ from }) => roomOf(from) !== "test"))).toEqual([]);
});

test("no workspace declares a dependency that the table forbids", () => {
  const manifests = repositoryFiles().filter((path) => path.endsWith("/package.json") && !path.startsWith("test/"));
  const roomByName = new Map(manifests.map((path) => [String(JSON.parse(readRepositoryFile(path)).name), dirname(path)]));
  const wrong = manifests.flatMap((path) => {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(readRepositoryFile(path)) as Record<string, object>;
    return Object.keys({ ...dependencies, ...devDependencies })
      .map((name) => roomByName.get(name))
      .filter((room) => room !== undefined)
      .map((room) => violationOf({ from: `${dirname(path)}/package.json`, to: `${room}/x.ts`, specifier: "@secai/x" }));
  });
  expect(wrong.filter((violation) => violation !== undefined)).toEqual([]);
});

test("the table itself has no arrow in a circle", () => {
  const edges = Object.entries(mayImport).flatMap(([room, others]) =>
    others.map((other) => ({ from: `${room}/a/x.ts`, to: `${other}/a/x.ts`, specifier: "" })),
  );
  expect(roomCycles(edges)).toEqual([]);
});

/** A little house with the same rooms, one forbidden import in each of the ways an import can be written. */
const disguises = [
  { name: "a plain import", code: 'import { s } from "@secai/sign/s"; console.log(s);' },
  { name: "a type import", code: 'import type { T } from "@secai/sign/s"; export const t: T = 1;' },
  { name: "an import in a type", code: 'export const t: import("@secai/sign/s").T = 1;' },
  { name: "a dynamic import", code: 'export const s = await import("@secai/sign/s");' },
  { name: "a re-export", code: 'export * from "@secai/sign/s";' },
  { name: "an import by path", code: 'import { s } from "../sign/s.ts"; console.log(s);' },
];
for (const [index, { name, code }] of disguises.entries()) {
  test(`${name} of sign in verify is found`, () => {
    const house = join(scratch, String(index));
    for (const room of ["attest/sign", "attest/verify", "node_modules/@secai"]) mkdirSync(join(house, room), { recursive: true });
    symlinkSync(join(house, "attest/sign"), join(house, "node_modules/@secai/sign"));
    const manifest = { name: "@secai/sign", type: "module", exports: { "./*": "./*.ts" } };
    writeFileSync(join(house, "attest/sign/package.json"), JSON.stringify(manifest));
    writeFileSync(join(house, "attest/verify/package.json"), JSON.stringify({ name: "@secai/verify", type: "module" }));
    writeFileSync(join(house, "attest/sign/s.ts"), "export const s = 1;\nexport type T = number;\n");
    writeFileSync(join(house, "attest/verify/v.ts"), `${code}\n`);
    const { compilerOptions } = JSON.parse(readRepositoryFile("tsconfig.json"));
    const config = { compilerOptions: { ...compilerOptions, types: [] }, include: ["attest"] };
    writeFileSync(join(house, "tsconfig.json"), JSON.stringify(config));
    const violations = readImportGraph(house, compiler).imports.map(violationOf);
    expect(violations).toEqual([expect.stringContaining("attest/verify/v.ts imports attest/sign/s.ts")]);
  });
}
