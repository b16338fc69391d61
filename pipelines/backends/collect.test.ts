import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Collection, collectGpuBackends } from "./collect.ts";
import { makeElf } from "./elf.test-data.ts";
import { backendFolder, RUNTIME_FOLDER, writeRecord } from "./record.ts";

const libraries = "/usr/lib/x86_64-linux-gnu";
let top: string;
let collection: Collection;

function put(tree: string, path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(join(top, tree, path)), { recursive: true });
  writeFileSync(join(top, tree, path), bytes);
}

const source = { kind: "npm", lock: ["npm:x@1.0.0"] } as const;
const described = { version: "0.25.1", source, architectures: [], licences: ["MIT"] };
const cpu = makeElf({ needed: ["libggml-base.so", "libc.so.6"], undefined: ["ggml_new_tensor"] });
const vulkan = makeElf({ needed: ["libggml-base.so", "libvulkan.so.1"], undefined: ["vkCreateInstance"] });
const base = Buffer.concat([
  makeElf({ soname: "libggml-base.so", needed: ["libc.so.6"], defined: ["ggml_new_tensor"] }),
  Buffer.from("\x000.25.1\x000ad4a86\0", "latin1"),
]);

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "secai-backends-"));
  put("root", `${libraries}/libc.so.6`, makeElf({ soname: "libc.so.6" }));
  put("runtime", `${RUNTIME_FOLDER}/libggml-base.so`, base);
  put("runtime", `${RUNTIME_FOLDER}/libllama.v0.5.0.so`, makeElf());
  put("runtime", `${RUNTIME_FOLDER}/libggml-cpu-x64.so`, cpu);
  put("extension", `${libraries}/libvulkan.so.1`, makeElf({ soname: "libvulkan.so.1", defined: ["vkCreateInstance"] }));
  put("extension", `${backendFolder("vulkan")}/libggml-vulkan.so`, vulkan);
  put("made/cpu", "libggml-cpu-x64.so", cpu);
  put("made/vulkan", "libggml-vulkan.so", vulkan);
  writeRecord(join(top, "made/cpu"), { ...described, name: "cpu", libraries: ["libggml-cpu-x64.so"], folder: RUNTIME_FOLDER });
  const folder = backendFolder("vulkan");
  writeRecord(join(top, "made/vulkan"), { ...described, name: "vulkan", libraries: ["libggml-vulkan.so"], folder });
  collection = {
    runtime: { package: "@node-llama-cpp/linux-x64", version: "3.22.1" },
    declared: ["cpu", "vulkan"],
    places: { cpu: "root", vulkan: "extension:vulkan" },
    outputs: { cpu: join(top, "made/cpu"), vulkan: join(top, "made/vulkan") },
    root: [join(top, "runtime"), join(top, "root")],
    extensions: { vulkan: join(top, "extension") },
    multiarch: "x86_64-linux-gnu",
  };
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

function refused(code: string, says: RegExp): void {
  expect(() => collectGpuBackends(collection)).toThrow(expect.objectContaining({ code }));
  expect(() => collectGpuBackends(collection)).toThrow(says);
}
const remove = (path: string) => rmSync(join(top, path));
const vulkanFile = `extension${backendFolder("vulkan")}/libggml-vulkan.so`;

test("one backend file removed from the extension is refused by its name", () => {
  remove(vulkanFile);
  refused("GPU_BACKEND_MISSING", /libggml-vulkan\.so of the backend vulkan/);
});

test("one library of the CPU backend removed from the root is refused by its name", () => {
  remove(`runtime${RUNTIME_FOLDER}/libggml-cpu-x64.so`);
  refused("GPU_BACKEND_MISSING", /libggml-cpu-x64\.so of the backend cpu/);
});

test("a link in place of a backend file does not reach another file", () => {
  remove(vulkanFile);
  symlinkSync(join(top, "made/vulkan/libggml-vulkan.so"), join(top, vulkanFile));
  refused("GPU_BACKEND_MISSING", /libggml-vulkan\.so/);
});

test("a system library removed from the extension is refused by its name", () => {
  remove(`extension${libraries}/libvulkan.so.1`);
  refused("GPU_BACKEND_UNLOADABLE", /libggml-vulkan\.so needs libvulkan\.so\.1/);
});

test("a backend in an extension is not in the root", () => {
  collection = { ...collection, places: { cpu: "root", vulkan: "root" } };
  refused("GPU_BACKEND_MISSING", /libggml-vulkan\.so of the backend vulkan.*in the root/);
});

test("a backend library that no step made is refused", () => {
  put("root", `${RUNTIME_FOLDER}/libggml-rpc.so`, cpu);
  refused("GPU_BACKEND_UNHASHED", /libggml-rpc\.so/);
});

test("a file that a step did not list is refused in a backend's folder", () => {
  put("extension", `${backendFolder("vulkan")}/libhelper.so.1`, vulkan);
  refused("GPU_BACKEND_UNHASHED", /libhelper\.so\.1/);
});

test("a backend under another one's name is refused", () => {
  collection = { ...collection, outputs: { cpu: join(top, "made/cpu"), vulkan: join(top, "made/cpu") } };
  refused("GPU_BACKEND_MISSING", /backend vulkan.*backend cpu/);
});

test("a runtime without its base library is refused", () => {
  remove(`runtime${RUNTIME_FOLDER}/libggml-base.so`);
  expect(() => collectGpuBackends(collection)).toThrow(expect.objectContaining({ code: "GPU_BACKEND_SOURCE_UNEXPECTED" }));
});

test("an image with all that it declares is described", () => {
  const made = collectGpuBackends(collection);
  const { files, ...runtime } = made.runtime;
  expect(runtime).toEqual({
    package: "@node-llama-cpp/linux-x64",
    version: "3.22.1",
    llamaCpp: "v0.5.0",
    ggml: "0.25.1",
    licences: ["MIT"],
  });
  expect(files.map(({ path, size }) => [path, size])).toEqual([
    [`${RUNTIME_FOLDER}/libggml-base.so`, base.length],
    [`${RUNTIME_FOLDER}/libllama.v0.5.0.so`, makeElf().length],
  ]);
  expect(made.backends.map(({ name, place, libraries: needs }) => [name, place, needs])).toEqual([
    ["cpu", "root", ["libc.so.6"]],
    ["vulkan", "extension:vulkan", ["libvulkan.so.1"]],
  ]);
});
