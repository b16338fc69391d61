/** Types of metadata values: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
const TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9 } as const;
const ALIGNMENT = 32;
const F32 = 0;

/** One metadata value; a list holds values of one type. */
export type GgufValue =
  | { readonly type: "u32" | "i32" | "f32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "text"; readonly value: string }
  | { readonly type: "list"; readonly of: "i32" | "f32"; readonly value: readonly number[] }
  | { readonly type: "list"; readonly of: "text"; readonly value: readonly string[] };

export interface GgufTensor {
  readonly name: string;
  /** Extents, the fastest dimension first. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A GGUF file, version 3, little endian, of F32 tensors. The same contents give the same bytes. */
export function ggufBytes(metadata: Readonly<Record<string, GgufValue>>, tensors: readonly GgufTensor[]): Buffer {
  const entries = Object.entries(metadata);
  const head = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(entries.length)];
  for (const [key, value] of entries) head.push(text(key), u32(TYPE[value.type]), valueBytes(value));
  let offset = 0;
  for (const { name, shape, values } of tensors) {
    head.push(text(name), u32(shape.length), ...shape.map(u64), u32(F32), u64(offset));
    offset += padded(values.byteLength);
  }
  const headBytes = Buffer.concat(head);
  return Buffer.concat([headBytes, padding(headBytes.length), ...tensors.flatMap(({ values }) => tensorBytes(values))]);
}

function valueBytes(entry: GgufValue): Buffer {
  switch (entry.type) {
    case "bool":
      return Buffer.from([entry.value ? 1 : 0]);
    case "text":
      return text(entry.value);
    case "list":
      return Buffer.concat([u32(TYPE[entry.of]), u64(entry.value.length), ...items(entry)]);
    default:
      return number(entry.type, entry.value);
  }
}

function items(list: Extract<GgufValue, { type: "list" }>): Buffer[] {
  return list.of === "text" ? list.value.map(text) : list.value.map((value) => number(list.of, value));
}

function number(type: "u32" | "i32" | "f32", value: number): Buffer {
  const bytes = Buffer.alloc(4);
  if (type === "f32") bytes.writeFloatLE(value);
  else if (type === "i32") bytes.writeInt32LE(value);
  else bytes.writeUInt32LE(value);
  return bytes;
}

const u32 = (value: number) => number("u32", value);

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([u64(bytes.length), bytes]);
}

function tensorBytes(values: Float32Array): Buffer[] {
  const bytes = Buffer.alloc(values.byteLength);
  for (const [index, value] of values.entries()) bytes.writeFloatLE(value, index * 4);
  return [bytes, padding(bytes.length)];
}

const padded = (length: number) => length + ((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);
const padding = (length: number) => Buffer.alloc(padded(length) - length);
