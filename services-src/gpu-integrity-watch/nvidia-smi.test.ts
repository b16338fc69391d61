import fc from "fast-check";
import { expect, test } from "vitest";
import { GpuWatchError } from "./errors.ts";
import { parseNvidiaCsv } from "./nvidia-smi.ts";

const good = "0, Enabled, 0, 0, 31, 143771, 4, [N/A]";
const rejected = [
  { name: "nothing", text: "" },
  { name: "a message", text: "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n" },
  { name: "a column less", text: "0, Enabled, 0, 0, 31, 143771, 4\n" },
  { name: "a column more", text: `${good}, 0\n` },
  { name: "units", text: "0, Enabled, 0, 0, 31, 143771 MiB, 4 MiB, [N/A]\n" },
  { name: "a negative count", text: "0, Enabled, 0, -1, 31, 143771, 4, [N/A]\n" },
  { name: "a fraction", text: "0, Enabled, 0, 0.5, 31, 143771, 4, [N/A]\n" },
  { name: "an exponent", text: "0, Enabled, 0, 1e3, 31, 143771, 4, [N/A]\n" },
  { name: "a leading zero", text: "0, Enabled, 0, 01, 31, 143771, 4, [N/A]\n" },
  { name: "an empty cell", text: "0, Enabled, 0, , 31, 143771, 4, [N/A]\n" },
  { name: "an unknown word", text: "0, Enabled, 0, [Unknown Error], 31, 143771, 4, [N/A]\n" },
  { name: "another mode", text: "0, On, 0, 0, 31, 143771, 4, [N/A]\n" },
  { name: "no index", text: "[N/A], Enabled, 0, 0, 31, 143771, 4, [N/A]\n" },
  { name: "a GPU twice", text: `${good}\n${good}\n` },
  { name: "an empty line in between", text: `${good}\n\n1${good.slice(1)}\n` },
  { name: "a header", text: `index, ecc.mode.current\n${good}\n` },
  { name: "a carriage return", text: `${good}\r\n` },
  { name: "too many rows", text: Array.from({ length: 65 }, (_, index) => `${index}${good.slice(1)}`).join("\n") },
];
for (const { name, text } of rejected)
  test(`the tool's table is refused with ${name}`, () => {
    expect(() => parseNvidiaCsv(text)).toThrow(expect.objectContaining({ code: "GPU_TOOL_OUTPUT" }));
  });

test("two cards, one without error correction", () => {
  expect(parseNvidiaCsv(`${good}\n1, [N/A], [N/A], [N/A], 40, 8192, 100, [N/A]\n`)).toEqual([
    { index: 0, eccEnabled: true, corrected: 0, uncorrected: 0, celsius: 31, totalMib: 143771, usedMib: 4, retired: null },
    { index: 1, eccEnabled: null, corrected: null, uncorrected: null, celsius: 40, totalMib: 8192, usedMib: 100, retired: null },
  ]);
});
test("a table is read or refused by name, nothing else", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseNvidiaCsv(text);
      } catch (error) {
        expect(error).toBeInstanceOf(GpuWatchError);
      }
    }),
  );
});
