import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { tool } from "../programs/tool.ts";
import { BackendError } from "./errors.ts";

/** Backends whose libraries npm packages bring ready-made. */
export type NpmBackend = "cpu" | "vulkan";

/** Folder of the libraries in a package @node-llama-cpp/PLATFORM. */
export const librariesFolder = (packageName: string): string => `package/bins/${packageName.slice(packageName.indexOf("/") + 1)}`;

/** The library that every backend is linked with; backends of two builds of it must not be mixed. */
export const BASE_LIBRARY = "libggml-base.so";

const unexpected = (expected: string, actual: string): BackendError =>
  new BackendError("GPU_BACKEND_SOURCE_UNEXPECTED", { expected, actual });

/** @throws BackendError GPU_BACKEND_SOURCE_UNEXPECTED when package.json is another package's; FormatError */
export function requirePackage(packageJson: Uint8Array, name: string, version: string): void {
  const found = Object(parseJson(packageJson, 1 << 16)) as { readonly name?: unknown; readonly version?: unknown };
  if (found.name !== name || found.version !== version)
    throw unexpected(`${name} ${version}`, `${String(found.name)} ${String(found.version)}`);
}

/**
 * The version of ggml that libggml-base.so was made of: `ggml_version()` and `ggml_commit()` return two strings that lie behind each other.
 * @throws BackendError GPU_BACKEND_SOURCE_UNEXPECTED when there is not exactly one such pair
 */
export function ggmlVersionOf(baseLibrary: Uint8Array): string {
  const text = Buffer.from(baseLibrary.buffer, baseLibrary.byteOffset, baseLibrary.length).toString("latin1");
  const found = [...text.matchAll(/(?<=\0)(\d{1,3}\.\d{1,3}\.\d{1,3})\0[0-9a-f]{7,40}(?=\0)/g)];
  const version = found[0]?.[1];
  if (version === undefined || found.length !== 1) throw unexpected(`one version of ggml in ${BASE_LIBRARY}`, `${found.length}`);
  return version;
}

/** Processors that the CPU backend has a library for, e.g. "haswell"; "x64" and "armv8.0_1" run on every one. */
const CPU_LIBRARY = /^libggml-cpu-([a-z0-9][a-z0-9._]{0,40})\.so$/;
const BASELINES: readonly string[] = ["x64", "armv8.0_1"];
const VULKAN_LIBRARY = "libggml-vulkan.so";

export interface NpmBackendFiles {
  readonly libraries: readonly string[];
  /** Of the CPU backend: the processors. */
  readonly variants: readonly string[];
}

/**
 * Picks a backend's libraries from the files of a package.
 * @throws BackendError GPU_BACKEND_MISSING when the package does not have the backend
 */
export function filesOfBackend(backend: NpmBackend, files: readonly string[]): NpmBackendFiles {
  const libraries = files.filter((name) => (backend === "cpu" ? CPU_LIBRARY.test(name) : name === VULKAN_LIBRARY)).toSorted();
  const variants = libraries.flatMap((name) => CPU_LIBRARY.exec(name)?.[1] ?? []);
  const complete = backend === "cpu" ? variants.some((name) => BASELINES.includes(name)) : libraries.length === 1;
  const expected =
    backend === "cpu" ? `the backend cpu: a library for ${BASELINES.join(" or ")}` : `the backend vulkan: ${VULKAN_LIBRARY}`;
  if (!complete || !files.includes(BASE_LIBRARY))
    throw new BackendError("GPU_BACKEND_MISSING", {
      expected: `${expected}, and ${BASE_LIBRARY}`,
      actual: files.join(", ") || "no file",
    });
  return { libraries, variants };
}

/** The runtime's own: the addon that Node opens, what it is linked with, and nothing that is a backend. */
const RUNTIME_FILE = /^(llama-addon\.node|lib(llama|llama-common|ggml|ggml-base)(\.v[0-9][0-9A-Za-z.-]{0,40})?\.so)$/;

/** Picks the runtime's files from those of a package. @throws BackendError GPU_BACKEND_SOURCE_UNEXPECTED */
export function filesOfRuntime(files: readonly string[]): readonly string[] {
  const found = files.filter((name) => RUNTIME_FILE.test(name)).toSorted();
  if (found.includes("llama-addon.node") && found.includes(BASE_LIBRARY)) return found;
  throw unexpected(`a runtime: llama-addon.node and ${BASE_LIBRARY}`, files.join(", ") || "no file");
}

/**
 * Unpacks one tarball below /tmp and returns the folder of its libraries. Needs tar and gzip in the tool root.
 * @param tarballs folder with tarballs by the file names that the registry gives them
 * @throws BackendError GPU_BACKEND_SOURCE_UNEXPECTED for another package than was locked; FormatError; Error when tar fails
 */
export function unpackPackage(tarballs: string, name: string, version: string): string {
  const folder = `/tmp/npm/${name.replaceAll("/", "+")}`;
  mkdirSync(folder, { recursive: true });
  const tarball = `${name.slice(name.indexOf("/") + 1)}-${version}.tgz`;
  tool("tar", ["--extract", "--gzip", "--no-same-owner", "--file", join(tarballs, tarball), "--directory", folder]);
  requirePackage(readFileSync(join(folder, "package/package.json")), name, version);
  return join(folder, librariesFolder(name));
}

/** Begins a SPIR-V module; the next word is its version (SPIR-V 2.3, Physical Layout of a SPIR-V Module). */
const SPIRV_MAGIC = Buffer.from([0x03, 0x02, 0x23, 0x07]);

/** Versions of the SPIR-V modules that lie in a library, e.g. "spirv1.5"; sorted, each once. */
export function spirvVersions(library: Uint8Array): readonly string[] {
  const bytes = Buffer.from(library.buffer, library.byteOffset, library.length);
  const found = new Set<string>();
  for (let at = bytes.indexOf(SPIRV_MAGIC); at >= 0 && at + 8 <= bytes.length; at = bytes.indexOf(SPIRV_MAGIC, at + 4)) {
    const [zero, minor, major, zeroToo] = bytes.subarray(at + 4, at + 8);
    if (zero === 0 && zeroToo === 0 && major === 1) found.add(`spirv${major}.${minor}`);
  }
  return [...found].sort();
}
