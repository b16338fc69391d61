import { type ChildProcess, spawn } from "node:child_process";
import { type Bind, toolCommand } from "../../pipelines/engine/sandbox.ts";
import { VmError } from "./errors.ts";
import { type Platform, platformOf } from "./platform.ts";
import { startProcess } from "./processes.ts";

export interface ToolOutput {
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunToolOptions {
  readonly input?: Uint8Array;
  /** Milliseconds; default one minute. */
  readonly timeoutMs?: number;
}

/** Where tools see the release: its own path may lie below a directory of the tool root, which is read-only. */
export const RELEASE_INSIDE = "/tmp/secai-release";

const MAX_OUTPUT_BYTES = 64 << 20;

/** The programs of the machine tool root (QEMU, swtpm, mtools, ...), each in a sandbox that sees only the run directory and the release. */
export class Tools {
  readonly root: string;
  /** Of the machines that it runs. */
  readonly platform: Platform;
  readonly #binds: readonly Bind[];

  /** @throws VmError CAPABILITY_MISSING when `root` is no tool root */
  constructor(root: string, runDir: string, releaseDir: string) {
    this.platform = platformOf(root);
    this.root = root;
    this.#binds = [
      { src: releaseDir, dst: RELEASE_INSIDE, writable: false },
      { src: runDir, dst: runDir, writable: true },
    ];
  }

  /** @throws VmError HARNESS_TOOL_FAILED on a non-zero exit, a signal or a timeout */
  async run(argv: readonly string[], options: RunToolOptions = {}): Promise<ToolOutput> {
    const [command, ...rest] = this.#command(argv, "none", []);
    const child = spawn(command ?? "", rest, { stdio: ["pipe", "pipe", "pipe"], timeout: options.timeoutMs ?? 60_000 });
    return await finished(child, argv, options.input);
  }

  /** Starts a long-running tool with the host's network (QEMU's user networking needs it) and the named devices. */
  start(argv: readonly string[], logPath: string, devices: readonly string[] = []): ChildProcess {
    return startProcess(this.#command(argv, "host", devices), logPath);
  }

  #command(argv: readonly string[], network: "host" | "none", devices: readonly string[]): string[] {
    return toolCommand({ root: this.root, argv, binds: this.#binds, env: { MTOOLS_SKIP_CHECK: "1" }, network, devices });
  }
}

function finished(child: ReturnType<typeof spawn>, argv: readonly string[], input: Uint8Array | undefined): Promise<ToolOutput> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  let size = 0;
  const keep = (list: Buffer[]) => (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_OUTPUT_BYTES) child.kill("SIGKILL");
    else list.push(chunk);
  };
  child.stdout?.on("data", keep(out));
  child.stderr?.on("data", keep(err));
  child.stdin?.on("error", () => {}); // A tool that ends before reading its input shows in its exit status.
  child.stdin?.end(input);
  return new Promise((resolve, reject) => {
    const fail = (actual: string, cause?: unknown) =>
      reject(new VmError("HARNESS_TOOL_FAILED", { expected: `${argv[0]} to succeed`, actual, cause }));
    child.once("error", (error) => fail(error.message, error));
    child.once("close", (code, signal) => {
      const stderr = Buffer.concat(err).toString("utf8");
      if (code === 0) resolve({ stdout: Buffer.concat(out), stderr });
      else fail(`${signal ?? `exit ${code}`}: ${stderr.trim().slice(-2000)}`);
    });
  });
}
