import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type MadeElf, makeElf } from "./elf.test-data.ts";
import { resolveInTrees } from "./layered-tree.ts";
import { systemFolders, unresolvedLibraries } from "./libraries.ts";

const lib = "/usr/lib/x86_64-linux-gnu";
const base = "/usr/lib/secure-ai/runtime/libggml-base.so";
const backend = "/usr/lib/secure-ai/backends/cuda/libggml-cuda.so";
const folders = systemFolders("x86_64-linux-gnu");

let top: string;
let root: string;
let extension: string;

function put(tree: string, path: string, spec: MadeElf): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), makeElf(spec));
}

function link(tree: string, path: string, target: string): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  symlinkSync(target, join(tree, path));
}

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "secai-libraries-"));
  root = join(top, "root");
  extension = join(top, "extension");
  put(root, `${lib}/libc.so.6`, { soname: "libc.so.6", defined: ["malloc"] });
  put(root, base, { soname: "libggml-base.so", needed: ["libc.so.6"], defined: ["ggml_new_tensor"] });
  link(root, "/lib", "usr/lib");
  put(extension, `${lib}/libcudart.so.12.4.127`, { soname: "libcudart.so.12", needed: ["libc.so.6"], defined: ["cudaMalloc"] });
  link(extension, `${lib}/libcudart.so.12`, "libcudart.so.12.4.127");
  put(extension, backend, {
    needed: ["libggml-base.so", "libcudart.so.12"],
    runpath: "$ORIGIN/../../runtime",
    undefined: ["ggml_new_tensor", "cudaMalloc", "malloc"],
  });
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

const check = (more: object = {}) =>
  unresolvedLibraries({ trees: [extension, root], files: [backend], loaded: [], folders, ...more });

test("a backend that is not there is named", () => {
  rmSync(join(extension, backend));
  expect(check()).toEqual([{ file: backend, needs: "itself" }]);
});

test("a library that neither tree holds is named with the one that needs it", () => {
  rmSync(join(extension, `${lib}/libcudart.so.12`));
  expect(check()).toEqual([{ file: backend, needs: "libcudart.so.12" }]);
});

test("a link that leads nowhere is no library", () => {
  rmSync(join(extension, `${lib}/libcudart.so.12.4.127`));
  expect(check()).toEqual([{ file: backend, needs: "libcudart.so.12" }]);
});

test("a link out of the trees does not reach the host's libraries", () => {
  put(top, "outside.so", { soname: "libcudart.so.12", defined: ["cudaMalloc"] });
  rmSync(join(extension, `${lib}/libcudart.so.12`));
  link(extension, `${lib}/libcudart.so.12`, join(top, "outside.so"));
  expect(check()).toEqual([{ file: backend, needs: "libcudart.so.12" }]);
  rmSync(join(extension, `${lib}/libcudart.so.12`));
  link(extension, `${lib}/libcudart.so.12`, "../../../../outside.so");
  expect(check()).toEqual([{ file: backend, needs: "libcudart.so.12" }]);
});

test("needs of needs are followed", () => {
  put(extension, `${lib}/libcudart.so.12.4.127`, { soname: "libcudart.so.12", needed: ["libdriver.so.1"] });
  expect(check()).toEqual([{ file: `${lib}/libcudart.so.12`, needs: "libdriver.so.1" }]);
});

test("a library of another machine does not count", () => {
  put(extension, `${lib}/libcudart.so.12.4.127`, { machine: 183, soname: "libcudart.so.12" });
  expect(check()).toEqual([{ file: backend, needs: "libcudart.so.12" }]);
});

test("a library of another release lacks a symbol", () => {
  put(root, base, { soname: "libggml-base.so", needed: ["libc.so.6"], defined: ["ggml_older"] });
  expect(check()).toEqual([{ file: backend, needs: "symbol ggml_new_tensor" }]);
});

test("what is opened by name must be there, too", () => {
  expect(check({ opened: ["libnvidia-ptxjitcompiler.so.1"] })).toEqual([
    { file: backend, needs: "libnvidia-ptxjitcompiler.so.1" },
  ]);
});

test("a library that is both opened and needed is named once", () => {
  rmSync(join(extension, `${lib}/libcudart.so.12`));
  expect(check({ opened: ["libcudart.so.12"] })).toEqual([{ file: backend, needs: "libcudart.so.12" }]);
});

test("without a path to the runtime its libraries count only when they are loaded before", () => {
  put(extension, backend, { needed: ["libggml-base.so"], undefined: ["ggml_new_tensor"] });
  expect(check()).toEqual([{ file: backend, needs: "libggml-base.so" }]);
  expect(check({ loaded: [base] })).toEqual([]);
});

test("what is no library at all is refused", () => {
  writeFileSync(join(extension, backend), "#!/bin/sh\n");
  expect(() => check()).toThrow(expect.objectContaining({ code: "ELF_MALFORMED" }));
});

test("a backend in an extension finds the extension's libraries and the root's", () => {
  expect(check()).toEqual([]);
  expect(check({ trees: [root] })).toEqual([{ file: backend, needs: "itself" }]);
});

test("a circle of needs ends", () => {
  put(root, `${lib}/libc.so.6`, { soname: "libc.so.6", needed: ["libcudart.so.12"], defined: ["malloc"] });
  expect(check()).toEqual([]);
});

test("paths are resolved inside the trees", () => {
  link(root, "/a", "b");
  link(root, "/b", "a");
  expect(resolveInTrees([root], "/a/x")).toBeUndefined();
  expect(resolveInTrees([root], "/lib/../lib/x86_64-linux-gnu/./libc.so.6")).toBe(join(root, lib, "libc.so.6"));
  expect(resolveInTrees([root], "/../../../usr/lib/x86_64-linux-gnu/libc.so.6")).toBe(join(root, lib, "libc.so.6"));
  expect(resolveInTrees([root], lib)).toBeUndefined();
  expect(resolveInTrees([root], `${lib}/libc.so.6/x`)).toBeUndefined();
});
