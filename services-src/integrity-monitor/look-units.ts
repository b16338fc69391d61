import type { Entry } from "./baseline.ts";
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

/**
 * The folders of /run from which systemd takes units: empty ones, and those that generators fill. A unit has to lie there, in the sealed
 * root or in a mount over it before systemd can load it, so no question to systemd is needed; asking it needs D-Bus or root.
 */
export async function lookAtUnits(
  prefix: string,
  cache: Pick<HashCache, "digest">,
  rules: UnitRules,
  expected: readonly Entry[],
): Promise<Look> {
  const looks = [
    await lookAtFiles({ prefix, cache, targets: targetsOf(rules.empty), allowed: new Set(rules.allowed) }, []),
    await lookAtFiles({ prefix, cache, targets: targetsOf(rules.generated) }, expected),
  ];
  return {
    violations: looks.flatMap(({ violations }) => violations),
    // Generators write their files anew, with the same content, at each reload of systemd.
    folders: looks.flatMap(({ folders = [] }) => folders),
  };
}
