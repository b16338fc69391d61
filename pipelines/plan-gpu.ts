import { PipelineError } from "./errors.ts";
import { architectureOf, type Lock, lockedRoot, NPM_ARCHIVE } from "./lock/lock.ts";
import type { DebianRecipe, GpuBackend, ToolRootName } from "./recipe/recipe.ts";
import type { FetchStep, OutputRef, Step } from "./step.ts";
import { cudaStep, gpuBackendsStep, type NpmSource, npmBackendStep, runtimeStep } from "./steps/backends.ts";
import { outputOf } from "./steps/exec.ts";
import type { BootKeys } from "./steps/image.ts";
import { modulesSteps, nvidiaOpen } from "./steps/modules.ts";
import { rocmStep } from "./steps/rocm.ts";
import { fetchStep, rootStep } from "./steps/root.ts";

// The part of a plan that computes: the runtime, its backends and the kernel modules that they need.

export interface GpuPlanInputs {
  readonly recipe: DebianRecipe;
  readonly lock: Lock;
  readonly keys: BootKeys;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
}

/** Packages of the npm registry by what they bring; the sources are the same for every architecture. */
const SOURCES = "node-llama-cpp";
const PREBUILT = {
  amd64: { cpu: "@node-llama-cpp/linux-x64", vulkan: "@node-llama-cpp/linux-x64-vulkan" },
  arm64: { cpu: "@node-llama-cpp/linux-arm64" },
} as const;

/** Package of the tool root "modules" that brings NVIDIA's kernel modules as sources. */
const NVIDIA_SOURCE = "nvidia-open-kernel-source";

function npmSource({ npm }: DebianRecipe, backend: GpuBackend, name: string | undefined): NpmSource {
  const found = npm.find((entry) => entry.name === name);
  if (found !== undefined) return { name: found.name, version: found.version };
  const expected = `${name ?? "a package"} in npm, for the backend ${backend}`;
  throw new PipelineError("PLAN_UNSUPPORTED", { expected, actual: npm.map((entry) => entry.name).join(", ") || "none" });
}

function toolRootOf({ toolRoots }: DebianRecipe, root: ToolRootName, what: string): OutputRef {
  if (toolRoots[root] === undefined)
    throw new PipelineError("PLAN_UNSUPPORTED", { expected: `toolRoots.${root}, for ${what}`, actual: "no such tool root" });
  return outputOf(`root.${root}`, "root");
}

/** Every tarball of the recipe, in one fetch step. */
function fetchNpm({ npm = [] }: Lock): readonly FetchStep[] {
  if (npm.length === 0) return [];
  const files = npm.map(({ path, size, sha256 }) => ({
    name: path.slice(path.lastIndexOf("/") + 1),
    archive: NPM_ARCHIVE,
    ...{ path, size, sha256 },
  }));
  return [{ kind: "fetch", id: "fetch.npm", network: "fetch", files }];
}

/** Tool roots that only some recipes have: compilers. */
function furtherRoots({ recipe, lock, sourceDateEpoch }: GpuPlanInputs): readonly Step[] {
  return (["cuda", "rocm", "modules"] as const)
    .filter((root) => recipe.toolRoots[root] !== undefined)
    .flatMap((root) => [
      fetchStep(root, lockedRoot(lock, root)),
      rootStep({
        root,
        title: `tool root ${root}`,
        suite: recipe.base.release,
        architecture: architectureOf(recipe.base, root),
        tools: outputOf("root.build", "root"),
        docs: "drop",
        how: "unpacked",
        sourceDateEpoch,
      }),
    ]);
}

function backendStep(backend: GpuBackend, { recipe, sourceDateEpoch }: GpuPlanInputs): Step {
  const prebuilt: Readonly<Record<string, string>> = PREBUILT[recipe.base.architecture];
  const sources = () => npmSource(recipe, backend, SOURCES);
  switch (backend) {
    case "cpu":
    case "vulkan": {
      const runtime = npmSource(recipe, "cpu", prebuilt.cpu);
      return npmBackendStep({ backend, source: npmSource(recipe, backend, prebuilt[backend]), runtime, sourceDateEpoch });
    }
    case "cuda":
      return cudaStep({
        tools: toolRootOf(recipe, "cuda", "the backend cuda"),
        toolRoot: "cuda",
        source: sources(),
        sourceDateEpoch,
      });
    case "rocm":
      return rocmStep({
        tools: toolRootOf(recipe, "rocm", "the backend rocm"),
        toolRoot: "rocm",
        source: sources(),
        sourceDateEpoch,
      });
    case "xpu":
      throw new PipelineError("PLAN_UNSUPPORTED", {
        expected: "gpuBackends among cpu, vulkan, cuda, rocm",
        actual: "xpu: Debian has no SYCL compiler; Intel GPUs compute through vulkan",
      });
  }
}

