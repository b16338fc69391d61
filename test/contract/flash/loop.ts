import { spawnSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";

/** Runs a program of the machine as it must succeed. */
export function tool(...[command, ...args]: readonly [string, ...string[]]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout.trim();
}

export interface Loop extends Disposable {
  /** e.g. /dev/loop3 */
  readonly path: string;
  readonly file: string;
}

/** A real block device over a file of `size` bytes filled with 0xee: old contents that must not survive. */
export function loopDevice(file: string, size: number): Loop {
  writeFileSync(file, Buffer.alloc(Math.min(size, 4 << 20), 0xee));
  truncateSync(file, size);
  const path = tool("losetup", "--find", "--show", "--partscan", file);
  return {
    path,
    file,
    [Symbol.dispose]: () => {
      tool("losetup", "--detach", path);
    },
  };
}
