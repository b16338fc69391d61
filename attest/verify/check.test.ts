import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import {
  about,
  type Check,
  type CheckOutcome,
  type CheckResult,
  fail,
  notPresent,
  pass,
  runChecks,
  undecided,
  verdictOf,
} from "./check.ts";
import { buildReport, exitStatusOf } from "./report.ts";
import { labelOf, printable, reportText } from "./report-text.ts";

const results = { pass, fail: fail("X", "a", "b"), undecided: undecided("X", "y"), not_present: notPresent("z") } as const;
const outcome = (id: string, result: CheckResult): CheckOutcome => ({ id, title: "a check", ...result });

const verdicts: readonly {
  readonly name: string;
  readonly outcomes: readonly CheckOutcome[];
  readonly required: readonly string[];
  readonly verdict: string;
}[] = [
  { name: "nothing asked", outcomes: [], required: [], verdict: "undecided" },
  { name: "nothing ran", outcomes: [], required: ["a"], verdict: "undecided" },
  { name: "passes that nobody requires", outcomes: [outcome("a", pass)], required: [], verdict: "undecided" },
  { name: "a required check did not run", outcomes: [outcome("a", pass)], required: ["a", "b"], verdict: "undecided" },
  {
    name: "a required check found nothing to look at",
    outcomes: [outcome("a", results.not_present)],
    required: ["a"],
    verdict: "undecided",
  },
  {
    name: "one undecided among passes",
    outcomes: [outcome("a", pass), outcome("b", results.undecided)],
    required: ["a"],
    verdict: "undecided",
  },
  {
    name: "one failure among passes",
    outcomes: [outcome("a", pass), outcome("b", results.fail)],
    required: ["a"],
    verdict: "rejected",
  },
  {
    name: "a failure and something undecided",
    outcomes: [outcome("a", results.fail), outcome("b", results.undecided)],
    required: ["a"],
    verdict: "rejected",
  },
  {
    name: "a legal absence beside a pass",
    outcomes: [outcome("a", pass), outcome("a", results.not_present)],
    required: ["a"],
    verdict: "accepted",
  },
  { name: "all passed", outcomes: [outcome("a", pass), outcome("b", pass)], required: ["a", "b"], verdict: "accepted" },
];
for (const { name, outcomes, required, verdict } of verdicts) {
  test(`${name}: ${verdict}`, () => assert.equal(verdictOf(outcomes, required), verdict));
}

test("taking a pass away, or adding anything but a pass, never turns a refusal into acceptance", () => {
  const status = fc.constantFrom(...(["pass", "fail", "undecided", "not_present"] as const));
  const some = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), status), { maxLength: 6 });
  fc.assert(
    fc.property(some, some, (first, more) => {
      const outcomes = first.map(([id, name]) => outcome(id, results[name]));
      const added = more.filter(([, name]) => name !== "pass").map(([id, name]) => outcome(id, results[name]));
      if (verdictOf(outcomes, ["a", "b"]) === "accepted") return;
      assert.notEqual(verdictOf([...outcomes, ...added], ["a", "b"]), "accepted");
      const firstPass = outcomes.findIndex((one) => one.status === "pass");
      const fewer = outcomes.filter((_, index) => index !== firstPass);
      assert.notEqual(verdictOf(fewer, ["a", "b"]), "accepted");
    }),
  );
});

const check = (id: string, run: Check<string, number>["run"]): Check<string, number> => ({ id, title: id, run });

test("checks see evidence and policy; several subjects give several outcomes; an exception goes up", () => {
  const one = check("one", (evidence, policy) => (evidence.length === policy ? pass : fail("LENGTH", `${policy}`, evidence)));
  const many = check("many", () => [about("x", pass), about("y", results.undecided)]);
  assert.deepEqual(runChecks([one, many], "ab", 2).map(labelOf), ["one", "many:x", "many:y"]);
  const broken = check("broken", () => {
    throw new TypeError("our bug");
  });
  assert.throws(() => runChecks([broken], "", 0), TypeError);
});

const report = (outcomes: readonly CheckOutcome[]) =>
  buildReport({ kind: "release", target: "dir", trust: ["key x"], claims: { designation: "dev" }, required: ["a"], outcomes });

test("exit statuses follow the verdict", () => {
  assert.equal(exitStatusOf(report([outcome("a", pass)])), 0);
  assert.equal(exitStatusOf(report([outcome("a", results.fail)])), 1);
  assert.equal(exitStatusOf(report([])), 3);
});

test("the text names what did not pass, shows the designation, and ends with the verdict", () => {
  const text = reportText(report([outcome("a", pass), { ...outcome("b", results.fail), subject: "file" }]), {
    colour: false,
    verbose: false,
  });
  assert.match(text, /^ {2}designation {2}dev$/m);
  assert.match(text, /^FAIL b:file +X: expected a, got b$/m);
  assert.match(text, /\nREJECTED dir \(1 passed, 1 failed, 0 undecided, 0 not present\)\n$/);
  assert.equal(text.includes("\u001b"), false);
  assert.ok(reportText(report([]), { colour: true, verbose: false }).includes("\u001b[33mUNDECIDED"));
});

for (const char of ["\u001b", "\n", "\r", "\u202e", "\u2028", "\u0085", "\ud800"]) {
  test(`a name with U+${(char.codePointAt(0) ?? 0).toString(16)} cannot write to the terminal`, () => {
    const text = reportText(report([{ ...outcome("b", results.fail), subject: `x${char}y` }]), { colour: false, verbose: true });
    assert.equal(text.includes(`x${char}y`), false);
    assert.equal(printable(`x${char}`).startsWith("x\\u{"), true);
  });
}
