import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { createConnection, type Socket } from "node:net";

/** Lines that mean the guest cannot go on; each ends every wait at once. */
const FATAL = /Kernel panic - not syncing|BUG: unable to handle|You are in emergency mode|No bootable option or device was found/;

/** The serial console: QEMU writes everything to a file, which this reads as it grows; input goes in through a socket. */
export class SerialConsole {
  readonly #logPath: string;
  readonly #socketPath: string;
  #text = "";
  #offset = 0;
  #marks = 0;
  #socket: Socket | undefined;

  constructor(logPath: string, socketPath: string) {
    this.#logPath = logPath;
    this.#socketPath = socketPath;
  }

  /** Everything since power on, with terminal control sequences removed. */
  text(): string {
    this.#refresh();
    return this.#text;
  }

  /** Everything since the last `mark()`, for machines that boot several times. */
  recent(): string {
    return this.text().slice(this.#marks);
  }

  mark(): void {
    this.#marks = this.text().length;
  }

  tail(lines: number): string {
    return this.text().trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** The line that says why the guest cannot go on, if there is one since the last mark. */
  fatal(): string | undefined {
    const text = this.recent();
    const match = FATAL.exec(text);
    return match === null ? undefined : lineAt(text, match.index);
  }

  /** Types into the console. The connection stays: QEMU takes input only as fast as the guest's UART, and drops the rest on a hang-up. */
  async type(keys: string): Promise<void> {
    this.#socket ??= createConnection(this.#socketPath).resume();
    const socket = this.#socket;
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.write(keys, () => resolve());
    });
  }

  /** Hangs up; after a power cut the next `type` connects anew. */
  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #refresh(): void {
    let fd: number;
    try {
      fd = openSync(this.#logPath, "r");
    } catch {
      return; // QEMU has not made it yet.
    }
    try {
      const size = fstatSync(fd).size;
      const chunk = Buffer.alloc(Math.max(0, size - this.#offset));
      this.#offset += readSync(fd, chunk, 0, chunk.length, this.#offset);
      this.#text += withoutControl(chunk.toString("latin1"));
    } finally {
      closeSync(fd);
    }
  }
}

/** Drops carriage returns and the ANSI sequences of firmware and boot loader (ECMA-48 CSI and OSC). */
export function withoutControl(text: string): string {
  return text.replace(CONTROL, "");
}
const ESC = String.fromCharCode(27);
const CONTROL = new RegExp(
  `${ESC}\\[[0-9;?=]*[A-Za-z]|${ESC}\\][^${String.fromCharCode(7)}]*${String.fromCharCode(7)}|${ESC}[=>]|\\r|\\0`,
  "g",
);

function lineAt(text: string, index: number): string {
  const start = text.lastIndexOf("\n", index) + 1;
  const end = text.indexOf("\n", index);
  return text.slice(start, end < 0 ? undefined : end).trim();
}
