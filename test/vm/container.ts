import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CommandResult } from "./agent.ts";
import type { Bench } from "./bench.ts";
import { VmError } from "./errors.ts";
import { isRunning, killProcess, startProcess } from "./processes.ts";

const START_LIMIT_MS = 120_000;

/** The service that makes secrets refuses to put them on anything but LUKS, rightly; in memory that dies with the test they are made here. */
const CREDENTIALS_DROP_IN = "systemd.unit-dropin.secure-ai-credentials.service~container";
const MAKE_CREDENTIALS = [
  "[Service]",
  "ExecStart=",
  "ExecStart=/bin/bash -c 'umask 077; for n in policy-engine.token policy-engine-audit-hmac.key; do " +
    'od -An -vtx1 -N32 /dev/urandom | tr -d " \\n" > /var/lib/secure-ai/credentials/$$n; done\'',
  "",
].join("\n");

/**
 * The faster ring: the release's own root file system, started by systemd-nspawn with no network and all writes in memory. It has no
 * kernel, verity, TPM or boot chain of its own. Needs root and a kernel that mounts erofs; neither is a property of the release.
 */
export class Container {
  readonly dir: string;
  readonly #nspawn: ChildProcess;
  readonly #root: string;
  #leader = 0;

  private constructor(dir: string, root: string, nspawn: ChildProcess) {
    this.dir = dir;
    this.#root = root;
    this.#nspawn = nspawn;
  }

  /** Unpacks the root partition, starts it, waits until systemd has started everything. @throws VmError */
  static async start(bench: Bench, name: string): Promise<Container> {
    if (process.geteuid?.() !== 0)
      throw new VmError("CAPABILITY_MISSING", { expected: "root, for systemd-nspawn", actual: "another user" });
    const dir = join(bench.dir, name);
    const root = await unpackRoot(bench);
    await mkdir(join(dir, "empty"), { recursive: true });
    const nspawn = join(bench.tools.root, "usr/bin/systemd-nspawn");
    const library = [
      join(bench.tools.root, "usr/lib/x86_64-linux-gnu/systemd"),
      join(bench.tools.root, "usr/lib/x86_64-linux-gnu"),
    ].join(":");
    const loader = join(bench.tools.root, "usr/lib64/ld-linux-x86-64.so.2");
    const child = startProcess(
      [
        ...[
          loader,
          "--library-path",
          library,
          nspawn,
          "--quiet",
          "--directory",
          root,
          "--machine",
          `secai-${process.pid}-${name}`,
        ],
        ...["--register=no", "--keep-unit", "--volatile=overlay", "--private-network", "--boot"],
        `--set-credential=${CREDENTIALS_DROP_IN}:${escapeCredential(MAKE_CREDENTIALS)}`,
        ...["--settings=no", "--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no"],
      ],
      join(dir, "console.log"),
    );
    const container = new Container(dir, root, child);
    try {
      await container.#settle();
    } catch (error) {
      await container.stop();
      throw error;
    }
    return container;
  }

  /** Runs a bash script as root inside. */
  async run(script: string): Promise<CommandResult> {
    const argv = [
      "nsenter",
      "--target",
      String(this.#leader),
      "--mount",
      "--uts",
      "--ipc",
      "--net",
      "--pid",
      "--",
      "/bin/bash",
      "-c",
      script,
    ];
    const [command = "", ...rest] = argv;
    const child = spawn(command, rest, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: START_LIMIT_MS,
      env: { PATH: "/usr/sbin:/usr/bin" },
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 255));
    });
    const stdoutBytes = Buffer.concat(out);
    return { exitCode, stdoutBytes, stdout: stdoutBytes.toString("utf8"), stderr: Buffer.concat(err).toString("utf8") };
  }

  async stop(): Promise<void> {
    if (this.#leader !== 0) await this.run("systemctl --force --force poweroff").catch(() => undefined);
    await killProcess(this.#nspawn);
    await rm(this.dir, { recursive: true, force: true });
  }

  get root(): string {
    return this.#root;
  }

  async #settle(): Promise<void> {
    const end = performance.now() + START_LIMIT_MS;
    let last = "";
    while (performance.now() < end) {
      if (!isRunning(this.#nspawn)) {
        throw new VmError("HARNESS_TOOL_FAILED", {
          expected: "systemd-nspawn to keep running",
          actual: readFileSync(join(this.dir, "console.log"), "utf8").slice(-1500),
        });
      }
      this.#leader ||= leaderOf(this.#nspawn.pid ?? 0);
      if (this.#leader !== 0) {
        last = (await this.run("systemctl is-system-running")).stdout.trim();
        if (last === "running") return;
        const { stdout: failed } = await this.run("systemctl --failed --plain --no-legend");
        if (failed.trim() !== "") {
          const { stdout } = await this.run("journalctl -b -p warning --no-pager -n 10 -o cat");
          throw new VmError("GUEST_UNIT_FAILED", {
            expected: "no failed unit in the container",
            actual: `${failed}${stdout}`.trim(),
          });
        }
      }
      await sleep(100);
    }
    throw new VmError("GUEST_TIMEOUT", { expected: `a running system within ${START_LIMIT_MS} ms`, actual: last });
  }
}

/** systemd-nspawn reads C escapes in a credential's value. */
function escapeCredential(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

/** The container's PID 1: the one child of systemd-nspawn's own child. */
function leaderOf(pid: number): number {
  const children = (of: number): number[] => {
    try {
      return readFileSync(`/proc/${of}/task/${of}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
    } catch {
      return [];
    }
  };
  return children(pid).find((child) => /systemd|init/.test(nameOf(child))) ?? 0;
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

let unpacked: Promise<string> | undefined;

/** The release's root partition as a folder; once per run. */
function unpackRoot(bench: Bench): Promise<string> {
  unpacked ??= (async () => {
    const root = join(bench.dir, "root");
    const partition = bench.releaseDisk.partitions.find(({ label }) => /^root_[^_]+$/.test(label));
    if (partition === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a root partition", actual: "none" });
    const { path } = bench.releaseDisk;
    await bench.tools.run(["fsck.erofs", `--offset=${partition.offset}`, `--extract=${root}`, "--preserve", path], {
      timeoutMs: 300_000,
    });
    return root;
  })();
  return unpacked;
}
