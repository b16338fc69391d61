import type { ReadStream } from "node:tty";
import { VaultError } from "./errors.ts";

const MIN_BYTES = 12;
const MAX_BYTES = 4096;
const END = ["\r".charCodeAt(0), "\n".charCodeAt(0), 4];
const INTERRUPT = 3;
const BACKSPACE = [8, 127];

/**
 * From the terminal without echo, or all of standard input without its last newline. Never from arguments or the environment.
 * @throws VaultError VAULT_PASSPHRASE
 */
export async function readPassphrase(input: NodeJS.ReadStream | ReadStream, prompt: string): Promise<Buffer> {
  const bytes = input.isTTY === true ? await fromTerminal(input as ReadStream, prompt) : await fromPipe(input);
  if (bytes.length < MIN_BYTES || bytes.length > MAX_BYTES || bytes.includes(0x0a) || bytes.includes(0))
    throw new VaultError("VAULT_PASSPHRASE", {
      expected: `${MIN_BYTES} to ${MAX_BYTES} bytes`,
      actual: `${bytes.length} bytes, or some that end it`,
    });
  return bytes;
}

async function fromPipe(input: AsyncIterable<Buffer | string>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    chunks.push(Buffer.from(chunk));
    length += chunk.length;
    if (length > MAX_BYTES + 1) break;
  }
  const all = Buffer.concat(chunks);
  return all.at(-1) === 0x0a ? all.subarray(0, -1) : all;
}

async function fromTerminal(input: ReadStream, prompt: string): Promise<Buffer> {
  process.stderr.write(prompt);
  input.setRawMode(true);
  const typed: number[] = [];
  try {
    for await (const chunk of input as AsyncIterable<Buffer>)
      for (const byte of chunk) {
        if (END.includes(byte)) return Buffer.from(typed);
        if (byte === INTERRUPT || typed.length > MAX_BYTES)
          throw new VaultError("VAULT_PASSPHRASE", { expected: "a line", actual: "an interruption" });
        if (BACKSPACE.includes(byte)) typed.pop();
        else typed.push(byte);
      }
    return Buffer.from(typed);
  } finally {
    input.setRawMode(false);
    process.stderr.write("\n");
  }
}
