import { expect, test } from "vitest";
import { filesOfBackend, ggmlVersionOf, librariesFolder, requirePackage, spirvVersions } from "./npm.ts";

const unexpected = expect.objectContaining({ code: "GPU_BACKEND_SOURCE_UNEXPECTED" });
const missing = expect.objectContaining({ code: "GPU_BACKEND_MISSING" });
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const name = "@node-llama-cpp/linux-x64";

for (const found of [{ name, version: "3.22.2" }, { name: `${name}-vulkan`, version: "3.22.1" }, {}, null, ["3.22.1"]])
  test(`another package is refused: ${JSON.stringify(found)}`, () =>
    expect(() => requirePackage(json(found), name, "3.22.1")).toThrow(unexpected));

test("the package that was locked is accepted, and its libraries lie in the folder of its platform", () => {
  expect(requirePackage(json({ name, version: "3.22.1", license: "MIT" }), name, "3.22.1")).toBeUndefined();
  expect(librariesFolder(name)).toBe("package/bins/linux-x64");
});

const cpu = ["libggml-base.so", "libggml-cpu-haswell.so", "libggml-cpu-x64.so", "libllama.v0.5.0.so", "llama-addon.node"];

const without = (file: string) => cpu.filter((one) => one !== file);
for (const files of [[], without("libggml-base.so"), without("libggml-cpu-x64.so")])
  test(`a package without the whole CPU backend is refused: ${files.join(" ")}`, () =>
    expect(() => filesOfBackend("cpu", files)).toThrow(missing));

test("a package without the Vulkan backend is refused, and the message names the file", () => {
  expect(() => filesOfBackend("vulkan", cpu)).toThrow(missing);
  expect(() => filesOfBackend("vulkan", cpu)).toThrow(/backend vulkan: libggml-vulkan\.so/);
});

test("the libraries of each backend are picked", () => {
  expect(filesOfBackend("cpu", cpu)).toEqual({
    libraries: ["libggml-cpu-haswell.so", "libggml-cpu-x64.so"],
    variants: ["haswell", "x64"],
  });
  expect(filesOfBackend("vulkan", [...cpu, "libggml-vulkan.so"])).toEqual({ libraries: ["libggml-vulkan.so"], variants: [] });
});

const base = (...strings: readonly string[]) => Buffer.from(`\x7fELF\0${strings.join("\0")}\0end`, "latin1");
for (const strings of [[], ["0.25.1"], ["0ad4a86", "0.25.1"], ["v0.25.1", "0ad4a86"], ["0.25.1", "0ad4a86", "0.26.0", "0ad4a87"]])
  test(`a library without one version and commit is refused: ${strings.join(" ")}`, () =>
    expect(() => ggmlVersionOf(base(...strings))).toThrow(unexpected));

test("the version is the one before the commit", () =>
  expect(ggmlVersionOf(base("GLIBC_2.17", "0.25.1", "0ad4a86"))).toBe("0.25.1"));

test("versions of SPIR-V are read from the modules", () => {
  const module = (minor: number, end = 0) => Buffer.from([3, 2, 0x23, 7, 0, minor, 1, end, 9, 9, 9, 9]);
  expect(spirvVersions(Buffer.concat([module(6), module(5), module(5), module(3, 1), Buffer.from([3, 2, 0x23, 7, 0])]))).toEqual([
    "spirv1.5",
    "spirv1.6",
  ]);
  expect(spirvVersions(Buffer.alloc(0))).toEqual([]);
});
