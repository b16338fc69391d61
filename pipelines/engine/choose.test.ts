import { expect, test } from "vitest";
import { parseEngineName, parseJobs } from "./choose.ts";

for (const text of ["", "0", "65", "100", "-1", "1.0", "+1", " 1", "1e1", "0x1", "01"])
  test(`--jobs "${text}" is JOBS_INVALID`, () => expect(() => parseJobs(text)).toThrow(/^JOBS_INVALID/));
for (const text of ["", "Local", "docker", "toString"])
  test(`--engine "${text}" is ENGINE_UNKNOWN`, () => expect(() => parseEngineName(text)).toThrow(/^ENGINE_UNKNOWN/));
test("the first and the last number, and the names", () => {
  expect([parseJobs("1"), parseJobs("64")]).toEqual([1, 64]);
  expect(["local", "dagger", "auto"].map(parseEngineName)).toEqual(["local", "dagger", "auto"]);
});
