import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Machine } from "./machine.ts";

const MAX_REQUEST_BYTES = 64 * 1024;
const LIMIT_MS = 300_000;

/**
 * Lets another process run commands in a machine, as an ssh server would: one connection a command, words as JSON and a newline in, the
 * command's output out. A failing command ends the connection without any.
 */
export class Relay {
  readonly path: string;
  readonly #machine: Machine;
  readonly #server: Server;

  private constructor(machine: Machine, path: string) {
    this.path = path;
    this.#machine = machine;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
  }

  static async start(machine: Machine): Promise<Relay> {
    const relay = new Relay(machine, join(machine.dir, "relay.sock"));
    await new Promise<void>((resolve, reject) => {
      relay.#server.once("error", reject);
      relay.#server.listen(relay.path, resolve);
    });
    return relay;
  }

  /** The command that reaches the machine: `secai verify runtime --remote` takes it as it is. */
  get transport(): readonly string[] {
    return [process.execPath, new URL("relay-client.ts", import.meta.url).pathname, this.path];
  }

  close(): void {
    this.#server.close();
  }

  #serve(socket: Socket): void {
    let request = "";
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: string) => {
      request += chunk;
      if (request.length > MAX_REQUEST_BYTES) socket.destroy();
      else if (request.endsWith("\n")) void this.#run(socket, JSON.parse(request) as readonly string[]);
    });
  }

  async #run(socket: Socket, words: readonly string[]): Promise<void> {
    try {
      const { exitCode, stdoutBytes } = await this.#machine.run(words.join(" "), { timeoutMs: LIMIT_MS });
      socket.end(exitCode === 0 ? stdoutBytes : Buffer.alloc(0));
    } catch {
      socket.destroy();
    }
  }
}
