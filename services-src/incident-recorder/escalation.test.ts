import { strict as assert } from "node:assert";
import { test } from "vitest";
import { createWindows, seenBefore } from "./escalation.ts";
import { apply, intakeParts, policy, startMs, take } from "./example.test-data.ts";
import { createState, type State } from "./state.ts";

const name = "prompt_injection";
const rule = policy.escalation[name];

/** What the next report asks for, after a restart at this wall time. */
function nextAfterRestart(state: State, wallMs: number): string | undefined {
  const clock = { nowMs: () => wallMs, monotonicMs: () => 5 };
  return createWindows(seenBefore(state, policy.escalation, clock)).add(name, rule, 5);
}

const before: readonly {
  readonly name: string;
  readonly prepare: (state: State) => void;
  readonly laterMs: number;
  readonly asks: string | undefined;
}[] = [
  { name: "nothing", prepare: () => {}, laterMs: 1000, asks: undefined },
  { name: "one report", prepare: (state) => reports(state, ["a"]), laterMs: 1000, asks: undefined },
  {
    name: "two reports too long ago",
    prepare: (state) => reports(state, ["a", "b"]),
    laterMs: 300_001,
    asks: undefined,
  },
  {
    name: "reports of another class",
    prepare: (state) => reports(state, ["a", "b"], "policy_bypass_attempt"),
    laterMs: 1000,
    asks: undefined,
  },
  { name: "two reports", prepare: (state) => reports(state, ["a", "b"]), laterMs: 1000, asks: "critical" },
  {
    name: "one incident reported twice",
    prepare: (state) => reports(state, ["a", "a"]),
    laterMs: 1000,
    asks: "critical",
  },
  {
    name: "two reports, one of them resolved since",
    prepare: (state) => {
      reports(state, ["a", "b"]);
      const [id = ""] = state.incidents.keys();
      apply(state, id, { incident: { state: "resolved" } });
    },
    laterMs: 1000,
    asks: "critical",
  },
  {
    name: "two reports, and the clock set back a day",
    prepare: (state) => reports(state, ["a", "b"]),
    laterMs: -86_400_000,
    asks: "critical",
  },
];

function reports(state: State, descriptions: readonly string[], of: "prompt_injection" | "policy_bypass_attempt" = name): void {
  for (const description of descriptions) take(state, intakeParts(), { class: of, source: "agent", description });
}

for (const { name: what, prepare, laterMs, asks } of before) {
  test(`after a restart, ${what} before and one more ask for ${asks ?? "nothing"}`, () => {
    const state = createState();
    prepare(state);
    assert.equal(nextAfterRestart(state, startMs + laterMs), asks);
  });
}
