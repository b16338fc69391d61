import { type Difference, type Rebuild, rebuildVerdict } from "@secai/formats/rebuild";
import { type Role, roleOf } from "@secai/formats/release-layout";

/** Files that hold a signature of a Secure Boot or PCR key, or hold such a file, or are measured from one. */
const KEY_DEPENDENT: ReadonlySet<Role> = new Set<Role>([
  "uki",
  "boot-loader",
  "measurements",
  "keylime",
  "disk",
  "disk-qcow2",
  "disk-ova",
  "installer-iso",
  "oci",
  "oci-index",
  "oci-blob",
]);

export interface Compared {
  /** Digest by file, as the provenance names what was built. */
  readonly expected: ReadonlyMap<string, string>;
  /** Digest by file, as the rebuild made it. */
  readonly actual: ReadonlyMap<string, string>;
  /** Names of build keys whose public half is another one here. */
  readonly otherKeys: readonly string[];
}

export type Comparison = Pick<Rebuild, "verdict" | "same" | "differing">;

/**
 * Compares file by file. Another signing key explains a difference only in files that depend on keys, and only while everything that does not,
 * the root file system's hash first of all, is the same. Pure.
 */
export function compareBuilds({ expected, actual, otherKeys }: Compared): Comparison {
  const names = [...expected.keys()].sort();
  const isSame = (name: string) => expected.get(name) === actual.get(name);
  const differs = names.filter((name) => !isSame(name));
  const onlyKeys = otherKeys.length > 0 && differs.every((name) => KEY_DEPENDENT.has(roleOf(name)) && actual.has(name));
  const differing = differs.map((name): Difference => {
    const made = actual.get(name);
    return {
      name,
      expected: expected.get(name) ?? "",
      ...(made !== undefined && { actual: made }),
      ...(onlyKeys && { reason: `depends on ${otherKeys.join(" and ")}, which is another key here` }),
    };
  });
  return { verdict: rebuildVerdict(differing), same: names.filter(isSame), differing };
}
