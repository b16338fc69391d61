import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256File } from "@secai/formats/digest";
import { type BackendEntry, type GpuBackends, gpuBackendsBytes } from "@secai/formats/gpu-backends";
import { QualifyError } from "./errors.ts";

// A tree as an image lays it out, made of the packages of npm that images take their runtime from: enough to see whether a GPU computes
// right where no image was built. What it declares is of no image, so nothing is signed about it.

const PACKAGES = { cpu: "linux-x64", vulkan: "linux-x64-vulkan" } as const;
const RUNTIME = "/usr/lib/secure-ai/runtime";
const VULKAN = "/usr/lib/secure-ai/backends/vulkan";
const VERSIONS = { version: "3.22.1", llamaCpp: "v0.5.0", ggml: "0.25.1" } as const;

type DeclaredFile = BackendEntry["files"][number];

/** Folder of the libraries in an installed package. @throws QualifyError GPU_TREES_MISSING */
function librariesOf(modules: string, name: string): string {
  const folder = join(modules, "@node-llama-cpp", name, "bins", name);
  if (existsSync(folder)) return folder;
  throw new QualifyError("GPU_TREES_MISSING", {
    expected: `the package @node-llama-cpp/${name} in ${modules}`,
    actual: "none",
    fix: "Run `npm ci`, which installs it on x86-64, or name the trees of an image with --tree.",
  });
}

async function place(root: string, path: string, from: string): Promise<DeclaredFile> {
  const to = join(root, path);
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
  return { path, sha256: await sha256File(to), size: (await stat(to)).size };
}

const entry = (name: keyof typeof PACKAGES, files: readonly DeclaredFile[], libraries: readonly string[]): BackendEntry => ({
  ...{ name, version: VERSIONS.ggml, place: "root", files, libraries, architectures: [], licences: ["MIT"] },
  source: { kind: "npm", lock: [`npm:@node-llama-cpp/${PACKAGES[name]}@${VERSIONS.version}`] },
});

/**
 * Writes a tree with the CPU's and the Vulkan backend below `root`. `modules`: a node_modules folder.
 * @throws QualifyError GPU_TREES_MISSING
 */
export async function writeNpmTree(modules: string, root: string): Promise<GpuBackends> {
  const [cpu, vulkan] = [librariesOf(modules, PACKAGES.cpu), librariesOf(modules, PACKAGES.vulkan)];
  const names = (await readdir(cpu)).filter((name) => /\.(so|node)$/.test(name)).sort();
  const files: DeclaredFile[] = [];
  for (const name of names) files.push(await place(root, join(RUNTIME, name), join(cpu, name)));
  const library = await place(root, join(VULKAN, "libggml-vulkan.so"), join(vulkan, "libggml-vulkan.so"));
  const isVariant = ({ path }: DeclaredFile) => path.includes("/libggml-cpu-");
  const declared: GpuBackends = {
    schema: 1,
    runtime: {
      ...{ package: `@node-llama-cpp/${PACKAGES.cpu}`, ...VERSIONS },
      ...{ files: files.filter((file) => !isVariant(file)), licences: ["MIT"] },
    },
    backends: [entry("cpu", files.filter(isVariant), []), entry("vulkan", [library], ["libvulkan.so.1"])],
  };
  await writeFile(join(root, "usr/lib/secure-ai/gpu-backends.json"), gpuBackendsBytes(declared));
  return declared;
}
