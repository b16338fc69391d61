import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compareVersions } from "@secai/formats/version-order";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";

const folder = new ToolFolder();
afterAll(() => folder.remove());

/** What a release may be called, and a separator too many now and then. */
const version = fc
  .tuple(fc.constantFrom("0", "1", "2", "10"), fc.string({ unit: fc.constantFrom(..."0129abZ..~-+"), maxLength: 7 }))
  .map(([first, rest]) => `${first}${rest}`);

test("versions compare as systemd compares them", () => {
  const pairs = fc.sample(fc.tuple(version, version), { numRuns: 300, seed: 13 });
  writeFileSync(join(folder.path, "pairs"), pairs.map(([a, b]) => `${a} ${b}\n`).join(""));
  const said = folder.run(`while read -r a b; do systemd-analyze compare-versions "$a" "$b" || true; done <${folder.path}/pairs`);
  const sign = (a: string, b: string) => ["<", "==", ">"][Math.sign(compareVersions(a, b)) + 1];
  expect(said.trim().split("\n")).toEqual(pairs.map(([a, b]) => `${a} ${sign(a, b)} ${b}`));
});
