import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { top } from "../../../scripts/house/tree.ts";
import { toolRootPath } from "../measure/tool-root.ts";

const MIB = 2 ** 20;
const LIMIT_MS = 120_000;

/** A disk as the script sees it in sysfs and /dev: a file stands in for the device. */
export interface FakeDisk {
  readonly name: string;
  readonly mib: number;
  readonly readOnly?: boolean;
  readonly holder?: string;
  readonly content?: Uint8Array;
}

export interface InstallerRun {
  readonly commandLine: string;
  readonly payload: Uint8Array;
  readonly disks: readonly FakeDisk[];
  readonly mounts?: string;
  /** What is typed, a line each; then the console hangs up. */
  readonly lines: readonly string[];
}

/** The installer's script, run by the shell and the tools of a tool root over made-up hardware. */
export class InstallerScene {
  readonly path = mkdtempSync(join(tmpdir(), "secai-installer-"));
  readonly #root: string;

  /** @throws Error without SECAI_TOOL_ROOT: the script's tools are the image's, not the host's */
  constructor() {
    this.#root = toolRootPath();
  }

  disk(name: string): string {
    return join(this.path, "dev", name);
  }

  run({ commandLine, payload, disks, mounts = "", lines }: InstallerRun): {
    readonly status: number | null;
    readonly output: string;
  } {
    for (const folder of ["dev", "block"]) {
      rmSync(join(this.path, folder), { recursive: true, force: true });
      mkdirSync(join(this.path, folder));
    }
    for (const disk of disks) this.#makeDisk(disk);
    writeFileSync(join(this.path, "cmdline"), `${commandLine}\n`);
    writeFileSync(join(this.path, "mounts"), mounts);
    writeFileSync(join(this.path, "payload"), payload);
    const [command = "", ...argv] = this.#sandbox(disks);
    const result = spawnSync(command, argv, { input: `${lines.join("\n")}\n`, encoding: "utf8", timeout: LIMIT_MS });
    return { status: result.status, output: `${result.stdout}${result.stderr}` };
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #makeDisk({ name, mib, readOnly, holder, content }: FakeDisk): void {
    const block = join(this.path, "block", name);
    mkdirSync(join(block, "holders"), { recursive: true });
    if (holder !== undefined) writeFileSync(join(block, "holders", holder), "");
    writeFileSync(join(block, "size"), `${(mib * MIB) / 512}\n`);
    writeFileSync(join(block, "ro"), readOnly === true ? "1\n" : "0\n");
    const bytes = Buffer.alloc(8 * MIB, 0xee);
    bytes.set(content ?? []);
    writeFileSync(this.disk(name), bytes);
  }

  /** Only what an initrd has: the tool root's programs, and kernel files of our making. */
  #sandbox(disks: readonly FakeDisk[]): string[] {
    const ro = (from: string, to: string) => ["--ro-bind", from, to];
    const usr = ["bin", "sbin", ...readdirSync(join(this.#root, "usr")).filter((name) => /^lib(64)?$/.test(name))];
    return [
      ...["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--setenv", "PATH", "/usr/bin:/usr/sbin"],
      ...["--tmpfs", "/", "--dir", "/usr", "--dir", "/run", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"],
      ...["--symlink", "usr/lib64", "/lib64"],
      ...usr.filter((name) => name !== "lib").flatMap((name) => ro(join(this.#root, "usr", name), `/usr/${name}`)),
      ...["--dir", "/usr/lib"],
      ...readdirSync(join(this.#root, "usr/lib"))
        .filter((name) => name.endsWith("-linux-gnu"))
        .flatMap((name) => ro(join(this.#root, "usr/lib", name), `/usr/lib/${name}`)),
      ...ro(join(this.path, "payload"), "/usr/lib/secure-ai/disk.raw.zst"),
      ...["--dir", "/proc", ...ro(join(this.path, "cmdline"), "/proc/cmdline"), ...ro(join(this.path, "mounts"), "/proc/mounts")],
      ...ro(join(this.path, "block"), "/sys/class/block"),
      ...["--dev", "/dev", ...disks.flatMap(({ name }) => ["--bind", this.disk(name), `/dev/${name}`])],
      ...ro(join(top, "image/installer/usr/libexec/secure-ai/install"), "/usr/libexec/secure-ai/install"),
      ...["--", "/bin/sh", "/usr/libexec/secure-ai/install"],
    ];
  }
}
