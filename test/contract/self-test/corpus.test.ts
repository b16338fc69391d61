import { fileChecks } from "@secai/verify/file-checks";
import { releaseChecks } from "@secai/verify/release-checks";
import { runtimeChecks } from "@secai/verify/runtime-checks";
import { loadCorpus } from "@secai/verify/self-test/command";
import type { SelfTestCase } from "@secai/verify/self-test/corpus";
import { beforeAll, expect, test } from "vitest";
import { type Generated, generateCorpus } from "./generate.ts";

const committed = await loadCorpus();
const wrong = committed.cases.filter(({ exit }) => exit !== 0);
let generated: Generated;
beforeAll(async () => {
  generated = await generateCorpus();
});

test("the verifier of this checkout answers every case as its author says", () => {
  expect(generated.mistakes).toEqual([]);
});

/** Names made of keys and signatures, which are never the same twice: a second signer's bundle, a blob of an OCI layout. */
const anyTime = (text: string): string =>
  text.replace(/\.[0-9a-f]{16}(\.sigstore\.json)/g, ".TAG$1").replace(/(blobs\/sha256\/)[0-9a-f]{64}/g, "$1DIGEST");

/** Whether a flipped bit also makes base64 that is none depends on the signature it hits. */
const CHANCE = /: a bit (of|in) the /;

/** All of a case but its contents, which hold signatures. Of the blobs of an OCI layout it depends on chance which comes first. */
function outline({ changes, ids, expects, name, ...rest }: SelfTestCase): string {
  const places = changes.map((change) => `${change.kind} ${change.path}${"to" in change ? ` ${change.to}` : ""}`);
  const found = CHANCE.test(name) || name.includes("blobs/sha256/") ? [] : ids;
  return anyTime(JSON.stringify({ name, expects, ids: found, places: places.map(anyTime).sort(), ...rest }));
}
const outlines = (cases: readonly SelfTestCase[]): readonly string[] => cases.map(outline).sort();

test("the committed corpus is the one that its generator makes: run write-corpus.ts", () => {
  const names = ({ base }: { readonly base: object }) => Object.keys(base).map(anyTime).sort();
  expect(names(committed)).toEqual(names(generated.corpus));
  const [ours, theirs] = [outlines(committed.cases), outlines(generated.corpus.cases)];
  const only = (some: readonly string[], others: readonly string[]) => some.filter((one) => !others.includes(one));
  expect({ committed: only(ours, theirs), generated: only(theirs, ours) }).toEqual({ committed: [], generated: [] });
  expect(ours).toHaveLength(theirs.length);
});

test("there are as many cases as promised, each with a name of its own", () => {
  expect(wrong.length).toBeGreaterThanOrEqual(300);
  expect(committed.cases.length - wrong.length).toBeGreaterThanOrEqual(20);
  expect(new Set(committed.cases.map(({ name }) => name)).size).toBe(committed.cases.length);
});

test("whatever is wrong is refused by a check that its author named", () => {
  expect(wrong.filter(({ expects }) => expects.length === 0)).toEqual([]);
});

for (const [kind, checks] of Object.entries({ release: releaseChecks, runtime: runtimeChecks, file: fileChecks })) {
  test(`every ${kind} check is the expected finder of something`, () => {
    const finders = new Set(wrong.flatMap(({ expects }) => expects.map((one) => one.split(":")[0])));
    expect(checks.map(({ id }) => id).filter((id) => !finders.has(id))).toEqual([]);
  });
}
