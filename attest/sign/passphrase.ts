import { closeSync, createReadStream, openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";
import { SignError } from "./errors.ts";

/** Gives the passphrase once; whoever asked wipes it. `question` is shown to people and nobody else. */
export type PassphraseSource = (question: string) => Promise<Buffer>;

const MAX_PASSPHRASE_BYTES = 1024;

export interface PassphraseOptions {
  /** A descriptor that another program opened for us (a pipe, a file of mode 0600): read to its end, less one line end. */
  readonly fd?: number;
}

/** From the descriptor when there is one, else from the terminal. Never from arguments or the environment: others can read those. */
export function passphraseSource({ fd }: PassphraseOptions): PassphraseSource {
  return fd === undefined ? promptPassphrase : () => readSecret(fd);
}

/**
 * For a new key: asked twice at the terminal, because a typing mistake would lose the key.
 * @throws SignError PASSPHRASE_UNAVAILABLE, PASSPHRASE_MISMATCH
 */
export async function newPassphrase({ fd }: PassphraseOptions, question: string): Promise<Buffer> {
  if (fd !== undefined) return await readSecret(fd);
  const first = await promptPassphrase(question);
  const second = await promptPassphrase("Again: ");
  const same = first.equals(second);
  second.fill(0);
  if (same) return first;
  first.fill(0);
  throw new SignError("PASSPHRASE_MISMATCH");
}

/**
 * The value of a --passphrase-fd or --identity-token-fd option: standard input or a descriptor above the standard ones.
 * @throws SignError PASSPHRASE_UNAVAILABLE
 */
export function parseFd(text: string): number {
  if (/^(0|[3-9]|[1-9][0-9]{1,2})$/.test(text)) return Number(text);
  throw new SignError("PASSPHRASE_UNAVAILABLE", {
    expected: "a file descriptor: 0, or 3 and above",
    actual: JSON.stringify(text),
  });
}

/**
 * Everything a descriptor gives, less one line end; the descriptor is closed.
 * @throws SignError PASSPHRASE_UNAVAILABLE on nothing, an unreadable descriptor or more than `maxBytes`
 */
export async function readSecret(fd: number, maxBytes: number = MAX_PASSPHRASE_BYTES): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of createReadStream("", { fd, highWaterMark: 4096 })) {
      parts.push(part as Buffer);
      size += (part as Buffer).length;
      if (size > maxBytes + 1) break;
    }
  } catch (cause) {
    throw new SignError("PASSPHRASE_UNAVAILABLE", { expected: `a readable descriptor ${fd}`, actual: "an error", cause });
  }
  const all = Buffer.concat(parts);
  for (const part of parts) part.fill(0);
  const secret = all.at(-1) === 0x0a ? all.subarray(0, -1) : all;
  if (secret.length > 0 && secret.length <= maxBytes) return secret;
  all.fill(0);
  throw new SignError("PASSPHRASE_UNAVAILABLE", {
    expected: `1 to ${maxBytes} bytes on descriptor ${fd}`,
    actual: `${secret.length}`,
  });
}

/**
 * Asks at the controlling terminal, with echo off before the question appears.
 * @throws SignError PASSPHRASE_UNAVAILABLE without a terminal, or when the user gives up (Ctrl-C, Ctrl-D)
 */
export async function promptPassphrase(question: string): Promise<Buffer> {
  const terminal = openTerminal();
  try {
    terminal.input.setRawMode(true);
    terminal.output.write(question);
    return await readLine(terminal.input);
  } finally {
    terminal.input.setRawMode(false);
    terminal.output.write("\n");
    terminal.input.destroy();
    terminal.output.destroy();
  }
}

interface Terminal {
  readonly input: ReadStream;
  readonly output: WriteStream;
}

/** Two descriptors, because each stream closes its own. */
function openTerminal(): Terminal {
  const fds: number[] = [];
  try {
    fds.push(openSync("/dev/tty", "r+"), openSync("/dev/tty", "r+"));
    const [input = -1, output = -1] = fds;
    return { input: new ReadStream(input), output: new WriteStream(output) };
  } catch (cause) {
    for (const fd of fds) closeSync(fd);
    throw new SignError("PASSPHRASE_UNAVAILABLE", { expected: "a terminal", actual: "none", cause });
  }
}

const [CTRL_C, CTRL_D, BACKSPACE, LINE_FEED, RETURN, CTRL_U, DELETE] = [0x03, 0x04, 0x08, 0x0a, 0x0d, 0x15, 0x7f];

async function readLine(input: ReadStream): Promise<Buffer> {
  const line = Buffer.alloc(MAX_PASSPHRASE_BYTES);
  let length = 0;
  for await (const chunk of input) {
    const bytes = chunk as Buffer;
    for (const byte of bytes) {
      if (byte === RETURN || byte === LINE_FEED) return line.subarray(0, length);
      if (byte === CTRL_C || byte === CTRL_D || length === line.length) {
        line.fill(0);
        throw new SignError("PASSPHRASE_UNAVAILABLE", { expected: "a passphrase and Enter", actual: "an end" });
      }
      if (byte === CTRL_U) length = 0;
      else if (byte === BACKSPACE || byte === DELETE) length = beforeLast(line, length);
      else line[length++] = byte;
    }
    bytes.fill(0);
  }
  throw new SignError("PASSPHRASE_UNAVAILABLE", { expected: "a passphrase and Enter", actual: "a terminal that closed" });
}

/** Where the last character begins: UTF-8 continuation bytes (10xxxxxx) go with their first byte. */
function beforeLast(line: Buffer, length: number): number {
  let end = Math.max(0, length - 1);
  while (end > 0 && ((line[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return end;
}
