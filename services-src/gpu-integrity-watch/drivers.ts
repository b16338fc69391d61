import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join, normalize } from "node:path";
import type { Driver } from "./baseline.ts";
import { fact, type Machine } from "./machine.ts";

/** Kernel modules that drive GPUs, by their names below /sys/module. */
const MODULES = ["nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset", "amdgpu", "i915", "xe"];
const MAX_INDEX_BYTES = 8 << 20;

/** Loaded GPU drivers: what the kernel says of them, and the digest of the file they come from. */
export async function readDrivers(machine: Machine, signal: AbortSignal): Promise<readonly Driver[]> {
  const loaded: string[] = [];
  for (const module of MODULES) if (await isLoaded(machine, module)) loaded.push(module);
  if (loaded.length === 0) return [];
  const files = await moduleFiles(machine);
  const drivers: Driver[] = [];
  for (const module of loaded) {
    signal.throwIfAborted();
    const path = files.get(module);
    drivers.push({
      module,
      version: printableFact(await fact(machine, `sys/module/${module}/version`)),
      srcversion: printableFact(await fact(machine, `sys/module/${module}/srcversion`)),
      file_sha256: path === undefined ? null : await digestOf(path, signal),
    });
  }
  return drivers;
}

const isLoaded = ({ root }: Machine, module: string): Promise<boolean> =>
  stat(join(root, "sys/module", module)).then(
    (found) => found.isDirectory(),
    () => false,
  );

const printableFact = (text: string | undefined): string | null =>
  text === undefined || !/^[ -~]{1,128}$/.test(text) ? null : text;

/** Module files of the running kernel by module name: modules.dep lists each with what it needs, as depmod(8) writes it. */
async function moduleFiles(machine: Machine): Promise<ReadonlyMap<string, string>> {
  const release = await fact(machine, "proc/sys/kernel/osrelease");
  if (release === undefined || !/^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$/.test(release)) return new Map();
  const folder = join(machine.root, "usr/lib/modules", release);
  const index = await readFile(join(folder, "modules.dep"), "latin1").catch(() => "");
  const lines = index.slice(0, MAX_INDEX_BYTES).split("\n");
  return new Map(
    lines.flatMap((line) => {
      const [, path, name] = /^((?:[^:\s]*\/)?([A-Za-z0-9_-]+)\.ko(?:\.(?:gz|xz|zst))?):/.exec(line) ?? [];
      if (path === undefined || name === undefined || normalize(path).startsWith("..")) return [];
      return [[name.replaceAll("-", "_"), join(folder, path)] as const];
    }),
  );
}

/** null where the file cannot be read; never half a digest. */
async function digestOf(path: string, signal: AbortSignal): Promise<string | null> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path, { signal }) as AsyncIterable<Buffer>) hash.update(chunk);
    return hash.digest("hex");
  } catch {
    signal.throwIfAborted();
    return null;
  }
}
