import { spawn } from "node:child_process";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ContainerState } from "./evaluate.ts";

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the engine answers when a program ends with another status than 0. */
export class ExecFailure extends Error {
  readonly extensions: Readonly<Record<string, unknown>>;
  constructor(args: readonly string[], { exitCode, stdout, stderr }: ExecResult) {
    super(`process "${args.join(" ")}" did not complete successfully: exit code: ${exitCode}`);
    this.extensions = { _type: "EXEC_ERROR", cmd: args, exitCode, stdout, stderr };
  }
}

/** Capabilities of a container that was not given all of them, as container engines grant by default. */
const DEFAULT_CAPABILITIES =
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT MKNOD NET_RAW AUDIT_WRITE";

/**
 * Runs a program in a container: its own mounts, processes and host name, with the network of this machine, which is more than a real
 * engine gives. That steps cannot reach it is thus up to the engine under test.
 * @throws ExecFailure
 */
export async function runContainer(
  { root, mounts, caches, env }: ContainerState,
  args: readonly string[],
  privileged: boolean,
  signal: AbortSignal,
): Promise<ExecResult> {
  const folders = [...caches].map(([inside, { folder }]) => [inside, folder] as const);
  for (const [inside, source] of [...mounts, ...folders]) await makeMountPoint(root, inside, source);
  const capabilities = privileged ? ["ALL"] : DEFAULT_CAPABILITIES.split(" ").map((name) => `CAP_${name}`);
  const options = [
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "container", "--die-with-parent", "--new-session"],
    ...["--bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--clearenv"],
    ...[...mounts].flatMap(([inside, source]) => ["--ro-bind", source, inside]),
    ...folders.flatMap(([inside, source]) => ["--bind", source, inside]),
    ...[...env].flatMap(([name, value]) => ["--setenv", name, value]),
    ...["--cap-drop", "ALL", ...capabilities.flatMap((name) => ["--cap-add", name])],
  ];
  const run = () => collect(["bwrap", ...options, "--", ...args], signal);
  const withCaches = [...caches.values()].reduce<() => Promise<ExecResult>>(
    (work, { alone }) =>
      () =>
        alone(work),
    run,
  );
  const result = await withCaches();
  if (result.exitCode !== 0) throw new ExecFailure(args, result);
  return result;
}

async function makeMountPoint(root: string, inside: string, source: string): Promise<void> {
  const target = join(root, inside);
  const isDirectory = (await stat(source)).isDirectory();
  await mkdir(isDirectory ? target : dirname(target), { recursive: true });
  if (!isDirectory) await writeFile(target, "");
}

function collect([program = "", ...args]: readonly string[], signal: AbortSignal): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], signal, killSignal: "SIGKILL" });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
      });
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ exitCode: code ?? 137, ...output }));
  });
}
