import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytes, duration, parseBytes } from "./units.ts";

describe("parseBytes", () => {
  const wrong = ["", " 1", "1 ", "-1", "1.5GiB", "1GB", "1K", "GiB", "1  GiB", "0x10", "1e3", "9".repeat(13), "1GiB\n"];
  for (const text of wrong) test(`refuses ${JSON.stringify(text)}`, () => expect(parseBytes(text)).toBeUndefined());
  const right = [
    ["0", 0],
    ["17", 17],
    ["17B", 17],
    ["2KiB", 2048],
    ["3 MiB", 3 << 20],
    ["10GiB", 10 * 2 ** 30],
  ] as const;
  for (const [text, size] of right) test(`reads ${text}`, () => expect(parseBytes(text)).toBe(size));
});

describe("bytes", () => {
  const cases = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [327_155_712, "312 MiB"],
    [2 ** 40, "1.0 TiB"],
    [2 ** 52, "4096 TiB"],
  ] as const;
  for (const [count, text] of cases) test(`${count} is ${text}`, () => expect(bytes(count)).toBe(text));
  test("is never wider than a column of the display", () => {
    fc.assert(fc.property(fc.nat(), (count) => bytes(count).length <= 9));
  });
});

describe("duration", () => {
  const cases = [
    [0, "0 ms"],
    [999, "999 ms"],
    [1000, "1.0 s"],
    [59_940, "59.9 s"],
    [59_960, "1 min 00 s"],
    [125_000, "2 min 05 s"],
    [3_599_600, "1 h 00 min"],
    [7_380_000, "2 h 03 min"],
  ] as const;
  for (const [ms, text] of cases) test(`${ms} ms is ${text}`, () => expect(duration(ms)).toBe(text));
});
