import { exists, readBounded, writeAtomic } from "@secai/kit/files";
import type { Signer } from "@secai/kit/signing";
import { type Baseline, type BaselineContent, MAX_BASELINE_BYTES, openBaseline, sealBaseline } from "./baseline.ts";
import { GpuWatchError } from "./errors.ts";

/** Digests of the baseline that was captured last and, while one is being replaced, of the one before. */
const MAX_ANCHOR_BYTES = 256;

export interface BaselineStore {
  /**
   * undefined: none was ever captured.
   * @throws GpuWatchError GPU_BASELINE_MALFORMED, GPU_BASELINE_FOREIGN, GPU_BASELINE_SIGNATURE, GPU_BASELINE_MISSING, GPU_BASELINE_REPLACED
   */
  load(): Promise<Baseline | undefined>;
  save(content: BaselineContent, capturedAt: string): Promise<Baseline>;
}

/**
 * The anchor lies in another directory and remembers which baseline holds: one that is removed, or an older one put back, is noticed. It
 * names both while they change places, so a power cut in between leaves a pair that agrees.
 */
export function createBaselineStore(path: string, anchorPath: string, signer: Signer): BaselineStore {
  const anchored = async (): Promise<readonly string[]> =>
    (await exists(anchorPath))
      ? (await readBounded(anchorPath, MAX_ANCHOR_BYTES))
          .toString("latin1")
          .split("\n")
          .filter((line) => line !== "")
      : [];

  return {
    async load() {
      const digests = await anchored();
      if (!(await exists(path))) {
        if (digests.length === 0) return undefined;
        throw new GpuWatchError("GPU_BASELINE_MISSING", { expected: `${path}, captured earlier`, actual: "nothing" });
      }
      const baseline = openBaseline(await readBytes(path), signer);
      if (digests.includes(baseline.digest)) return baseline;
      throw new GpuWatchError("GPU_BASELINE_REPLACED", { expected: digests.at(-1) ?? "none", actual: baseline.digest });
    },
    async save(content, capturedAt) {
      const { bytes, baseline } = sealBaseline(content, capturedAt, signer);
      const before = (await anchored()).at(-1);
      const both = before === undefined ? [baseline.digest] : [before, baseline.digest];
      await writeAtomic(anchorPath, `${both.join("\n")}\n`, 0o600);
      await writeAtomic(path, bytes, 0o600);
      await writeAtomic(anchorPath, `${baseline.digest}\n`, 0o600);
      return baseline;
    },
  };
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readBounded(path, MAX_BASELINE_BYTES);
  } catch (cause) {
    throw new GpuWatchError("GPU_BASELINE_MALFORMED", {
      expected: `a plain file ${path}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}
