import { collectModules, collectSysctl } from "@secai/verify/runtime-collect-kernel";
import { moduleMistakes } from "@secai/verify/runtime-state-checks";
import type { Baseline } from "./baseline.ts";
import { list } from "./listing.ts";
import type { Look } from "./look.ts";
import { violation } from "./violation.ts";

const MODULES = "/usr/lib/modules";

/** Paths of the kernel's modules in the sealed root; read once, because they change only with the root. */
export async function sealedModules(prefix: string): Promise<readonly string[]> {
  const { found } = await list(prefix, [{ path: MODULES, tree: true }]);
  return found.map(({ path }) => path).filter((path) => /\.ko(\.(xz|zst|gz))?$/.test(path));
}

export function lookAtModules(prefix: string, sealed: readonly string[]): Look {
  const violations = moduleMistakes(collectModules(prefix), sealed).map(({ name, code, expected, actual }) =>
    violation("kernel_module", code === "KERNEL_TAINTED" ? `${name}: ${actual}` : name, "unexpected", expected, actual),
  );
  return { violations };
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
