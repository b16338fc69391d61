import { BackendError } from "../errors.ts";

/**
 * A library has a bundle of code for each of its source files: magic, number of entries, then for each entry offset, size and name
 * ("host-x86_64-unknown-linux--", "hipv4-amdgcn-amd-amdhsa--gfx1030"); numbers of 64 bits, little endian, offsets from the magic on (LLVM,
 * "Clang Offload Bundler", Bundled Binary File Layout).
 */
const MAGIC = Buffer.from("__CLANG_OFFLOAD_BUNDLE__");
const MAX_ENTRIES = 64;
const MAX_NAME = 128;
const GPU = /^hip(?:v4)?-amdgcn-amd-amdhsa--(gfx[0-9a-f]{3,4}(?::[a-z]+[+-])*)$/;

const malformed = (actual: string): BackendError =>
  new BackendError("GPU_ARCHITECTURES_DIFFER", { expected: "bundles of code for GPUs in the library", actual });

/** Reads numbers and names of a bundle, in order. */
class Cursor {
  readonly #bytes: Buffer;
  #at: number;
  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  number(limit: number): number {
    const value = this.#at + 8 <= this.#bytes.length ? this.#bytes.readBigUInt64LE(this.#at) : undefined;
    if (value === undefined || value > BigInt(limit)) throw malformed(`a number of ${value ?? "too few bytes"} at ${this.#at}`);
    this.#at += 8;
    return Number(value);
  }

  text(length: number): string {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw malformed(`a name that ends at ${end}, behind the library`);
    const name = this.#bytes.toString("latin1", this.#at, end);
    this.#at = end;
    return name;
  }
}

/** GPUs that the bundle at `start` has code for, in its order. */
function bundleGpus(bytes: Buffer, start: number): readonly string[] {
  const cursor = new Cursor(bytes, start + MAGIC.length);
  const count = cursor.number(MAX_ENTRIES);
  return Array.from({ length: count }, () => {
    const offset = cursor.number(bytes.length - start);
    const size = cursor.number(bytes.length - start - offset);
    const name = cursor.text(cursor.number(MAX_NAME));
    return size > 0 ? (GPU.exec(name)?.[1] ?? "") : "";
  }).filter((gpu) => gpu !== "");
}

/**
 * GPUs that every source file of a library has code for, sorted.
 * @throws BackendError GPU_ARCHITECTURES_DIFFER when there are no bundles, when they differ, or when one cannot be read
 */
export function gpusOf(library: Uint8Array): readonly string[] {
  const bytes = Buffer.from(library.buffer, library.byteOffset, library.length);
  const found = new Set<string>();
  for (let at = bytes.indexOf(MAGIC); at >= 0; at = bytes.indexOf(MAGIC, at + MAGIC.length))
    found.add(bundleGpus(bytes, at).toSorted().join(" "));
  const [gpus, ...others] = [...found];
  if (gpus === undefined || others.length > 0) throw malformed([...found].join("; ") || "none");
  return gpus.split(" ").filter((gpu) => gpu !== "");
}

/** @throws BackendError GPU_ARCHITECTURES_DIFFER when the compiler made other code than it was asked for */
export function requireGpus(found: readonly string[], asked: readonly string[]): void {
  const expected = [...new Set(asked)].sort().join(" ");
  if (found.join(" ") !== expected)
    throw new BackendError("GPU_ARCHITECTURES_DIFFER", { expected, actual: found.join(" ") || "none" });
}
