import { FormatError } from "./errors.ts";
import type { GpuState } from "./gpu-state.ts";

/** What /var/lib/secure-ai/inference.env says to systemd (EnvironmentFile=): two lines, nothing else. */
export interface InferenceEnv {
  readonly backend: GpuState["backend"];
  readonly layers: -1 | 0;
}

const LINES = /^GPU_BACKEND=(cpu|cuda|rocm|xpu|vulkan)\nGPU_LAYERS=(-1|0)\n$/;

/** @throws FormatError SCHEMA_MISMATCH for anything that is not exactly the two lines */
export function parseInferenceEnv(text: string): InferenceEnv {
  const [, backend, layers] = LINES.exec(text) ?? [];
  if (backend === undefined || (backend === "cpu" && layers !== "0"))
    throw new FormatError("SCHEMA_MISMATCH", {
      expected: "GPU_BACKEND and GPU_LAYERS",
      actual: `${text.length} other characters`,
    });
  return { backend: backend as InferenceEnv["backend"], layers: layers === "-1" ? -1 : 0 };
}

/** @throws FormatError SCHEMA_MISMATCH for values that no reader accepts */
export function inferenceEnvText({ backend, gpu_layers }: Pick<GpuState, "backend" | "gpu_layers">): string {
  const text = `GPU_BACKEND=${backend}\nGPU_LAYERS=${gpu_layers}\n`;
  parseInferenceEnv(text);
  return text;
}
