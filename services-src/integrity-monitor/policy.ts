import { parseYaml } from "@secai/kit/config";
import { sha256 } from "@secai/kit/digest";
import { MonitorError } from "./errors.ts";
import { type MonitorPolicyFile, monitorPolicyFile } from "./policy-schema.ts";
import type { Category } from "./violation.ts";

/** A file, or everything below a directory, and what it is. */
export interface Target {
  /** Absolute, without the "/**". */
  readonly path: string;
  readonly tree: boolean;
  readonly category: Category;
}

export interface MonitorPolicy extends Omit<MonitorPolicyFile, "sealed" | "state"> {
  /** SHA-256 of the file's bytes. */
  readonly digest: string;
  readonly sealed: readonly Target[];
  readonly state: readonly Target[];
}

/** @throws KitError CONFIG_SYNTAX, CONFIG_SCHEMA; MonitorError MONITOR_POLICY */
export function parsePolicy(bytes: Uint8Array): MonitorPolicy {
  const file = parseYaml("integrity-monitor.yaml", bytes, monitorPolicyFile);
  const sealed = targetsOf(file.sealed);
  const state = targetsOf(file.state);
  for (const { path } of [...sealed, ...state]) requirePlain(path);
  for (const { path, category } of state) {
    const twice = sealed.find((other) => other.path === path);
    if (twice !== undefined)
      refuse("each path in one place", `${path} as ${category} of the machine and ${twice.category} of the root`);
  }
  for (const { uids, port } of file.listeners)
    if (uids[0] > uids[1]) refuse("uids in order", `${uids.join(" to ")}, port ${port}`);
  return { ...file, digest: sha256(bytes), sealed, state };
}

function targetsOf(lists: Readonly<Partial<Record<Category, readonly string[]>>>): readonly Target[] {
  const targets = Object.entries(lists).flatMap(([category, patterns]) =>
    patterns.map((pattern) => ({
      path: pattern.replace(/\/\*\*$/, ""),
      tree: pattern.endsWith("/**"),
      category: category as Category,
    })),
  );
  const paths = new Set<string>();
  for (const { path } of targets) {
    if (paths.has(path)) refuse("each path once", path);
    paths.add(path);
  }
  return targets;
}

function requirePlain(path: string): void {
  if (path.split("/").some((part) => part === "." || part === "..")) refuse("a path without . and ..", path);
}

function refuse(expected: string, actual: string): never {
  throw new MonitorError("MONITOR_POLICY", { expected, actual });
}

/** The category of a path: that of the target that names it most closely. */
export function categoryOf(path: string, targets: readonly Target[]): Category | undefined {
  return targets
    .filter((target) => path === target.path || (target.tree && path.startsWith(`${target.path}/`)))
    .toSorted((a, b) => b.path.length - a.path.length)[0]?.category;
}
