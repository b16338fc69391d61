import { lstatSync } from "node:fs";
import { canonicalJson, sha256 } from "@secai/kit/digest";
import { readBounded } from "@secai/kit/files";
import { RuntimeError } from "@secai/verify/runtime-errors";
import type { Baseline, Entry, Metadata } from "./baseline.ts";
import type { HashCache } from "./hash-cache.ts";
import { takeEntries } from "./look-files.ts";
import { takeSettings } from "./look-kernel.ts";
import { takeMetadata } from "./look-metadata.ts";
import { openHooks, parseRuleset, takeRuleset } from "./look-network.ts";
import { takeUnitFiles } from "./look-units.ts";
import { categoryOf, type MonitorPolicy, type Target } from "./policy.ts";
import { heldToList } from "./release-list.ts";
import { type Violation, violation } from "./violation.ts";

const MAX_RULESET_BYTES = 8 << 20;

export interface TakeContext {
  readonly prefix: string;
  readonly cache: HashCache;
  readonly policy: MonitorPolicy;
  readonly rootHash: string;
  /** RFC 3339, UTC. */
  readonly now: string;
  /** Of what `nft -j list ruleset` prints where only the release's file was loaded; undefined: the first ruleset is believed if it is closed. */
  readonly rulesetPath: string | undefined;
  isExtension(path: string): boolean;
  /** Mounts over the sealed root that should not be there. */
  covers(): readonly string[];
}

export type Taking = { readonly baseline: Baseline } | { readonly obstacles: readonly Violation[] };

/** Why a baseline is taken; it says what of the old one stays. */
export type Occasion = "first" | "release" | "policy" | "rebaseline";

/**
 * Another baseline: the release part from the sealed root, the rest from the machine or, where only an operator may change it, from the
 * baseline before. Nothing is taken of a machine on which something covers the root, or whose firewall is open.
 */
export async function takeBaseline(context: TakeContext, occasion: Occasion, before: Baseline | undefined): Promise<Taking> {
  const { prefix, cache, policy, rootHash, now } = context;
  const obstacles = context.covers().map((point) => violation("mount", point, "covered", "the sealed root", "something over it"));
  const sealed = await takeEntries({ prefix, cache, targets: policy.sealed, isExtension: context.isExtension });
  const state = await takeEntries({ prefix, cache, targets: policy.state });
  const units = await takeUnitFiles(prefix, cache, policy.units);
  const ruleset = await rulesetFor(context);
  const faults = [
    ...obstacles,
    ...sealed.faults,
    ...state.faults,
    ...units.faults,
    ...("obstacle" in ruleset ? [ruleset.obstacle] : []),
  ];
  if (faults.length > 0 || "obstacle" in ruleset) return { obstacles: faults };
  const release = await heldToList(prefix, policy.sealed, sealed.entries);
  const system = { unit_files: [...units.entries], ruleset: [...ruleset.lines], settings: takeSettings(prefix) };
  const found = { files: state.entries, metadata: await takeMetadata(prefix, policy.metadata) };
  return {
    baseline: {
      schema: 2,
      created_at: now,
      generation: (before?.generation ?? 0) + 1,
      root_hash: rootHash,
      policy_digest: policy.digest,
      release: releaseAfter(occasion, before?.release, release, policy.sealed),
      system: systemAfter(occasion, before?.system, system),
      machine: machineAfter(occasion, before?.machine, found),
    },
  };
}

/** What was once read of a root stays what that root is: only what the policy names anew is added. */
function releaseAfter(
  occasion: Occasion,
  before: readonly Entry[] | undefined,
  found: readonly Entry[],
  sealed: readonly Target[],
): Entry[] {
  if (before === undefined || occasion === "first" || occasion === "release") return [...found];
  const kept = before.filter(({ path }) => categoryOf(path, sealed) !== undefined);
  return occasion === "rebaseline" ? kept : withNew(kept, found);
}

/** An operator may take what generators made of another disk; ruleset and settings are the release's. */
function systemAfter(occasion: Occasion, before: Baseline["system"] | undefined, found: Baseline["system"]): Baseline["system"] {
  if (before === undefined || occasion === "first" || occasion === "release") return found;
  return occasion === "rebaseline" ? { ...before, unit_files: found.unit_files } : before;
}

interface MachinePart {
  readonly files: readonly Entry[];
  readonly metadata: readonly Metadata[];
}

/**
 * An update may bring files of its own (statements, credentials of new services); whatever was there before it stays as it was. A new
 * policy brings nothing: what it names and no baseline knows is for an operator to look at.
 */
export function machineAfter(occasion: Occasion, before: MachinePart | undefined, found: MachinePart): Baseline["machine"] {
  if (before === undefined || occasion === "rebaseline" || occasion === "first")
    return { files: [...found.files], metadata: [...found.metadata] };
  if (occasion === "policy") return { files: [...before.files], metadata: [...before.metadata] };
  return { files: withNew(before.files, found.files), metadata: withNew(before.metadata, found.metadata) };
}

function withNew<T extends { readonly path: string }>(before: readonly T[], found: readonly T[]): T[] {
  const known = new Set(before.map(({ path }) => path));
  return [...before, ...found.filter(({ path }) => !known.has(path))].sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function rulesetFor({
  prefix,
  policy,
  rulesetPath,
}: TakeContext): Promise<{ readonly lines: readonly string[] } | { readonly obstacle: Violation }> {
  const lines = rulesetPath === undefined ? await takeRuleset(prefix) : await expectedRuleset(prefix, rulesetPath);
  if (lines === null) return { obstacle: violation("firewall", "ruleset", "unreadable", "rules that can be listed", "none") };
  const open = openHooks(lines, policy.firewall.drop_hooks);
  if (open.length === 0) return { lines };
  return {
    obstacle: violation(
      "firewall",
      "ruleset",
      "changed",
      "chains that drop what no rule lets through",
      `none at ${open.join(", ")}`,
    ),
  };
}

/** What the release's own ruleset file gives in an empty network namespace, which only root can make: the unit does, before the start. */
export async function expectedRuleset(prefix: string, path: string): Promise<readonly string[] | null> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return null;
  try {
    return parseRuleset(prefix, (await readBounded(path, MAX_RULESET_BYTES)).toString("utf8"));
  } catch (error) {
    if (error instanceof RuntimeError || error instanceof SyntaxError) return null;
    throw error;
  }
}

const digests = new WeakMap<Baseline, string>();

/** SHA-256 of the RFC 8785 form: what records and answers call a baseline. Made once: it is asked for with every status. */
export function baselineDigest(baseline: Baseline): string {
  const known = digests.get(baseline) ?? sha256(canonicalJson(baseline));
  digests.set(baseline, known);
  return known;
}
