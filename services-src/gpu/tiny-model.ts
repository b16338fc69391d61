import { type GgufTensor, type GgufValue, ggufBytes } from "./gguf.ts";

// A model of the llama architecture that is small enough to be made on the spot, and large enough that every kind of operation of such a
// model runs: embedding, RMS norm, rotary positions, grouped attention, gated feed-forward, output. It says nothing meaningful; what counts is
// that two computers that multiply correctly choose the same tokens.

const EMBEDDING = 64;
const LAYERS = 2;
const HEADS = 4;
const KEY_HEADS = 2;
const HEAD = EMBEDDING / HEADS;
const FEED_FORWARD = 2 * EMBEDDING;
const CONTEXT = 4096;
const SEED = 1;
/** Spread of the weights before scaling by the width of their input: wide enough that the largest logit leads by more than rounding. */
const SPREAD = 1.7;

/** Kinds of tokens: llama_token_type of llama.h. */
const KIND = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

interface Token {
  readonly text: string;
  readonly score: number;
  readonly kind: number;
}

function vocabulary(): readonly Token[] {
  const special = [
    { text: "<unk>", score: 0, kind: KIND.unknown },
    { text: "<s>", score: 0, kind: KIND.control },
    { text: "</s>", score: 0, kind: KIND.control },
  ];
  const bytes = Array.from({ length: 256 }, (_, value) => ({
    text: `<0x${value.toString(16).toUpperCase().padStart(2, "0")}>`,
    score: 0,
    kind: KIND.byte,
  }));
  const pieces = ["▁", "e", "t", "a", "▁t", "he", "▁the"];
  const first = special.length + bytes.length;
  return [...special, ...bytes, ...pieces.map((text, index) => ({ text, score: -(first + index + 1), kind: KIND.normal }))];
}

function metadata(tokens: readonly Token[]): Record<string, GgufValue> {
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  const bool = (value: boolean) => ({ type: "bool", value }) as const;
  const text = (value: string) => ({ type: "text", value }) as const;
  return {
    "general.architecture": text("llama"),
    "general.name": text("tiny-random"),
    "general.file_type": u32(0),
    "general.alignment": u32(32),
    "llama.context_length": u32(CONTEXT),
    "llama.embedding_length": u32(EMBEDDING),
    "llama.block_count": u32(LAYERS),
    "llama.feed_forward_length": u32(FEED_FORWARD),
    "llama.attention.head_count": u32(HEADS),
    "llama.attention.head_count_kv": u32(KEY_HEADS),
    "llama.attention.layer_norm_rms_epsilon": { type: "f32", value: 1e-5 },
    "llama.rope.dimension_count": u32(HEAD),
    "llama.vocab_size": u32(tokens.length),
    "tokenizer.ggml.model": text("llama"),
    "tokenizer.ggml.tokens": { type: "list", of: "text", value: tokens.map((token) => token.text) },
    "tokenizer.ggml.scores": { type: "list", of: "f32", value: tokens.map(({ score }) => score) },
    "tokenizer.ggml.token_type": { type: "list", of: "i32", value: tokens.map(({ kind }) => kind) },
    "tokenizer.ggml.bos_token_id": u32(1),
    "tokenizer.ggml.eos_token_id": u32(2),
    "tokenizer.ggml.unknown_token_id": u32(0),
    "tokenizer.ggml.add_bos_token": bool(true),
    "tokenizer.ggml.add_eos_token": bool(false),
    "tokenizer.ggml.add_space_prefix": bool(true),
    "tokenizer.chat_template": text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "),
  };
}

/** Names and extents, the fastest dimension first. */
function shapes(vocabularySize: number): readonly (readonly [string, readonly number[]])[] {
  const keyWidth = KEY_HEADS * HEAD;
  const layers = Array.from({ length: LAYERS }, (_, layer): (readonly [string, readonly number[]])[] => [
    [`blk.${layer}.attn_norm.weight`, [EMBEDDING]],
    [`blk.${layer}.attn_q.weight`, [EMBEDDING, EMBEDDING]],
    [`blk.${layer}.attn_k.weight`, [EMBEDDING, keyWidth]],
    [`blk.${layer}.attn_v.weight`, [EMBEDDING, keyWidth]],
    [`blk.${layer}.attn_output.weight`, [EMBEDDING, EMBEDDING]],
    [`blk.${layer}.ffn_norm.weight`, [EMBEDDING]],
    [`blk.${layer}.ffn_gate.weight`, [EMBEDDING, FEED_FORWARD]],
    [`blk.${layer}.ffn_up.weight`, [EMBEDDING, FEED_FORWARD]],
    [`blk.${layer}.ffn_down.weight`, [FEED_FORWARD, EMBEDDING]],
  ]);
  return [
    ["token_embd.weight", [EMBEDDING, vocabularySize]],
    ...layers.flat(),
    ["output_norm.weight", [EMBEDDING]],
    ["output.weight", [EMBEDDING, vocabularySize]],
  ];
}

/** xorshift32 (Marsaglia, 2003): uniform in [0, 1). Its numbers need no quality, only to be the same everywhere. */
function xorshift(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    return state / 2 ** 32;
  };
}

function tensor(name: string, shape: readonly number[], random: () => number): GgufTensor {
  const [width = 1] = shape;
  const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
  const isNorm = name.includes("norm");
  for (let index = 0; index < values.length; index += 1)
    values[index] = isNorm ? 1 : (random() * 2 - 1) * (SPREAD / Math.sqrt(width));
  return { name, shape, values };
}

/** The model as a GGUF file of about 440 kB, the same bytes each time. */
export function tinyModelBytes(): Buffer {
  const tokens = vocabulary();
  const random = xorshift(SEED);
  const tensors = shapes(tokens.length).map(([name, shape]) => tensor(name, shape, random));
  return ggufBytes(metadata(tokens), tensors);
}
