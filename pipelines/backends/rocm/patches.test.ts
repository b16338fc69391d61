import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { applyPatches, patchesOf } from "./patches.ts";

const refused = (detail: { readonly expected?: string; readonly actual?: string } = {}) =>
  expect.objectContaining({ code: "GPU_BACKEND_PATCH", ...detail });

for (const name of [
  "README.md",
  "fix.patch",
  "0001-x.patch.orig",
  ".0001-x.patch",
  "0001-X.patch",
  "0001-a/b.patch",
  "0001-x.patch~",
])
  test(`a folder of patches that holds ${name} is refused`, () =>
    expect(() => patchesOf(["0001-a.patch", name])).toThrow(refused({ actual: name })));

test("patches apply in the order of their numbers", () =>
  expect(patchesOf(["0010-a.patch", "0002-b.patch", "0001-c.patch"])).toEqual(["0001-c.patch", "0002-b.patch", "0010-a.patch"]));

let folder = "";
let sources = "";
let patches = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secai-patches-"));
  sources = join(folder, "sources");
  patches = join(folder, "patches");
  mkdirSync(sources);
  mkdirSync(patches);
  writeFileSync(join(sources, "a.txt"), "one\ntwo\nthree\n");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const change = (from: string, to: string, file = "a.txt") =>
  `Why.\n\n--- a/${file}\n+++ b/${file}\n@@ -1,3 +1,3 @@\n one\n-${from}\n+${to}\n three\n`;
const patch = (name: string, content: string) => writeFileSync(join(patches, name), content);
const apply = () => applyPatches(sources, patches);

test("each patch builds on the one before", () => {
  patch("0001-first.patch", change("two", "2"));
  patch("0002-second.patch", change("2", "II"));
  expect(apply()).toEqual(["0001-first.patch", "0002-second.patch"]);
  expect(readFileSync(join(sources, "a.txt"), "utf8")).toBe("one\nII\nthree\n");
  expect(readdirSync(sources)).toEqual(["a.txt"]);
});

const inapplicable = [
  { name: "other sources", content: change("zwei", "2") },
  { name: "a change that the sources have already", content: change("1", "two") },
  { name: "a file that the sources do not have", content: change("two", "2", "b.txt") },
  { name: "other context", content: change("two", "2").replace(" three", " four") },
  { name: "no change", content: "Why.\n" },
];
for (const { name, content } of inapplicable)
  test(`a patch that does not apply is named: ${name}`, () => {
    patch("0001-fine.patch", change("two", "two!"));
    patch("0002-unfit.patch", content);
    expect(apply).toThrow(refused({ expected: "0002-unfit.patch to apply to the sources" }));
  });

test("a patch reaches no file outside the sources", () => {
  writeFileSync(join(folder, "outside.txt"), "one\ntwo\nthree\n");
  patch("0001-escape.patch", change("two", "2", "../outside.txt"));
  expect(apply).toThrow(refused());
  expect(readFileSync(join(folder, "outside.txt"), "utf8")).toBe("one\ntwo\nthree\n");
});
