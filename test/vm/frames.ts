import { VmError } from "./errors.ts";

/** What the guest says: it is there (once per boot), or a command ended. */
export type Frame =
  | { readonly type: "hello"; readonly bootId: string }
  | { readonly type: "done"; readonly id: number; readonly status: number; readonly stdout: Buffer; readonly stderr: Buffer };

const MAX_HEADER_BYTES = 256;
/** Bytes of one stream of one command. */
export const MAX_STREAM_BYTES = 64 << 20;

/** `RUN id limitSeconds commandBytes inputBytes\n`, then the command, then its standard input. */
export function encodeRun(id: number, limitSeconds: number, command: Uint8Array, input: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`RUN ${id} ${limitSeconds} ${command.length} ${input.length}\n`), command, input]);
}

/** Cuts the byte stream of the control channel into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #size = 0;

  /** @throws VmError HARNESS_PROTOCOL on anything that is not a frame */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      const frame = this.#next();
      if (frame === undefined) return frames;
      frames.push(frame);
    }
  }

  #next(): Frame | undefined {
    const first = this.#chunks[0];
    if (first === undefined) return undefined;
    // A header fits the first chunk almost always; join only when it does not.
    let end = first.indexOf(10);
    if (end < 0 && this.#chunks.length > 1) {
      end = this.#joined().indexOf(10);
    }
    if (end < 0) {
      if (this.#size > MAX_HEADER_BYTES) throw malformed(`${this.#size} bytes without a header`);
      return undefined;
    }
    const header = parseHeader((this.#chunks[0] ?? first).toString("latin1", 0, Math.min(end, MAX_HEADER_BYTES)));
    const bodyBytes = header.stdoutBytes + header.stderrBytes;
    if (this.#size < end + 1 + bodyBytes) return undefined;
    const all = this.#joined();
    const stdoutEnd = end + 1 + header.stdoutBytes;
    const frame = header.frame(
      Buffer.from(all.subarray(end + 1, stdoutEnd)),
      Buffer.from(all.subarray(stdoutEnd, stdoutEnd + header.stderrBytes)),
    );
    this.#keep(all.subarray(end + 1 + bodyBytes));
    return frame;
  }

  #joined(): Buffer {
    const all = this.#chunks.length === 1 && this.#chunks[0] !== undefined ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  #keep(rest: Buffer): void {
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
  }
}

interface Header {
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly frame: (stdout: Buffer, stderr: Buffer) => Frame;
}

function parseHeader(line: string): Header {
  const hello = /^HELLO ([0-9a-f-]{36})$/.exec(line);
  if (hello !== null) return { stdoutBytes: 0, stderrBytes: 0, frame: () => ({ type: "hello", bootId: hello[1] ?? "" }) };
  const done = /^DONE (\d{1,9}) (\d{1,3}) (\d{1,9}) (\d{1,9})$/.exec(line);
  if (done === null) throw malformed(JSON.stringify(line));
  const [id, status, stdoutBytes, stderrBytes] = done.slice(1).map(Number) as [number, number, number, number];
  if (Math.max(stdoutBytes, stderrBytes) > MAX_STREAM_BYTES) throw malformed(`an output of more than ${MAX_STREAM_BYTES} bytes`);
  return { stdoutBytes, stderrBytes, frame: (stdout, stderr) => ({ type: "done", id, status, stdout, stderr }) };
}

function malformed(actual: string): VmError {
  return new VmError("HARNESS_PROTOCOL", { expected: "a HELLO or DONE frame from the guest", actual });
}
