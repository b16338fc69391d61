import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { tool } from "../programs/tool.ts";

/**
 * Gives programs that run inside a root what they may expect of a running system: processes, devices, and temporary folders of which nothing
 * remains. The mounts are the sandbox's own and end with it.
 */
export function withMounts<T>(root: string, work: () => T): T {
  const made: string[] = [];
  try {
    for (const name of ["proc", "dev", "tmp", "run", "var/tmp"]) {
      const path = join(root, name);
      mkdirSync(path, { recursive: true });
      if (name === "proc" || name === "dev") tool("mount", ["--rbind", `/${name}`, path]);
      else tool("mount", ["-t", "tmpfs", "tmpfs", path]);
      made.unshift(path);
    }
    return work();
  } finally {
    for (const path of made) tool("umount", ["--recursive", "--lazy", path]);
  }
}
