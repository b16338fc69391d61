import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createProgramBundler } from "./program-bundles.ts";
import { openStatCache } from "./stat-cache.ts";

let top = "";
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "secai-bundles-"));
  put("package.json", '{"type":"module"}');
  put("package-lock.json", "{}");
  put("tsconfig.json", "{}");
  put("node_modules/esbuild/package.json", '{"version":"1"}');
  put("pipelines/programs/print.ts", 'import { word } from "./part.ts";\nconsole.log(word);\n');
  put("pipelines/programs/part.ts", 'export const word: string = "one";\n');
});
afterEach(() => rmSync(top, { recursive: true }));

/** A file that was last changed long ago, unless said otherwise. */
function put(path: string, content: string, age = 100): void {
  const full = join(top, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  const then = new Date(Date.now() - age * 1000);
  utimesSync(full, then, then);
}

const index = (): string[] => {
  try {
    return Object.keys(JSON.parse(readFileSync(join(top, "cache/program-bundles.json"), "utf8")) as object);
  } catch {
    return [];
  }
};

/** As one run of the command. */
async function bundle(name = "print") {
  mkdirSync(join(top, "cache"), { recursive: true });
  const stats = openStatCache(join(top, "cache/source-digests.json"));
  const bundler = createProgramBundler(top, join(top, "cache"), stats);
  const made = await bundler.bundle(name);
  bundler.save();
  stats.save();
  return made;
}

const changes: readonly { readonly name: string; readonly change: () => void; readonly text: string }[] = [
  { name: "an imported file", change: () => put("pipelines/programs/part.ts", 'export const word = "two";\n', 50), text: "two" },
  { name: "the program", change: () => put("pipelines/programs/print.ts", 'console.log("three");\n', 50), text: "three" },
];
for (const { name, change, text } of changes) {
  test(`a change of ${name} makes another bundle`, async () => {
    const before = await bundle();
    expect(index()).toEqual(["print"]);
    change();
    const after = await bundle();
    expect(after.digest).not.toBe(before.digest);
    expect(readFileSync(after.path, "utf8")).toContain(text);
    expect(sha256(readFileSync(after.path))).toBe(after.digest);
  });
}

test("a damaged bundle is made anew", async () => {
  const before = await bundle();
  writeFileSync(before.path, "damaged");
  expect(await bundle()).toEqual(before);
  expect(sha256(readFileSync(before.path))).toBe(before.digest);
});

test("the same sources are the same bundle, from the index", async () => {
  const first = await bundle();
  expect(await bundle()).toEqual(first);
  writeFileSync(join(top, "cache/program-bundles.json"), "{damaged");
  expect(await bundle()).toEqual(first);
});

test("a bundle that a plan names was used just now, so that the cache does not drop it before the step runs", async () => {
  const { path } = await bundle();
  const then = new Date(Date.now() - 1_000_000);
  utimesSync(path, then, then);
  expect((await bundle()).path).toBe(path);
  expect(lstatSync(path).mtimeMs).toBeGreaterThan(then.getTime());
});

test("what was changed a moment ago is bundled each time", async () => {
  put("pipelines/programs/part.ts", 'export const word = "now";\n', 0);
  await bundle();
  expect(index()).toEqual([]);
});

test("a program that is not there is an error", async () => {
  await expect(bundle("none")).rejects.toThrow();
});
