import { KernelModuleError } from "./errors.ts";

/** What a kernel module says of itself. */
export interface ModuleInfo {
  /** As the kernel lists it: with underscores. */
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** Kernel release and options that it was compiled for. */
  readonly vermagic: string;
  /** Modules whose symbols it uses. */
  readonly depends: readonly string[];
  /** Files below /usr/lib/firmware that it may ask for. */
  readonly firmware: readonly string[];
}

/** Fields of `modinfo -0`: records "name=value", each ended by a NUL. Without -0 a value with a line break could pose as a field. */
function fields(text: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const record of text.split("\0")) {
    const equals = record.indexOf("=");
    if (equals < 0) continue;
    const name = record.slice(0, equals);
    found.set(name, [...(found.get(name) ?? []), record.slice(equals + 1).trim()]);
  }
  return found;
}

/**
 * Reads what `modinfo -0` printed for one module.
 * @throws KernelModuleError KERNEL_MODULE_UNDESCRIBED
 */
export function parseModinfo(text: string): ModuleInfo {
  const found = fields(text);
  const one = (field: string): string => {
    const values = found.get(field) ?? [];
    const [value] = values;
    if (value === undefined || value === "" || values.length > 1) {
      throw new KernelModuleError("KERNEL_MODULE_UNDESCRIBED", {
        expected: `one field "${field}"`,
        actual: values.length > 1 ? `${values.length} of them` : "none",
      });
    }
    return value;
  };
  const depends = (found.get("depends") ?? []).flatMap((value) => value.split(",")).filter((name) => name !== "");
  return {
    name: one("name"),
    version: one("version"),
    licence: one("license"),
    vermagic: one("vermagic"),
    depends: depends.sort(),
    firmware: [...(found.get("firmware") ?? [])].sort(),
  };
}

/** The kernel release in a vermagic: its first word. */
export const releaseOf = (vermagic: string): string => vermagic.split(" ", 1)[0] ?? "";

/**
 * Stricter than the kernel on purpose: one with symbol versions compares the options and the CRCs of the symbols that a module uses, and
 * would load a module of a neighbouring release as long as those agree (kernel/module/version.c).
 * @throws KernelModuleError KERNEL_MODULE_MISMATCH
 */
export function requireSameKernel(module: Pick<ModuleInfo, "name" | "vermagic">, kernelVermagic: string): void {
  if (module.vermagic === kernelVermagic) return;
  throw new KernelModuleError("KERNEL_MODULE_MISMATCH", {
    expected: `${module.name} for ${kernelVermagic}`,
    actual: module.vermagic,
  });
}
