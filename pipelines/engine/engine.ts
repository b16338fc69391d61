import type { FetchFile, OutputRef, Plan, StepRecord } from "../step.ts";
import type { BlobStore } from "./blob-store.ts";

export type EngineEvent =
  | { readonly type: "plan"; readonly steps: number; readonly time: string }
  | { readonly type: "step-started"; readonly step: string; readonly title: string; readonly time: string }
  | {
      readonly type: "step-progress";
      readonly step: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
      readonly time: string;
    }
  | {
      readonly type: "step-finished";
      readonly step: string;
      readonly cached: boolean;
      readonly durationMs: number;
      readonly sizeBytes: number;
      readonly time: string;
    }
  | {
      readonly type: "step-failed";
      readonly step: string;
      readonly code: string;
      readonly logPath: string;
      /** The last 30 lines of the log. */
      readonly tail: readonly string[];
      readonly time: string;
    }
  | { readonly type: "notice"; readonly level: "info" | "warning"; readonly message: string; readonly time: string };

export interface RunOptions {
  /** Build only what these outputs need; default: every output of the plan. */
  readonly targets?: readonly OutputRef[];
  readonly report: (event: EngineEvent) => void;
  readonly signal?: AbortSignal;
}

export interface RunResult {
  /** In plan order, one per step that was needed. */
  readonly records: readonly StepRecord[];
  /** Where an output lies on this machine; read-only, valid until the cache collects it. */
  pathOf(ref: OutputRef): string;
}

/** Brings files into a content store; resumes, and commits a file only when its hash is right. pipelines/fetch makes one. */
export type Fetcher = (
  files: readonly FetchFile[],
  blobs: BlobStore,
  options: { signal?: AbortSignal; onBytes?: (done: number, total: number) => void },
) => Promise<void>;

/** Runs plans. Knows nothing of Debian or Fedora; steps know nothing of it. */
export interface Engine {
  readonly name: string;
  run(plan: Plan, options: RunOptions): Promise<RunResult>;
}
