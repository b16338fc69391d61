import type { ExecStep, Input, OutputRef } from "../step.ts";
import { directory, file, programStep } from "./exec.ts";
import { toolRoot } from "./root.ts";

/** Every locked tarball of the npm registry. */
const npmTarballs: Input = { kind: "fetched", step: "fetch.npm" };

/** A package of the lock's `npm` list. */
export interface NpmSource {
  /** E.g. "@node-llama-cpp/linux-x64". */
  readonly name: string;
  readonly version: string;
}

export interface NpmBackendInputs {
  readonly backend: "cpu" | "vulkan";
  /** The package that has the backend's libraries. */
  readonly source: NpmSource;
  /** The package that the runtime itself comes from. */
  readonly runtime: NpmSource;
  readonly sourceDateEpoch: number;
}

/** A backend whose libraries an npm package brings ready-made: picked, checked and described. */
export function npmBackendStep({ backend, source, runtime, sourceDateEpoch }: NpmBackendInputs): ExecStep {
  return programStep({
    id: `backend.${backend}`,
    title: `Take the ${backend} backend out of ${source.name}`,
    program: "npm-backend",
    tools: toolRoot,
    inputs: { "/in/npm": npmTarballs },
    flags: { backend, npm: "/in/npm", package: source.name, runtime: runtime.name, version: source.version, out: "/out/backend" },
    outputs: { backend: directory("/out/backend") },
    sourceDateEpoch,
  });
}

/**
 * PTX for Turing (compute capability 7.5), nothing else. NVIDIA's open kernel modules drive no older GPU, and the driver compiles PTX for the
 * GPU at hand and for every newer one. Each further target costs as much again, twenty minutes of two processors: "80-virtual" would let
 * GPUs from Ampere on read prompts faster, with the same results; machine code for each generation would only start sooner the first time.
 */
export const CUDA_ARCHITECTURES: readonly string[] = ["75-virtual"];

export interface CudaInputs {
  /** A root with Debian's nvidia-cuda-toolkit; `OutputRef` of its root step. */
  readonly tools: OutputRef;
  /** Name of that root in recipe and lock. */
  readonly toolRoot: string;
  /** The package node-llama-cpp, which has the sources. */
  readonly source: NpmSource;
  readonly sourceDateEpoch: number;
}

/** The CUDA backend, compiled from the sources in the npm package. The longest step of a build; its compiler cache outlives it. */
export function cudaStep({ tools, toolRoot: root, source, sourceDateEpoch }: CudaInputs): ExecStep {
  return programStep({
    id: "backend.cuda",
    title: "Compile the CUDA backend",
    program: "compile-cuda",
    tools,
    inputs: { "/in/npm": npmTarballs },
    caches: { "/cache/ccache": { name: "ccache-cuda" } },
    flags: {
      sources: `/in/npm/${source.name}-${source.version}.tgz`,
      lock: `npm:${source.name}@${source.version}`,
      "tool-root": root,
      architectures: CUDA_ARCHITECTURES.join(","),
      ccache: "/cache/ccache",
      out: "/out/backend",
    },
    outputs: { backend: directory("/out/backend") },
    sourceDateEpoch,
  });
}

export interface RuntimeInputs {
  /** The package that has the runtime itself. */
  readonly runtime: NpmSource;
  /** Outputs `backend` of the steps of those backends that live in the root, by backend. */
  readonly backends: Readonly<Record<string, OutputRef>>;
  readonly sourceDateEpoch: number;
}

/** What the runtime adds to the root: output `tree`. */
export function runtimeStep({ runtime, backends, sourceDateEpoch }: RuntimeInputs): ExecStep {
  return programStep({
    id: "runtime",
    title: "inference runtime",
    program: "runtime",
    tools: toolRoot,
    inputs: { "/in/npm": npmTarballs, ...below("/in/backends", backends) },
    flags: {
      npm: "/in/npm",
      package: runtime.name,
      version: runtime.version,
      backends: "/in/backends",
      out: "/out/tree",
    },
    outputs: { tree: directory("/out/tree") },
    sourceDateEpoch,
  });
}

export interface GpuBackendsInputs {
  readonly runtime: NpmSource;
  /** What the recipe declares, in its order. */
  readonly declared: readonly string[];
  /** "root" or "extension:NAME", by backend. */
  readonly places: Readonly<Record<string, string>>;
  /** Trees that become the sealed root, the one that wins first. */
  readonly root: readonly OutputRef[];
  /** Outputs `backend` of the backends' steps, by backend. */
  readonly backends: Readonly<Record<string, OutputRef>>;
  /** Trees of the system extensions, by name. */
  readonly extensions: Readonly<Record<string, OutputRef>>;
  readonly architecture: "amd64" | "arm64";
  readonly sourceDateEpoch: number;
}

const MULTIARCH = { amd64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" } as const;

const below = (folder: string, refs: Readonly<Record<string, OutputRef>>): Record<string, Input> =>
  Object.fromEntries(Object.entries(refs).map(([name, ref]) => [`${folder}/${name}`, ref]));

/** gpu-backends.json of the image. Fails by name when a declared backend is missing, is not the one that was built or cannot be loaded. */
export function gpuBackendsStep({
  runtime,
  declared,
  places,
  architecture,
  sourceDateEpoch,
  ...inputs
}: GpuBackendsInputs): ExecStep {
  const root = Object.fromEntries(inputs.root.map((ref, index): [string, Input] => [`/in/root/${index}`, ref]));
  return programStep({
    id: "gpu-backends",
    title: "Check the GPU backends and list them",
    program: "gpu-backends",
    tools: toolRoot,
    inputs: { ...root, ...below("/in/backends", inputs.backends), ...below("/in/extensions", inputs.extensions) },
    flags: {
      package: runtime.name,
      version: runtime.version,
      declared: declared.join(","),
      places: Object.entries(places)
        .map(([name, place]) => `${name}=${place}`)
        .join(","),
      root: Object.keys(root).join(","),
      backends: "/in/backends",
      extensions: Object.keys(inputs.extensions).length === 0 ? "" : "/in/extensions",
      multiarch: MULTIARCH[architecture],
      out: "/out/gpu-backends.json",
    },
    outputs: { declaration: file("/out/gpu-backends.json") },
    sourceDateEpoch,
  });
}
