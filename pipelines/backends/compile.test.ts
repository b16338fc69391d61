import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cacheEnvironment, compileJobs } from "./compile.ts";

test("there is no compiler cache where there is no folder for it", () => {
  expect(cacheEnvironment("none")).toBeUndefined();
  expect(cacheEnvironment(join(tmpdir(), "secai-no-such-folder"))).toBeUndefined();
});

test("compilers are told apart by their content", () => {
  const folder = mkdtempSync(join(tmpdir(), "secai-ccache-"));
  try {
    expect(cacheEnvironment(folder)).toMatchObject({ CCACHE_DIR: folder, CCACHE_COMPILERCHECK: "content" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("one compiler runs even where memory is short", () => expect(compileJobs(2 ** 50)).toBe(1));
