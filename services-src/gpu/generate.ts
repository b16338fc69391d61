import type { AddonContext, AddonModel, LlamaAddon } from "./addon.ts";
import { GpuError } from "./errors.ts";

/** More than any model has. */
const ALL_LAYERS = 9999;
const BATCH = 512;

/** The beginning that every probe continues. */
export const PROMPT = "The machine says:";

export interface Generation {
  readonly tokens: readonly number[];
  /** Bytes of weights in the memory of GPUs. */
  readonly deviceBytes: number;
  /** Time to load the model and to generate, in milliseconds. */
  readonly loadMs: number;
  readonly ms: number;
}

/**
 * The `count` tokens that a model finds the most likely, one after the other: greedy, so that they depend on the arithmetic alone.
 * @throws GpuError GPU_MODEL_UNUSABLE
 */
export async function generate(addon: LlamaAddon, modelPath: string, count: number, onDevice: boolean): Promise<Generation> {
  const started = performance.now();
  const options = { addonExports: addon, gpuLayers: onDevice ? ALL_LAYERS : 0, useMmap: false, checkTensors: true };
  const model = new addon.AddonModel(modelPath, options);
  if (!(await model.init())) throw unusable(`a model at ${modelPath}`, "the runtime refused it");
  const prompt = promptOf(model);
  // One thread: with more, threads on a busy machine wait for each other in a loop.
  const size = { contextSize: prompt.length + count + 1, batchSize: BATCH, sequences: 1, flashAttention: false, threads: 1 };
  const context = new addon.AddonContext(model, size);
  if (!(await context.init())) throw unusable("a context for the model", "the runtime refused it");
  const loaded = performance.now();
  const tokens = await continued(addon, model, context, prompt, count);
  const done = performance.now();
  const deviceBytes = model.getMemoryBreakdown().gpuVram;
  await context.dispose();
  await model.dispose();
  return { tokens, deviceBytes, loadMs: Math.round(loaded - started), ms: Math.round(done - loaded) };
}

function promptOf(model: AddonModel): Uint32Array {
  const tokens = model.tokenize(PROMPT, false);
  const prompt = Uint32Array.from(model.shouldPrependBosToken() ? [model.tokenBos(), ...tokens] : tokens);
  if (prompt.length === 0 || prompt.length > BATCH) throw unusable(`1 to ${BATCH} tokens of the prompt`, `${prompt.length}`);
  return prompt;
}

async function continued(
  addon: LlamaAddon,
  model: AddonModel,
  context: AddonContext,
  prompt: Uint32Array,
  count: number,
): Promise<readonly number[]> {
  const sampler = new addon.AddonSampler(model);
  sampler.applyConfig({ temperature: 0 });
  const tokens: number[] = [];
  let position = 0;
  let next = prompt;
  while (tokens.length < count) {
    const token = await step(context, next, position, (index) => context.sampleToken(index, sampler));
    position += next.length;
    tokens.push(token);
    next = Uint32Array.of(token);
  }
  sampler.dispose();
  return tokens;
}

async function step(
  context: AddonContext,
  tokens: Uint32Array,
  position: number,
  sample: (logitIndex: number) => Promise<number>,
): Promise<number> {
  context.initBatch(tokens.length);
  const [index] = context.addToBatch(0, position, tokens, Uint32Array.of(tokens.length - 1));
  if (index === undefined) throw unusable("logits of the last token", "none");
  await context.decodeBatch();
  const token = await sample(index);
  if (token < 0) throw unusable("a token", `${token}`);
  return token;
}

const unusable = (expected: string, actual: string) => new GpuError("GPU_MODEL_UNUSABLE", { expected, actual });
