import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseStatement } from "../../attest/formats/statement.ts";
import type { StepRecord } from "../../pipelines/step.ts";
import { filesBelow, firstDifference, outputDifference } from "./compare.ts";
import type { Built } from "./records.ts";

/** `difference` is what is wrong, absent when nothing is. */
export interface CheckResult {
  readonly id: string;
  readonly title: string;
  readonly difference?: string;
}

export function result(id: string, title: string, difference: string | undefined): CheckResult {
  return { id, title, ...(difference === undefined ? {} : { difference }) };
}

/** Files that hold the time of their making or a fresh signature (ECDSA draws a random number), and the lists that hold their hashes. */
const mayDiffer = (name: string): boolean =>
  name.endsWith(".sigstore.json") ||
  ["provenance.intoto.json", "channel.json", "oci/index.json", "RELEASE_MANIFEST.json", "SHA256SUMS"].includes(name);

/** Without the signatures that are attached to the OCI image: blobs that no build made, each under its own digest. */
function comparable(dir: string): readonly string[] {
  const built = new Set(parseStatement(readFileSync(join(dir, "provenance.intoto.json"))).subject.map(({ name }) => name));
  return filesBelow(dir).filter((name) => !name.startsWith("oci/blobs/") || built.has(name));
}

/** Every file of a release, byte for byte. */
export function compareReleases(a: Built, b: Built): CheckResult[] {
  const names = [a.dir, b.dir].map(comparable) as [readonly string[], readonly string[]];
  const lonely = [...names[0].filter((name) => !names[1].includes(name)), ...names[1].filter((name) => !names[0].includes(name))];
  const both = names[0].filter((name) => names[1].includes(name) && !mayDiffer(name));
  return [
    result("files", "both releases hold the same files", lonely.length === 0 ? undefined : `only in one: ${lonely.join(", ")}`),
    ...both.map((name) =>
      result(`file.${name}`, `${name} is the same, byte for byte`, firstDifference(join(a.dir, name), join(b.dir, name))),
    ),
  ];
}

/** Every output of every step that runs a program: the first step that differs is where to look. */
export async function compareSteps(a: Built, b: Built): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const [id, record] of a.steps) {
    if (record.step.kind === "fetch") continue;
    const other = b.steps.get(id);
    const difference = other === undefined ? "the second build has no such step" : await stepDifference(a, b, record, other);
    results.push(result(`step.${id}`, `step ${id} made the same of the same`, difference));
  }
  return results;
}

async function stepDifference(a: Built, b: Built, one: StepRecord, other: StepRecord): Promise<string | undefined> {
  if (one.key !== other.key) return inputDifference(one, other);
  for (const [name, { digest }] of Object.entries(one.outputs)) {
    if (other.outputs[name]?.digest === digest) continue;
    const found = await outputDifference(a.outputPath(one.id, name), b.outputPath(one.id, name));
    return `output ${name}: ${found ?? "digests differ, contents do not"}`;
  }
  return undefined;
}

function inputDifference(one: StepRecord, other: StepRecord): string {
  const digests = new Map(other.inputs.map(({ path, digest }) => [path, digest]));
  const changed = one.inputs.find(({ path, digest }) => digests.get(path) !== digest);
  return `its input ${changed === undefined ? "list" : `${changed.name} at ${changed.path}`} differs`;
}

/** Programs that ran in both builds, so that equal outputs are not one output seen twice. */
export function ranTwice(a: Built, b: Built): CheckResult {
  const same = [...a.steps].filter(
    ([id, { step, startedOn }]) => step.kind === "exec" && b.steps.get(id)?.startedOn === startedOn,
  );
  return result(
    "second-build",
    "the second build ran every step itself",
    same.length === 0 ? undefined : `not run again: ${same.map(([id]) => id).join(" ")}`,
  );
}

export function compareDependencies(a: Built, b: Built): CheckResult {
  const only = (some: readonly string[], others: readonly string[]) => some.find((line) => !others.includes(line));
  const odd = only(a.dependencies, b.dependencies) ?? only(b.dependencies, a.dependencies);
  return result(
    "dependencies",
    "both builds read the same files, by digest",
    odd === undefined ? undefined : `only one read ${odd}`,
  );
}

/** What must happen when a source changes by one byte: another root hash, and so other bytes in everything that carries it. */
export function expectOther(a: Built, changed: Built, what: string): CheckResult[] {
  const rootHash = ({ dir }: Built) => readFileSync(join(dir, "ROOT_HASH"), "utf8").trim();
  const found = new Set(
    compareReleases(a, changed).flatMap(({ id, difference }) => (difference === undefined ? [] : [id.replace("file.", "")])),
  );
  const missed = ["ROOT_HASH", "uki.efi", "disk.raw.zst", "disk.qcow2", "measurements.json"].filter((name) => !found.has(name));
  return [
    result("changed.root-hash", `${what} gives another root hash`, rootHash(a) === rootHash(changed) ? "the same" : undefined),
    result(
      "changed.noticed",
      "and this comparison sees it",
      missed.length === 0 ? undefined : `not seen in ${missed.join(", ")}`,
    ),
  ];
}
