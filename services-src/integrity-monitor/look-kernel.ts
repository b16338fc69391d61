import { collectModules, collectSysctl } from "@secai/verify/runtime-collect-kernel";
import { readWhole } from "@secai/verify/runtime-files";
import { orGone } from "@secai/verify/runtime-procfs";
import { type ModuleMistake, moduleMistakes } from "@secai/verify/runtime-state-checks";
import type { Baseline } from "./baseline.ts";
import { list } from "./listing.ts";
import type { Look } from "./look.ts";
import { type Violation, violation } from "./violation.ts";

const MODULES = "/usr/lib/modules";

/** Paths of the kernel's modules in the sealed root; read once, because they change only with the root. */
async function sealedModules(prefix: string): Promise<readonly string[]> {
  const { found } = await list(prefix, [{ path: MODULES, tree: true }]);
  return found.map(({ path }) => path).filter((path) => /\.ko(\.(xz|zst|gz))?$/.test(path));
}

const MAX_MODULES_BYTES = 1 << 20;

/** Looks at loaded modules and at the kernel's taint every second, and thinks about them only when they are others than before. */
export function createModuleLook(prefix: string): () => Promise<Look> {
  let sealed: readonly string[] | undefined;
  let last: { readonly text: string; readonly look: Look } | undefined;
  return async () => {
    sealed ??= await sealedModules(prefix);
    const text = ["/proc/modules", "/proc/sys/kernel/tainted"]
      .map((path) => orGone(() => readWhole(prefix + path, MAX_MODULES_BYTES))?.toString("latin1"))
      .join("\0");
    if (last?.text === text) return last.look;
    const look = { violations: moduleMistakes(collectModules(prefix), sealed).map(toViolation) };
    last = { text, look };
    return look;
  };
}

function toViolation({ name, code, expected, actual }: ModuleMistake): Violation {
  return violation("kernel_module", code === "KERNEL_TAINTED" ? `${name}: ${actual}` : name, "unexpected", expected, actual);
}

export const takeSettings = (prefix: string): Baseline["system"]["settings"] => collectSysctl(prefix);

export function lookAtSettings(prefix: string, expected: Baseline["system"]["settings"]): Look {
  const actual = takeSettings(prefix);
  const violations = Object.entries(expected).flatMap(([key, value]) =>
    value === null || actual[key] === value
      ? []
      : [violation("kernel_setting", key, "changed", value, actual[key] ?? "unreadable")],
  );
  return { violations };
}