/** NVIDIA's modules, when the recipe has the root to compile them in. */
function kernelModules({ recipe, lock, keys, sourceDateEpoch }: GpuPlanInputs): readonly Step[] {
  if (recipe.toolRoots.modules === undefined) return [];
  const locked = lockedRoot(lock, "modules").find(({ name }) => name === NVIDIA_SOURCE);
  if (locked === undefined)
    throw new PipelineError("PLAN_UNSUPPORTED", { expected: `${NVIDIA_SOURCE} in toolRoots.modules`, actual: "no such package" });
  const { dbCertificate, dbKey } = keys;
  return modulesSteps({ source: nvidiaOpen(locked.version), dbCertificate, dbKey, sourceDateEpoch });
}

export interface GpuPlan {
  /** Before the extensions. */
  readonly steps: readonly Step[];
  /** What lists the backends; after the extensions. */
  readonly declaration: readonly Step[];
  /** Folders with a backend's libraries, by extension and backend. */
  readonly extensionBackends: Readonly<Record<string, Readonly<Record<string, OutputRef>>>>;
  /** Trees for the root. */
  readonly additions: readonly OutputRef[];
  readonly gpuBackends?: OutputRef;
}

/**
 * Steps of everything that computes. A recipe without packages of npm has no runtime, and may then declare no backend but the CPU, which
 * its services bring themselves.
 * @throws PipelineError PLAN_UNSUPPORTED by the name of the backend that the recipe declares and does not feed
 */
export function planGpu(inputs: GpuPlanInputs): GpuPlan {
  const { recipe, lock, sourceDateEpoch } = inputs;
  const modules = kernelModules(inputs);
  const moduleTrees = modules.length === 0 ? [] : [outputOf("modules", "tree")];
  const steps = [...furtherRoots(inputs), ...modules];
  if (recipe.npm.length === 0) {
    const [fed] = recipe.gpuBackends.filter((backend) => backend !== "cpu");
    if (fed !== undefined) npmSource(recipe, fed, undefined);
    return { steps, declaration: [], extensionBackends: {}, additions: moduleTrees };
  }
  const extensions = new Set(recipe.extensions.map(({ name }) => name));
  const inExtension = recipe.gpuBackends.filter((backend) => extensions.has(backend));
  const output = (backend: string) => outputOf(`backend.${backend}`, "backend");
  const outputs = (backends: readonly string[]) => Object.fromEntries(backends.map((backend) => [backend, output(backend)]));
  const runtime = npmSource(recipe, "cpu", PREBUILT[recipe.base.architecture].cpu);
  const inRoot = recipe.gpuBackends.filter((backend) => !extensions.has(backend));
  const tree = outputOf("runtime", "tree");
  const declaration = gpuBackendsStep({
    runtime,
    declared: recipe.gpuBackends,
    places: Object.fromEntries(
      recipe.gpuBackends.map((backend) => [backend, extensions.has(backend) ? `extension:${backend}` : "root"]),
    ),
    root: [tree, outputOf("root.image", "root")],
    backends: outputs(recipe.gpuBackends),
    extensions: Object.fromEntries([...extensions].map((name) => [name, outputOf(`extension.${name}`, "tree")])),
    architecture: recipe.base.architecture,
    sourceDateEpoch,
  });
  return {
    steps: [
      ...fetchNpm(lock),
      ...steps,
      ...recipe.gpuBackends.map((backend) => backendStep(backend, inputs)),
      runtimeStep({ runtime, backends: outputs(inRoot), sourceDateEpoch }),
    ],
    declaration: [declaration],
    extensionBackends: Object.fromEntries(inExtension.map((backend) => [backend, outputs([backend])])),
    additions: [tree, ...moduleTrees],
    gpuBackends: outputOf("gpu-backends", "declaration"),
  };
}
