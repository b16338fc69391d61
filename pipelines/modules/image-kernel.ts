import { existsSync, globSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { toolOutput } from "../programs/tool.ts";
import { KernelModuleError } from "./errors.ts";
import { type ModuleInfo, parseModinfo, releaseOf, requireSameKernel } from "./modinfo.ts";

/** Where modules lie in the image and in tool roots; distributions have merged /usr. */
export const MODULES = "usr/lib/modules";

/** Runs modinfo of the tool root. @throws KernelModuleError KERNEL_MODULE_UNDESCRIBED */
export const modinfo = (path: string): ModuleInfo => parseModinfo(toolOutput("modinfo", ["-0", path]));

/** The one kernel of a root. @throws KernelModuleError KERNEL_MODULE_MISMATCH */
export function kernelRelease(root: string): string {
  const [release, ...others] = existsSync(join(root, MODULES)) ? readdirSync(join(root, MODULES)).sort() : [];
  if (release === undefined || others.length > 0) {
    const actual = release === undefined ? "none" : [release, ...others].join(", ");
    throw new KernelModuleError("KERNEL_MODULE_MISMATCH", { expected: "one kernel in the image", actual });
  }
  return release;
}

/**
 * The words that the kernel of a root demands of every module, as one of its own modules has them: release, then options.
 * @throws KernelModuleError KERNEL_MODULE_MISMATCH, KERNEL_MODULE_UNDESCRIBED
 */
export function kernelVermagic(root: string, release: string): string {
  const folder = join(root, MODULES, release);
  const [own] = globSync("kernel/**/*.ko{,.xz,.zst,.gz}", { cwd: folder }).sort();
  if (own === undefined)
    throw new KernelModuleError("KERNEL_MODULE_MISMATCH", { expected: `modules of ${release}`, actual: "none" });
  // In-tree modules have no version of their own.
  const vermagic = toolOutput("modinfo", ["-F", "vermagic", join(folder, own)]).trim();
  requireSameKernel({ name: own, vermagic: releaseOf(vermagic) }, release);
  return vermagic;
}

/**
 * The folder in which kbuild compiles modules for `release`, in the tool root that this runs in.
 * @throws KernelModuleError KERNEL_MODULE_MISMATCH when the tool root has the headers of other kernels only
 */
export function headersOf(release: string): string {
  const folder = join("/", MODULES, release, "build");
  if (existsSync(join(folder, "Makefile"))) return folder;
  const known = existsSync(join("/", MODULES)) ? readdirSync(join("/", MODULES)) : [];
  const others = known.filter((name) => existsSync(join("/", MODULES, name, "build", "Makefile"))).sort();
  throw new KernelModuleError("KERNEL_MODULE_MISMATCH", {
    expected: `headers of ${release}, the image's kernel`,
    actual: others.length === 0 ? "no headers" : `headers of ${others.join(", ")}`,
  });
}
