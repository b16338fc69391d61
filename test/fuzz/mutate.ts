import { canonicalJson, type JsonValue } from "../../attest/formats/canonical-json.ts";
import type { Random } from "./random.ts";

// How an input becomes another: at the level of bytes, and where it is JSON, of values, because a reader of canonical JSON sees little but
// its first error otherwise.

/** Largest input made, in bytes: enough to matter, little enough for thousands a second. */
export const MAX_INPUT_BYTES = 64 << 10;

type Mutator = (bytes: Buffer, random: Random, other: Buffer) => Buffer;

/** Lengths and counts that readers get wrong. */
const NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];
const TOKENS = [
  "\0",
  "\n",
  "\r\n",
  "\u001e",
  "../",
  "/",
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "-",
  "=",
  "%00",
  "\ufeff",
  "é",
  "--",
  "&",
  "<!DOCTYPE x [",
  "<!--",
  "]]>",
  "-----BEGIN PUBLIC KEY-----\n",
  "1e999",
  "9007199254740993",
];

const at = (bytes: Buffer, random: Random) => random.below(bytes.length);
const copyWith = (bytes: Buffer, change: (copy: Buffer) => unknown): Buffer => {
  const copy = Buffer.from(bytes);
  if (copy.length > 0) change(copy);
  return copy;
};
const cut = (bytes: Buffer, from: number, to: number, between: Uint8Array = Buffer.alloc(0)) =>
  Buffer.concat([bytes.subarray(0, from), between, bytes.subarray(to)]);

const byteMutators: readonly Mutator[] = [
  (bytes, random) => copyWith(bytes, (copy) => copy.writeUInt8(random.below(256), at(copy, random))),
  (bytes, random) =>
    copyWith(bytes, (copy) => {
      const place = at(copy, random);
      copy[place] = (copy[place] ?? 0) ^ (1 << random.below(8));
    }),
  (bytes, random) =>
    copyWith(bytes, (copy) => {
      const size = random.pick([1, 2, 4] as const);
      if (copy.length < size) return;
      const place = random.below(copy.length - size + 1);
      const value = random.pick(NUMBERS) % 2 ** (8 * size);
      if (random.below(2) === 0) copy.writeUIntLE(value, place, size);
      else copy.writeUIntBE(value, place, size);
    }),
  (bytes, random) => bytes.subarray(0, at(bytes, random)),
  (bytes, random) => bytes.subarray(at(bytes, random)),
  (bytes, random) => {
    const from = at(bytes, random);
    return cut(bytes, from, from + 1 + random.below(16));
  },
  (bytes, random) => {
    const from = at(bytes, random);
    const piece = bytes.subarray(from, from + 1 + random.below(64));
    return cut(bytes, from, from, Buffer.concat(Array.from({ length: 1 + random.below(8) }, () => piece)));
  },
  (bytes, random) => {
    const place = at(bytes, random);
    return cut(bytes, place, place + random.below(2), Buffer.from(random.pick(TOKENS)));
  },
  (bytes, random, other) => cut(bytes, at(bytes, random), bytes.length, other.subarray(at(other, random))),
  (bytes, random) => Buffer.concat([bytes, Buffer.alloc(1 + random.below(64), random.below(256))]),
];

const nested = (depth: number): JsonValue => {
  let value: JsonValue = 1;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
};
const VALUES: readonly JsonValue[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  "",
  "x",
  "\0",
  "\ud800",
  "a".repeat(5000),
  [],
  {},
  [[]],
  { a: 1 },
  nested(500),
  "0".repeat(64),
  "2026-13-01T00:00:00Z",
  "../x",
  "__proto__",
];

/** The value at a random place replaced, removed, doubled or renamed. */
function mutateValue(value: JsonValue, random: Random, depth = 0): JsonValue {
  const deeper = depth < 12 && random.below(6) > 0;
  if (Array.isArray(value) && value.length > 0 && deeper) {
    const index = random.below(value.length);
    const item = value[index] ?? null;
    const how = random.below(8);
    if (how === 0) return value.filter((_, one) => one !== index);
    if (how === 1) return [...value, item];
    return value.map((one, place) => (place === index ? mutateValue(one, random, depth + 1) : one));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0 && deeper) {
    return mutateObject(value as { readonly [key: string]: JsonValue }, random, depth);
  }
  if (typeof value === "string" && random.below(2) === 0) return mutateText(value, random);
  if (typeof value === "number" && random.below(2) === 0) return value + random.pick([1, -1, 0.5, 2 ** 32]);
  return random.pick(VALUES);
}

function mutateObject(value: { readonly [key: string]: JsonValue }, random: Random, depth: number): JsonValue {
  const entries = Object.entries(value);
  const [key, item] = random.pick(entries);
  const how = random.below(10);
  const rest = Object.fromEntries(entries.filter(([name]) => name !== key));
  if (how === 0) return rest;
  if (how === 1) return { ...value, [random.pick(["x", "", "constructor", "toString", `${key}_`])]: random.pick(VALUES) };
  if (how === 2) return { ...rest, [mutateText(key, random)]: item };
  return { ...value, [key]: mutateValue(item, random, depth + 1) };
}

/** Base64 inside JSON is mutated below its encoding, so that readers of what it holds are reached. */
function mutateText(text: string, random: Random): string {
  const decoded = Buffer.from(text, "base64");
  const isBase64 = text.length >= 16 && decoded.toString("base64") === text;
  if (isBase64 && random.below(4) > 0) return random.pick(byteMutators)(decoded, random, decoded).toString("base64");
  return random.pick(byteMutators)(Buffer.from(text), random, Buffer.from(text)).toString("utf8");
}

function asJson(bytes: Buffer): JsonValue | undefined {
  try {
    return JSON.parse(bytes.toString("utf8")) as JsonValue;
  } catch {
    return undefined;
  }
}

/** Canonical where that is possible; numbers that JSON.parse made infinite have no such form. */
function printed(value: JsonValue): string {
  try {
    return canonicalJson(value);
  } catch {
    return JSON.stringify(value);
  }
}

/** Another input, made of `bytes` and sometimes of `other`. Never larger than MAX_INPUT_BYTES. */
export function mutate(bytes: Buffer, other: Buffer, random: Random): Buffer {
  const value = random.below(4) === 0 ? undefined : asJson(bytes);
  const rounds = 1 + random.below(3);
  let made = bytes;
  if (value === undefined) {
    for (let round = 0; round < rounds; round++) made = random.pick(byteMutators)(made, random, other);
    return made.subarray(0, MAX_INPUT_BYTES);
  }
  let changed = value;
  for (let round = 0; round < rounds; round++) changed = mutateValue(changed, random);
  return Buffer.from(`${printed(changed)}\n`).subarray(0, MAX_INPUT_BYTES);
}
