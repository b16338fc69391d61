import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { GpuError } from "./errors.ts";

// The part of llama-addon.node (node-llama-cpp's native half) that a probe drives. Its own JavaScript half is not used: it looks for
// binaries by itself, falls back to others and downloads or compiles what it does not find; here exactly one runtime is loaded, or none.

/** Levels of `setLogger`: 2 errors, 3 warnings, 4 what was loaded, and more with each number. */
const LOG_INFO = 4;
const ADDON = "llama-addon.node";

export interface LlamaAddon {
  setLogger(logger: (level: number, message: string) => void): void;
  setLoggerLogLevel(level: number): void;
  /** setenv(3), which libraries loaded later see. */
  setEnv(name: string, value: string, overwrite?: boolean): boolean;
  /** Loads the best CPU library of a folder, then the one that GGML_BACKEND_PATH names. */
  loadBackends(folder: string): void;
  getGpuDeviceInfo(): { readonly deviceNames: readonly string[] };
  /** Bytes. */
  getGpuVramInfo(): { readonly total: number };
  init(): Promise<void>;
  dispose(): Promise<void>;
  readonly AddonModel: new (path: string, options: ModelOptions) => AddonModel;
  readonly AddonContext: new (model: AddonModel, options: ContextOptions) => AddonContext;
  readonly AddonSampler: new (model: AddonModel) => AddonSampler;
}

interface ModelOptions {
  readonly addonExports: LlamaAddon;
  readonly gpuLayers: number;
  readonly useMmap: boolean;
  readonly checkTensors: boolean;
}

interface ContextOptions {
  readonly contextSize: number;
  readonly batchSize: number;
  readonly sequences: number;
  readonly flashAttention: boolean;
  readonly threads: number;
}

export interface AddonModel {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  tokenize(text: string, special: boolean): Uint32Array;
  tokenBos(): number;
  shouldPrependBosToken(): boolean;
  /** Bytes of weights. */
  getMemoryBreakdown(): { readonly cpuRam: number; readonly gpuVram: number };
}

export interface AddonContext {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  initBatch(size: number): void;
  /** Where in the batch the logits of each asked-for token will be. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  /** -1: the grammar allows nothing, which cannot happen without one. */
  sampleToken(logitIndex: number, sampler: AddonSampler): Promise<number>;
}

export interface AddonSampler {
  applyConfig(config: { readonly temperature: number }): void;
  dispose(): void;
}

/** An addon and what it has said so far, errors and loaded libraries included. */
export interface LoadedAddon {
  readonly addon: LlamaAddon;
  readonly log: readonly string[];
}

const MAX_LOG_LINES = 2000;

/** @throws GpuError GPU_RUNTIME_UNUSABLE with the loader's own words */
export function loadAddon(runtimeFolder: string): LoadedAddon {
  const path = join(runtimeFolder, ADDON);
  if (!existsSync(path)) throw new GpuError("GPU_RUNTIME_UNUSABLE", { expected: `a runtime at ${path}`, actual: "nothing" });
  const module = { exports: {} };
  try {
    process.dlopen(module, path, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_LOCAL);
  } catch (cause) {
    throw new GpuError("GPU_RUNTIME_UNUSABLE", {
      expected: `${path} to load`,
      actual: (cause as Error).message.split("\n")[0] ?? "",
      cause,
    });
  }
  const addon = module.exports as LlamaAddon;
  const log: string[] = [];
  addon.setLogger((_level, message) => {
    if (log.length < MAX_LOG_LINES) log.push(message);
  });
  addon.setLoggerLogLevel(LOG_INFO);
  return { addon, log };
}
