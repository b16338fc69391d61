import { readFileSync } from "node:fs";
import { FormatError } from "@secai/formats/errors";
import { integer, literal, object, parseShape, type TypeOf, table, text } from "@secai/formats/shape";
import { SizeError } from "./errors.ts";

/** Part of its recorded size by which a part may grow before somebody has to look. */
const ALLOWED_GROWTH = 0.1;
/** Packages that a refusal names. */
const MAX_NAMED = 10;
const MAX_FILE_BYTES = 1 << 20;

const partShape = object({
  /** As it lies on the disk: compressed, with a hash tree where it has one of its own. */
  bytes: integer(1),
  /** Bytes of the files in it before compression, by package; "-" stands for ours. */
  packages: table(/^(-|[a-z0-9][a-z0-9+.-]{1,100})$/, integer(0), { max: 10_000 }),
});
const sizesShape = object({
  schema: literal(1),
  recipe: text(/^[a-z0-9][a-z0-9.-]{0,63}$/, 64),
  parts: table(/^[a-z][a-z0-9.-]{0,63}$/, partShape, { max: 64 }),
});

/** What the parts of a recipe's image weigh: the root, each extension, the initrd and the kernel image. */
export type Sizes = TypeOf<typeof sizesShape>;
export type PartSizes = Sizes["parts"][string];

/** Where the accepted sizes of a recipe stand, from the top of the repository. */
export const sizesPath = (recipeId: string): string => `recipes/sizes/${recipeId}.json`;

/** One text for the same sizes, a package a line, so that a diff says what changed. */
export const formatSizes = (sizes: Sizes): string => `${JSON.stringify(sorted(sizes), undefined, 2)}\n`;

function sorted<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, member]) => [key, sorted(member)])) as T;
}

/** @throws SizeError SIZE_RECORD_MALFORMED */
export function parseSizes(bytes: Uint8Array): Sizes {
  try {
    if (bytes.length > MAX_FILE_BYTES) throw new RangeError(`${bytes.length} bytes`);
    return parseShape(sizesShape, JSON.parse(Buffer.from(bytes).toString("utf8")), "recorded sizes");
  } catch (cause) {
    if (!(cause instanceof FormatError || cause instanceof SyntaxError || cause instanceof RangeError)) throw cause;
    throw new SizeError("SIZE_RECORD_MALFORMED", { expected: "sizes of parts by package", actual: cause.message, cause });
  }
}

/** Undefined when nobody has accepted any. @throws SizeError SIZE_RECORD_MALFORMED */
export function loadSizes(file: string): Sizes | undefined {
  try {
    return parseSizes(readFileSync(file));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

export interface Growth {
  readonly name: string;
  /** Bytes; 0: it was not there. */
  readonly before: number;
  readonly after: number;
}

export interface GrownPart extends Growth {
  /** The packages that grew most, the worst first. */
  readonly packages: readonly Growth[];
}

const growth = (before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): readonly Growth[] =>
  Object.entries(after)
    .map(([name, bytes]) => ({ name, before: before[name] ?? 0, after: bytes }))
    .filter((one) => one.after > one.before)
    .sort((a, b) => b.after - b.before - (a.after - a.before) || (a.name < b.name ? -1 : 1));

/** Parts that grew by more than a tenth, and parts that nobody has accepted yet. */
export function grownParts(recorded: Sizes, measured: Sizes): readonly GrownPart[] {
  return Object.entries(measured.parts).flatMap(([name, { bytes, packages }]): GrownPart[] => {
    const before = recorded.parts[name];
    if (before !== undefined && bytes <= before.bytes * (1 + ALLOWED_GROWTH)) return [];
    const worst = growth(before?.packages ?? {}, packages).slice(0, MAX_NAMED);
    return [{ name, before: before?.bytes ?? 0, after: bytes, packages: worst }];
  });
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function sentence({ name, before, after, packages }: GrownPart): string {
  const by = before === 0 ? "new" : `from ${mib(before)}, ${Math.round((after / before - 1) * 100)} % more`;
  const why = packages.map((one) => `${one.name === "-" ? "ours" : one.name} +${mib(one.after - one.before)}`);
  return `${name} ${mib(after)} (${by})${why.length === 0 ? "" : `: ${why.join(", ")}`}`;
}

/** @throws SizeError SIZE_GREW with every part that grew and what in it did */
export function requireAcceptedSizes(recorded: Sizes, measured: Sizes): void {
  const grown = grownParts(recorded, measured);
  if (grown.length === 0) return;
  const names = Object.keys(measured.parts).length;
  throw new SizeError("SIZE_GREW", {
    expected: `each of ${names} parts at most ${ALLOWED_GROWTH * 100} % larger than recorded`,
    actual: grown.map(sentence).join("; "),
  });
}
