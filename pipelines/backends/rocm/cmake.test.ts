import { expect, test } from "vitest";
import { cmakeArguments } from "./cmake.ts";

const differ = expect.objectContaining({ code: "GPU_ARCHITECTURES_DIFFER" });

for (const name of [
  "native",
  "all",
  "gfx",
  "GFX1030",
  "1030",
  "gfx1030;gfx1100",
  "gfx11-generic",
  "gfx90a:xnack+",
  "gfx1030 -DX=1",
  "",
])
  test(`${JSON.stringify(name)} is no GPU to compile for`, () => expect(() => cmakeArguments([name], false)).toThrow(differ));

test("no GPU at all is refused", () => expect(() => cmakeArguments([], false)).toThrow(differ));

test("every GPU is compiled for, and nothing is tuned to the machine that builds", () => {
  const plain = cmakeArguments(["gfx906", "gfx90a", "gfx1030"], false);
  expect(plain).toContain("-DCMAKE_HIP_ARCHITECTURES=gfx906;gfx90a;gfx1030");
  expect(plain).toContain("-DGGML_NATIVE=OFF");
});

test("the cache changes only who calls the compiler", () => {
  const plain = cmakeArguments(["gfx1030"], false);
  const cached = cmakeArguments(["gfx1030"], true);
  const more = cached.filter((argument) => !plain.includes(argument));
  expect(more.length).toBe(3);
  expect(more.every((argument) => argument.endsWith("_LAUNCHER=ccache"))).toBe(true);
});
