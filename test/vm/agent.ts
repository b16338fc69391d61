import { createConnection, type Socket } from "node:net";
import { VmError } from "./errors.ts";
import { encodeRun, type Frame, FrameReader } from "./frames.ts";

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Buffer;
}

export interface RunOptions {
  /** Milliseconds for the command in the guest; rounded up to seconds. */
  readonly timeoutMs?: number;
  readonly stdin?: string | Uint8Array;
}

/** What the agent reports for a command that it ended because its time was over. */
const TIMED_OUT = 999;
/** How much longer than the guest the host waits: the answer has to travel. */
const GRACE_MS = 15_000;
const DEFAULT_TIMEOUT_MS = 60_000;

interface Pending {
  readonly resolve: (frame: Extract<Frame, { type: "done" }>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The host's end of the control channel: a virtio-serial port on which the guest's agent (guest/agent.sh) runs commands as root.
 * Commands may run concurrently; each has its own id.
 */
export class AgentClient {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, Pending>();
  #nextId: number;
  #bootId: string | undefined;
  #failure: unknown;

  private constructor(socket: Socket, firstId: number) {
    this.#socket = socket;
    this.#nextId = firstId;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () =>
      this.#fail(new VmError("GUEST_STOPPED", { expected: "a running machine", actual: "its control channel closed" })),
    );
  }

  /** @throws VmError HARNESS_QEMU_FAILED when nobody listens at `path` */
  static async connect(path: string): Promise<AgentClient> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (cause) =>
        reject(new VmError("HARNESS_QEMU_FAILED", { expected: `a socket at ${path}`, actual: cause.message, cause })),
      );
    });
    // A fork's guest may still answer a command of the frozen machine: ids never repeat between connections.
    return new AgentClient(socket, 1 + Math.floor(Math.random() * 500_000_000));
  }

  /** The boot id in the last greeting; undefined until the agent has started. Changes with every boot. */
  get bootId(): string | undefined {
    return this.#bootId;
  }

  /** The reason why this channel no longer works. */
  get failure(): unknown {
    return this.#failure;
  }

  /**
   * Runs a bash script in the guest as root.
   * @throws VmError GUEST_TIMEOUT, GUEST_STOPPED, HARNESS_PROTOCOL
   */
  async run(script: string, options: RunOptions = {}): Promise<CommandResult> {
    if (this.#failure !== undefined) throw this.#failure;
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const id = this.#nextId++;
    const answer = new Promise<Extract<Frame, { type: "done" }>>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#socket.write(encodeRun(id, Math.ceil(timeoutMs / 1000), Buffer.from(script), Buffer.from(options.stdin ?? "")));
    const frame = await this.#withLimit(answer, id, script, timeoutMs + GRACE_MS);
    if (frame.status === TIMED_OUT) throw timedOut(script, timeoutMs, `${frame.stdout}${frame.stderr}`);
    const { stdout, stderr } = frame;
    return { exitCode: frame.status, stdout: stdout.toString("utf8"), stderr: stderr.toString("utf8"), stdoutBytes: stdout };
  }

  close(): void {
    this.#socket.destroy();
  }

  async #withLimit<T>(answer: Promise<T>, id: number, script: string, limitMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(timedOut(script, limitMs, "no answer")), limitMs);
    });
    try {
      return await Promise.race([answer, limit]);
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) {
        if (frame.type === "hello") this.#bootId = frame.bootId;
        else this.#pending.get(frame.id)?.resolve(frame);
      }
    } catch (error) {
      this.#fail(error);
      this.#socket.destroy();
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

function timedOut(script: string, limitMs: number, last: string): VmError {
  return new VmError("GUEST_TIMEOUT", {
    expected: `\`${script.trim().slice(0, 200)}\` to end within ${limitMs} ms`,
    actual: last.trim().slice(-500),
  });
}
