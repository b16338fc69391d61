import fc from "fast-check";
import { expect, test } from "vitest";
import { cell, createOutput, printable } from "./output.ts";

function shown(json: boolean, colour: boolean, show: (out: ReturnType<typeof createOutput>) => void): string {
  let text = "";
  show(
    createOutput({
      json,
      colour,
      write: (more) => {
        text += more;
      },
    }),
  );
  return text;
}

test("columns are as wide as their widest cell, and the last is not padded", () => {
  expect(
    shown(false, false, (out) =>
      out.table(
        ["A", "LONG"],
        [
          ["xxx", "y"],
          ["", cell("zz", "bad")],
        ],
      ),
    ),
  ).toBe("A    LONG\nxxx  y\n     zz\n");
});
test("colours are asked for, and none is added without", () => {
  const show = (out: ReturnType<typeof createOutput>) => out.table(["A"], [[cell("x", "bad")]]);
  expect(shown(false, true, show)).toContain("\u001b[31mx\u001b[0m");
  expect(shown(false, false, show)).not.toContain("\u001b");
});
test("--json shows the value and nothing else", () => {
  const show = (out: ReturnType<typeof createOutput>) => {
    out.line("words");
    out.table(["A"], [["x"]]);
    out.value({ a: 1 });
  };
  expect(JSON.parse(shown(true, true, show))).toEqual({ a: 1 });
  expect(shown(false, false, show)).toBe("words\nA\nx\n");
});
test("nothing that others wrote moves the cursor or turns the writing round", () => {
  expect(printable("a\u001b[2Jb\rc\u202ed\u2028e\u200bf")).toBe("a?[2Jb?c?d?e?f");
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(printable(text)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }),
  );
});
