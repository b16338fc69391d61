import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { libraryFolders } from "./library-folders.ts";

test("an extension's libraries are offered, a whole system's are not", () => {
  const folder = mkdtempSync(join(tmpdir(), "secai-folders-"));
  try {
    const lib = (tree: string) => join(folder, tree, "usr/lib/x86_64-linux-gnu");
    for (const tree of ["system", "extension"]) mkdirSync(lib(tree), { recursive: true });
    mkdirSync(join(folder, "empty"));
    writeFileSync(join(lib("system"), "libc.so.6"), "");
    writeFileSync(join(lib("extension"), "libvulkan.so.1"), "");
    const trees = ["system", "extension", "empty", "missing"].map((tree) => join(folder, tree));
    assert.deepEqual(libraryFolders(trees), [lib("extension")]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
