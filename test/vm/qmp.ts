import { createConnection, type Socket } from "node:net";
import { VmError } from "./errors.ts";

export type QmpValue = null | boolean | number | string | readonly QmpValue[] | { readonly [key: string]: QmpValue };

interface Pending {
  readonly resolve: (value: QmpValue) => void;
  readonly reject: (error: unknown) => void;
}

const MAX_LINE_BYTES = 4 << 20;

/** Client of the QEMU Machine Protocol (docs/interop/qmp-spec of QEMU): commands in order, answers by id, events ignored. */
export class QmpClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #text = "";
  #nextId = 1;
  #failure: unknown;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () =>
      this.#fail(new VmError("HARNESS_QEMU_FAILED", { expected: "a running QEMU", actual: "QMP closed" })),
    );
  }

  /** @throws VmError HARNESS_QEMU_FAILED, HARNESS_PROTOCOL */
  static async connect(path: string): Promise<QmpClient> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (cause) =>
        reject(new VmError("HARNESS_QEMU_FAILED", { expected: `QMP at ${path}`, actual: cause.message, cause })),
      );
    });
    const client = new QmpClient(socket);
    await client.execute("qmp_capabilities");
    return client;
  }

  /** @throws VmError HARNESS_PROTOCOL when QEMU refuses the command, HARNESS_QEMU_FAILED when it is gone */
  execute(command: string, args: { readonly [key: string]: QmpValue } = {}): Promise<QmpValue> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  /** A command of the human monitor, for the few things QMP has no command for. */
  async monitor(line: string): Promise<string> {
    return String(await this.execute("human-monitor-command", { "command-line": line }));
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: string): void {
    this.#text += chunk;
    if (this.#text.length > MAX_LINE_BYTES)
      this.#fail(new VmError("HARNESS_PROTOCOL", { expected: "QMP lines", actual: "no line end" }));
    const lines = this.#text.split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) this.#answer(line);
  }

  #answer(line: string): void {
    if (line.trim() === "") return;
    const message = JSON.parse(line) as { id?: number; return?: QmpValue; error?: { class: string; desc: string } };
    const pending = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (pending === undefined || message.id === undefined) return;
    this.#pending.delete(message.id);
    if (message.error === undefined) pending.resolve(message.return ?? null);
    else
      pending.reject(
        new VmError("HARNESS_PROTOCOL", {
          expected: "QEMU to accept a command",
          actual: `${message.error.class}: ${message.error.desc}`,
        }),
      );
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
