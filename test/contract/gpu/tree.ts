import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type BackendEntry, type GpuBackends, gpuBackendsBytes } from "@secai/formats/gpu-backends";

// A tree as an image and its extensions lay it out, made of the very packages of npm that images take their runtime from.

const RUNTIME = "/usr/lib/secure-ai/runtime";
const VULKAN = "/usr/lib/secure-ai/backends/vulkan";

/** Folder of the libraries in an installed package. @throws Error that says what to install */
function libraries(name: "linux-x64" | "linux-x64-vulkan"): string {
  const folder = join(import.meta.dirname, "../../../node_modules/@node-llama-cpp", name, "bins", name);
  try {
    statSync(folder);
  } catch {
    throw new Error(`@node-llama-cpp/${name} is not installed: npm ci --include=optional`);
  }
  return folder;
}

function place(root: string, path: string, from: string): BackendEntry["files"][number] {
  const to = join(root, path);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  const bytes = readFileSync(to);
  return { path, sha256: sha256(bytes), size: bytes.length };
}

const entry = (name: BackendEntry["name"], files: BackendEntry["files"], libraryNames: readonly string[]): BackendEntry => ({
  name,
  version: "0.25.1",
  place: "root",
  files,
  source: { kind: "npm", lock: [`npm:@node-llama-cpp/${name === "cpu" ? "linux-x64" : `linux-x64-${name}`}@3.22.1`] },
  architectures: [],
  licences: ["MIT"],
  libraries: libraryNames,
});

const isVariant = ({ path }: BackendEntry["files"][number]): boolean => path.includes("/libggml-cpu-");

/** Writes the tree and its declaration. */
export function writeTree(root: string): GpuBackends {
  const cpu = libraries("linux-x64");
  const files = readdirSync(cpu)
    .filter((file) => /\.(so|node)$/.test(file))
    .map((file) => place(root, join(RUNTIME, file), join(cpu, file)));
  const [variants, runtime] = [files.filter(isVariant), files.filter((file) => !isVariant(file))];
  const vulkan = place(root, join(VULKAN, "libggml-vulkan.so"), join(libraries("linux-x64-vulkan"), "libggml-vulkan.so"));
  const declared: GpuBackends = {
    schema: 1,
    runtime: {
      ...{ package: "@node-llama-cpp/linux-x64", version: "3.22.1", llamaCpp: "v0.5.0", ggml: "0.25.1" },
      ...{ files: runtime, licences: ["MIT"] },
    },
    backends: [entry("cpu", variants, []), entry("vulkan", [vulkan], ["libvulkan.so.1"])],
  };
  writeFileSync(join(root, "usr/lib/secure-ai/gpu-backends.json"), gpuBackendsBytes(declared));
  return declared;
}
