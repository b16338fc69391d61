import { lstatSync } from "node:fs";
import { closed, Digest, Path } from "@secai/kit/api/common";
import { KitError } from "@secai/kit/errors";
import { readBounded } from "@secai/kit/files";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import { Type } from "@sinclair/typebox";
import type { Entry } from "./baseline.ts";
import { categoryOf, type Target } from "./policy.ts";

/** A list of the release's own, if its root brings one: then it says what is right, not the root's files. */
export const RELEASE_LIST = "/usr/share/secure-ai/integrity/release-baseline.json";
const MAX_LIST_BYTES = 16 << 20;

const releaseList = shape(
  "release-baseline.json",
  Type.Object(
    { schema: Type.Literal(1), files: Type.Array(Type.Object({ path: Path, sha256: Digest }, closed), { maxItems: 25_000 }) },
    closed,
  ),
);

/**
 * Entries as the release's list has them. What it does not name stays as it was found.
 * @throws KitError CONFIG_SCHEMA for a list that is none
 */
export async function heldToList(
  prefix: string,
  targets: readonly Target[],
  entries: readonly Entry[],
): Promise<readonly Entry[]> {
  if (lstatSync(prefix + RELEASE_LIST, { throwIfNoEntry: false }) === undefined) return entries;
  const value = parseStrictJson(await readBounded(prefix + RELEASE_LIST, MAX_LIST_BYTES));
  if (!releaseList.is(value))
    throw new KitError("CONFIG_SCHEMA", {
      expected: releaseList.name,
      actual: releaseList.problems(value, 1)[0]?.pointer ?? "-",
    });
  const listed = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path, sha256 } of value.files) {
    const category = categoryOf(path, targets);
    if (category !== undefined) listed.set(path, { type: "file", size: 0, ...listed.get(path), path, category, sha256 });
  }
  return [...listed.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}
