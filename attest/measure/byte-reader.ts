import { type MeasureCode, MeasureError } from "./errors.ts";

/**
 * A cursor over bytes that somebody else chose: every read is bounds-checked and fails with the one code of the structure being read.
 * Integers are unsigned; the suffix names the byte order (PE and event logs are little-endian, TPM structures big-endian).
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #code: MeasureCode;
  #offset = 0;

  constructor(bytes: Uint8Array, code: MeasureCode) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#code = code;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Throws the structure's error; the return type lets callers write `return reader.fail(...)`. */
  fail(expected: string, actual: string): never {
    throw new MeasureError(this.#code, { expected, actual });
  }

  #take(length: number): number {
    if (length > this.remaining) this.fail(`${length} more bytes at offset ${this.#offset}`, `${this.remaining}`);
    const at = this.#offset;
    this.#offset += length;
    return at;
  }

  /** Moves to an absolute offset, at most to the end. */
  seek(offset: number): void {
    if (!Number.isInteger(offset) || offset < 0 || offset > this.#bytes.length) {
      this.fail(`an offset within ${this.#bytes.length} bytes`, `${offset}`);
    }
    this.#offset = offset;
  }

  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16le(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32le(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u16be(): number {
    return this.#view.getUint16(this.#take(2), false);
  }

  u32be(): number {
    return this.#view.getUint32(this.#take(4), false);
  }

  u64be(): bigint {
    return this.#view.getBigUint64(this.#take(8), false);
  }

  /** A TPM2B: 16-bit big-endian length, then that many bytes (TPM 2.0 Part 2, 10.4). */
  sized(maxBytes: number): Uint8Array {
    const length = this.u16be();
    if (length > maxBytes) this.fail(`a field of at most ${maxBytes} bytes`, `${length}`);
    return this.bytes(length);
  }

  end(): void {
    if (this.remaining !== 0) this.fail("no trailing bytes", `${this.remaining}`);
  }
}
