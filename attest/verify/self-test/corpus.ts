import { brotliDecompressSync } from "node:zlib";
import { parseBase64 } from "@secai/formats/base64";
import { parseJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { integer, list, literal, object, parseShape, type Shape, type TypeOf, table, text } from "@secai/formats/shape";
import { sha256Shape, timestampShape } from "@secai/formats/shapes";
import { SelfTestError } from "./errors.ts";

/** Largest corpus once unpacked, in bytes. */
const MAX_CORPUS_BYTES = 64 << 20;
const MAX_CASES = 10_000;
const LENGTH_BYTES = 4;

const pathShape = text(/^[^\0]+$/, 512);
const blobShape = integer(0);

function oneOf<T>(...shapes: readonly Shape<T>[]): Shape<T> {
  return {
    schema: { anyOf: shapes.map(({ schema }) => schema) },
    mistake: (value, path) => {
      const mistakes = shapes.map((shape) => shape.mistake(value, path));
      return mistakes.includes(undefined) ? undefined : mistakes[0];
    },
  };
}

/** One thing that differs on the disk from the base. `blob` numbers the corpus's contents. */
const changeShape = oneOf<Change>(
  object({ kind: literal("write"), path: pathShape, blob: blobShape }),
  object({ kind: literal("zeros"), path: pathShape, size: integer(1, MAX_CORPUS_BYTES) }),
  object({ kind: literal("remove", "directory", "fifo"), path: pathShape }),
  /** `to`: for a symbolic link relative to the link, for a hard link relative to the folder of the self-test. */
  object({ kind: literal("symlink", "hardlink"), path: pathShape, to: pathShape }),
);
export type Change =
  | { readonly kind: "write"; readonly path: string; readonly blob: number }
  | { readonly kind: "zeros"; readonly path: string; readonly size: number }
  | { readonly kind: "remove" | "directory" | "fifo"; readonly path: string }
  | { readonly kind: "symlink" | "hardlink"; readonly path: string; readonly to: string };

const idShape = text(/^[a-zA-Z0-9_.:-]+$/, 100);
const caseRequired = {
  name: text(/^[^\0]+$/, 200),
  /** Arguments of `secai verify`; a leading "@" stands for the folder of the self-test, "{at}" for the corpus's moment. */
  args: list(text(/^[^\0]*$/, 512), { min: 1, max: 64 }),
  changes: list(changeShape),
  exit: integer(0, 3),
  /** What must be among the findings, as the case's author says: "check.id" or "check.id:subject" or "error:CODE". */
  expects: list(text(/^[^\0]+$/, 512)),
  /** Ids of every check that does not pass, and of no other. */
  ids: list(idShape),
};
/** `code`: what the check of the first of `expects` must give as its reason. */
const caseShape = object(caseRequired, { code: idShape });
export type SelfTestCase = TypeOf<typeof caseShape>;

const indexShape = object({
  schema: literal(1),
  /** The moment that the cases are judged at, so that nothing in them is ever too old: RFC 3339. */
  at: timestampShape,
  /** Length of each content, in the order in which they follow. */
  blobs: list(integer(0, MAX_CORPUS_BYTES), { max: 100_000 }),
  /** The disk before each case. */
  base: table(/^[^\0]+$/, blobShape, { min: 1, max: 10_000 }),
  cases: list(caseShape, { min: 1, max: MAX_CASES }),
});
type Index = TypeOf<typeof indexShape>;

export interface Corpus extends Omit<Index, "blobs" | "schema"> {
  readonly blobs: readonly Buffer[];
}

/** What corpus.json holds: a container in base64, in lines for the sake of those who look at it. */
const fileShape = object({
  schema: literal(1),
  sha256: sha256Shape,
  brotli: list(text(/^[A-Za-z0-9+/=]+$/, 200), { max: 100_000 }),
});

/** @throws SelfTestError CORPUS_DAMAGED; FormatError when the container is not what its generator writes */
export function parseCorpus(file: unknown): Corpus {
  const { sha256: expected, brotli } = parseShape(fileShape, file, "a self-test corpus");
  const container = brotliDecompressSync(parseBase64(brotli.join("")), { maxOutputLength: MAX_CORPUS_BYTES });
  const actual = sha256(container);
  if (actual !== expected) throw new SelfTestError("CORPUS_DAMAGED", { expected, actual });
  return openContainer(container);
}

/** A length (4 bytes, big endian), that many bytes of JSON index, and the contents one after another. */
function openContainer(container: Buffer): Corpus {
  const end = LENGTH_BYTES + container.readUInt32BE(0);
  const index = parseShape(indexShape, parseJson(container.subarray(LENGTH_BYTES, end), MAX_CORPUS_BYTES), "a corpus index");
  let offset = end;
  const blobs = index.blobs.map((length) => {
    offset += length;
    return container.subarray(offset - length, offset);
  });
  return { at: index.at, base: index.base, cases: index.cases, blobs };
}

/** The bytes of a container: what `parseCorpus` opens once they are compressed. */
export function buildContainer({ at, base, cases, blobs }: Corpus): Buffer {
  const index = Buffer.from(
    JSON.stringify({ schema: 1, at, blobs: blobs.map(({ length }) => length), base, cases } satisfies Index),
  );
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(index.length);
  return Buffer.concat([length, index, ...blobs]);
}
