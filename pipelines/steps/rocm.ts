import type { ExecStep, OutputRef } from "../step.ts";
import type { NpmSource } from "./backends.ts";
import { directory, programStep } from "./exec.ts";

/**
 * Radeon RX 6800 to 6950 and PRO W6800 (RDNA 2), Radeon RX 7900 and PRO W7800 and W7900 (RDNA 3). Each GPU takes code of its own, here and
 * in rocBLAS (170 MB and more), and a quarter of an hour of a processor; others have the Vulkan backend.
 */
export const ROCM_ARCHITECTURES: readonly string[] = ["gfx1030", "gfx1100"];

export interface RocmInputs {
  /** A root with Debian's hipcc and librocblas-dev; `OutputRef` of its root step. */
  readonly tools: OutputRef;
  /** Name of that root in recipe and lock. */
  readonly toolRoot: string;
  /** The package node-llama-cpp, which has the sources. */
  readonly source: NpmSource;
  readonly sourceDateEpoch: number;
}

/** The ROCm backend for AMD's GPUs, compiled from the sources in the npm package. Long; its compiler cache outlives it. */
export function rocmStep({ tools, toolRoot, source, sourceDateEpoch }: RocmInputs): ExecStep {
  return programStep({
    id: "backend.rocm",
    title: "Compile the ROCm backend",
    program: "compile-rocm",
    tools,
    inputs: {
      "/in/npm": { kind: "fetched", step: "fetch.npm" },
      "/in/patches": { kind: "source", path: "pipelines/backends/rocm/patches" },
    },
    caches: { "/cache/ccache": { name: "ccache-rocm" } },
    flags: {
      sources: `/in/npm/${source.name}-${source.version}.tgz`,
      patches: "/in/patches",
      lock: `npm:${source.name}@${source.version}`,
      "tool-root": toolRoot,
      architectures: ROCM_ARCHITECTURES.join(","),
      ccache: "/cache/ccache",
      out: "/out/backend",
    },
    outputs: { backend: directory("/out/backend") },
    sourceDateEpoch,
  });
}
