import { spawn } from "node:child_process";
import { RuntimeError } from "./runtime-errors.ts";
import { MAX_EVIDENCE_BYTES } from "./runtime-evidence.ts";
import { visible } from "./runtime-state.ts";

/** What answers in the machine. */
export const COLLECTOR = ["/usr/bin/node", "/usr/libexec/secure-ai/secai-evidence.mjs"] as const;
const MAX_COMPLAINT_BYTES = 16 * 1024;

export type Transport = readonly [string, ...string[]];

export interface RemoteQuestion {
  /** A command that runs another one on the machine, such as `ssh root@host`: the collector and its words become its last. */
  readonly transport: Transport;
  /** For the collector: plain words of letters, digits and dashes, because ssh hands them to a shell over there. */
  readonly words: readonly string[];
  /** Milliseconds for the whole answer. */
  readonly limitMs: number;
}

/**
 * Asks the collector of another machine, through a command of the caller's that reaches it; no shell takes part here. What comes back is
 * only bytes: whoever judges them parses them as coming from an enemy, the transport included.
 * @throws RuntimeError REMOTE_FAILED, EVIDENCE_TOO_LARGE
 */
export function askRemote({ transport, words, limitMs }: RemoteQuestion): Promise<Buffer> {
  const [command, ...args] = [...transport, ...COLLECTOR, ...words];
  return new Promise((resolve, reject) => {
    // A process group of its own: a transport may have started others, which would keep the pipes open.
    const child = spawn(command as string, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    const answer = new Bounded(MAX_EVIDENCE_BYTES);
    const complaint = new Bounded(MAX_COMPLAINT_BYTES);
    let refusal: RuntimeError | undefined;
    const stop = (error: RuntimeError) => {
      refusal ??= error;
      killGroup(child.pid);
    };
    const timer = setTimeout(() => stop(failed(`an answer within ${limitMs} ms`, "none")), limitMs);
    child.stdout.on("data", (chunk: Buffer) => {
      if (!answer.add(chunk)) stop(tooLarge());
    });
    // More complaints than fit are dropped; they decide nothing.
    child.stderr.on("data", (chunk: Buffer) => complaint.add(chunk));
    child.once("error", (cause) => {
      clearTimeout(timer);
      reject(refusal ?? failed(`to start ${command}`, cause.message));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (refusal !== undefined) reject(refusal);
      else if (code === 0) resolve(answer.bytes());
      else reject(failed(`${command} to end with 0`, `${code ?? signal}: ${lastLine(complaint.bytes())}`));
    });
  });
}

/** Chunks up to a limit. */
class Bounded {
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False, and nothing kept of it, when `chunk` does not fit. */
  add(chunk: Buffer): boolean {
    if (this.#length + chunk.length > this.#limit) return false;
    this.#length += chunk.length;
    this.#chunks.push(chunk);
    return true;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks, this.#length);
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Made harmless for a terminal: a machine that lies may also try to write on it. */
function lastLine(bytes: Buffer): string {
  return visible(bytes.toString("utf8").trim().split("\n").at(-1) ?? "");
}

const failed = (expected: string, actual: string) => new RuntimeError("REMOTE_FAILED", { expected, actual });
const tooLarge = () =>
  new RuntimeError("EVIDENCE_TOO_LARGE", { expected: `evidence of at most ${MAX_EVIDENCE_BYTES} bytes`, actual: "more" });
