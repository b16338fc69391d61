import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildInPlaceOf } from "@secai/release/place";
import { afterAll, beforeEach, expect, test } from "vitest";
import { temporaryDirectory } from "./fixture.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const parent = join(scratch.path, "out");
const out = join(parent, "0.1.0");
/** Above any process id of Linux. */
const NOBODY = 2 ** 22 + 1;
beforeEach(() => {
  rmSync(parent, { recursive: true, force: true });
  mkdirSync(parent);
});

const left = (name: string, content: string) => {
  mkdirSync(join(parent, name));
  writeFileSync(join(parent, name, "file"), content);
};
const make = (content: string) => buildInPlaceOf(out, (dir) => writeFile(join(dir, "file"), content));

test("what a killed process left goes with the next one", async () => {
  left(`.0.1.0.partial-${NOBODY}-abc`, "half");
  left("0.1.0", "whole");
  left(`.0.1.0.old-${NOBODY}-abc`, "older");
  await make("new");
  expect(readdirSync(parent)).toEqual(["0.1.0"]);
  expect(readFileSync(join(out, "file"), "utf8")).toBe("new");
});
test("a release that was set aside when its maker died comes back, also when the next one fails", async () => {
  left(`.0.1.0.old-${NOBODY}-abc`, "older");
  await expect(buildInPlaceOf(out, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(readFileSync(join(out, "file"), "utf8")).toBe("older");
});
test("what belongs to a living process, and what belongs to another version, stays", async () => {
  left(`.0.1.0.partial-${process.pid}-abc`, "mine");
  left(`.0.1.1.partial-${NOBODY}-abc`, "another version");
  left(`.0x1.0.partial-${NOBODY}-abc`, "another name");
  await make("new");
  for (const name of [`.0.1.0.partial-${process.pid}-abc`, `.0.1.1.partial-${NOBODY}-abc`, `.0x1.0.partial-${NOBODY}-abc`])
    expect(existsSync(join(parent, name))).toBe(true);
});
