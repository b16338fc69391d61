import { releaseChecks } from "@secai/verify/release-checks";
import { runtimeChecks } from "@secai/verify/runtime-checks";
import { loadCorpus } from "@secai/verify/self-test/command";
import type { Change, SelfTestCase } from "@secai/verify/self-test/corpus";
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

/** A second signer's bundle is named by its key, which is never the same twice. */
const placeOf = ({ path }: Change) => path.replace(/\.[0-9a-f]{16}(\.sigstore\.json)$/, ".TAG$1");

/** Whether a flipped bit also makes base64 that is none depends on the signature it hits. */
const CHANCE = /: a bit (of|in) the /;

/** All of a case but its contents, which hold signatures that are never the same twice. */
const outline = ({ changes, ids, ...rest }: SelfTestCase) => ({
  ...rest,
  ids: CHANCE.test(rest.name) ? [] : ids,
  changes: changes.map((change) => `${change.kind} ${placeOf(change)}${"to" in change ? ` ${change.to}` : ""}`).sort(),
});

test("the committed corpus is the one that its generator makes: run write-corpus.ts", () => {
  expect(Object.keys(committed.base)).toEqual(Object.keys(generated.corpus.base));
  expect(committed.cases.map(outline)).toEqual(generated.corpus.cases.map(outline));
});

test("there are as many cases as promised, each with a name of its own", () => {
  expect(wrong.length).toBeGreaterThanOrEqual(300);
  expect(committed.cases.length - wrong.length).toBeGreaterThanOrEqual(20);
  expect(new Set(committed.cases.map(({ name }) => name)).size).toBe(committed.cases.length);
});

test("whatever is wrong is refused by a check that its author named", () => {
  expect(wrong.filter(({ expects }) => expects.length === 0)).toEqual([]);
});

for (const [kind, checks] of Object.entries({ release: releaseChecks, runtime: runtimeChecks })) {
  test(`every ${kind} check is the expected finder of something`, () => {
    const finders = new Set(wrong.flatMap(({ expects }) => expects.map((one) => one.split(":")[0])));
    expect(checks.map(({ id }) => id).filter((id) => !finders.has(id))).toEqual([]);
  });
}
