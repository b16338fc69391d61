import { readlinkSync } from "node:fs";
import { sha256 } from "@secai/kit/digest";
import type { Entry } from "./baseline.ts";
import type { HashCache, Known } from "./hash-cache.ts";
import { type Found, type Listing, list } from "./listing.ts";
import type { Look } from "./look.ts";
import { categoryOf, type Target } from "./policy.ts";
import { type Category, type Violation, violation } from "./violation.ts";

export interface FileParts {
  readonly prefix: string;
  readonly cache: Pick<HashCache, "digest">;
  readonly targets: readonly Target[];
  /** Whether a path comes from a merged system extension, which has a seal of its own. */
  readonly isExtension?: (path: string) => boolean;
  /** Files that are there and in no baseline: one that may be, or one too many. */
  readonly allowed?: ReadonlySet<string>;
}

/** Every file that the targets name against what should be there. */
export async function lookAtFiles(parts: FileParts, expected: readonly Entry[]): Promise<Look> {
  const { prefix, cache, targets } = parts;
  const listing = await list(prefix, targets);
  const wanted = new Map(expected.map((entry) => [entry.path, entry]));
  const violations: Violation[] = unlistable(listing, targets);
  const noticed: Violation[] = [];
  const seen = new Set<string>();
  for (const found of listing.found) {
    const { path } = found;
    const entry = wanted.get(path);
    seen.add(path);
    if (entry === undefined) {
      if (parts.allowed?.has(path) !== true && parts.isExtension?.(path) !== true)
        violations.push(violation(categoryAt(path, targets), path, "unexpected", "no such file", whatIs(found)));
      continue;
    }
    const state = await stateOf(prefix, cache, found);
    if (state === "pending") continue;
    if ("fault" in state) violations.push(violation(entry.category, path, kindOf(state.fault), entry.sha256, state.detail));
    else if (state.type !== entry.type)
      violations.push(violation(entry.category, path, "linked", `a ${entry.type}`, `a ${state.type}`));
    else if (state.sha256 !== entry.sha256)
      violations.push(violation(entry.category, path, "changed", entry.sha256, state.sha256));
    else if (state.rewritten)
      noticed.push(violation(entry.category, path, "rewritten", "nobody writes to it", "written, same content"));
  }
  for (const { path, category, sha256: digest } of expected)
    if (!seen.has(path)) violations.push(violation(category, path, "missing", digest, "not there"));
  return { violations, noticed, folders: listing.folders };
}

export interface TakeParts extends Omit<FileParts, "cache"> {
  readonly cache: Pick<HashCache, "digestNow">;
}

export interface Taken {
  readonly entries: readonly Entry[];
  /** What cannot be read, and therefore not taken for good. */
  readonly faults: readonly Violation[];
}

/** What is there now, as entries of a baseline. */
export async function takeEntries({ prefix, cache, targets, isExtension, allowed }: TakeParts): Promise<Taken> {
  const listing = await list(prefix, targets);
  const entries: Entry[] = [];
  const faults = unlistable(listing, targets);
  for (const found of listing.found) {
    const { path, identity } = found;
    if (isExtension?.(path) === true || allowed?.has(path) === true) continue;
    const category = categoryAt(path, targets);
    const state = await stateOf(prefix, { digest: cache.digestNow }, found);
    if (state === "pending") continue;
    if ("fault" in state) faults.push(violation(category, path, kindOf(state.fault), "a file that can be read", state.detail));
    else entries.push({ path, category, type: state.type, sha256: state.sha256, size: identity.size });
  }
  return { entries, faults };
}

type State =
  | { readonly type: Entry["type"]; readonly sha256: string; readonly rewritten: boolean }
  | Extract<Known, "pending" | { fault: unknown }>;

async function stateOf(prefix: string, cache: FileParts["cache"], found: Found): Promise<State> {
  if (found.type === "link") {
    try {
      return { type: "link", sha256: sha256(readlinkSync(prefix + found.path)), rewritten: false };
    } catch (error) {
      return { fault: "unreadable", detail: (error as NodeJS.ErrnoException).code ?? "no link" };
    }
  }
  const known = await cache.digest(found);
  return known === "pending" || "fault" in known ? known : { type: "file", ...known };
}

function unlistable({ failed }: Listing, targets: readonly Target[]): Violation[] {
  return failed.map(({ path, detail }) =>
    violation(categoryAt(path, targets), path, "unreadable", "a directory that can be listed", detail),
  );
}

const categoryAt = (path: string, targets: readonly Target[]): Category => categoryOf(path, targets) ?? "state_file";

function kindOf(fault: Extract<Known, { fault: unknown }>["fault"]): "missing" | "linked" | "unreadable" {
  if (fault === "missing" || fault === "linked") return fault;
  return "unreadable";
}

function whatIs({ type, identity }: Found): string {
  if (type === "file") return `a file of ${identity.size} bytes`;
  return type === "link" ? "a symbolic link" : "a special file";
}
