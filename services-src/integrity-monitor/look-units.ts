import type { Clock } from "@secai/kit/sources";
import type { Entry } from "./baseline.ts";
import { createConfirmation } from "./confirm.ts";
import type { HashCache } from "./hash-cache.ts";
import type { Look } from "./look.ts";
import { lookAtFiles, type Taken, takeEntries } from "./look-files.ts";
import type { MonitorPolicy, Target } from "./policy.ts";

type UnitRules = MonitorPolicy["units"];

const targetsOf = (folders: readonly string[]): readonly Target[] =>
  folders.map((path) => ({ path, tree: true, category: "systemd_unit" }));

/** What the generators made at this boot. */
export const takeUnitFiles = (prefix: string, cache: Pick<HashCache, "digestNow">, { generated }: UnitRules): Promise<Taken> =>
  takeEntries({ prefix, cache, targets: targetsOf(generated) });

/** systemd empties and fills the generators' folders at each reload, with the same content: what differs must still differ then, in ms. */
const RELOAD_MS = 1_000;

export type UnitLook = (rules: UnitRules, expected: readonly Entry[]) => Promise<Look>;

/**
 * The folders of /run from which systemd takes units: empty ones, and those that generators fill. A unit has to lie there, in the sealed
 * root or in a mount over it before systemd can load it, so no question to systemd is needed; asking it needs D-Bus or root.
 */
export function createUnitLook(prefix: string, cache: Pick<HashCache, "digest">, clock: Clock): UnitLook {
  const confirm = createConfirmation(clock, RELOAD_MS);
  return async (rules, expected) => {
    const empty = await lookAtFiles({ prefix, cache, targets: targetsOf(rules.empty), allowed: new Set(rules.allowed) }, []);
    const generated = await lookAtFiles({ prefix, cache, targets: targetsOf(rules.generated) }, expected);
    const { sure, unsure } = confirm(generated.violations);
    return {
      violations: [...empty.violations, ...sure],
      folders: [...(empty.folders ?? []), ...(generated.folders ?? [])],
      ...(unsure ? { againMs: RELOAD_MS } : {}),
    };
  };
}
