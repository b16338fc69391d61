import { strict as assert } from "node:assert";
import { incidentClasses, incidentShape } from "@secai/kit/api/incidents";
import fc from "fast-check";
import { test } from "vitest";
import { apply, intakeParts, startMs, take } from "./example.test-data.ts";
import { createState } from "./state.ts";

const small = { incidents: 12, unresolvedOfOne: 4, evidenceOfOne: 2000 };

test("a repetition is counted, whatever its evidence, and is none of another source or class", () => {
  const state = createState();
  const parts = intakeParts();
  assert.equal(take(state, parts, {}).outcome, "created");
  const again = take(state, parts, { evidence: { a: 1 } });
  assert.deepEqual([again.outcome, again.stored.incident.count, again.wake], ["counted", 2, false]);
  assert.equal(take(state, parts, { source: "canary-tripwire" }).outcome, "created");
  assert.equal(take(state, parts, { class: "manifest_mismatch" }).outcome, "created");
  assert.equal(take(state, parts, { fingerprint: "a".repeat(64) }).outcome, "created");
  assert.equal(take(state, parts, { fingerprint: "a".repeat(64), description: "other words" }).outcome, "counted");
});

test("a report on a resolved incident opens a new one", () => {
  const state = createState();
  const { stored } = take(state, intakeParts(), {});
  apply(state, stored.incident.id, { incident: { state: "resolved" } });
  const next = take(state, intakeParts(), {});
  assert.equal(next.outcome, "created");
  assert.notEqual(next.stored.incident.id, stored.incident.id);
});

test("the same key is the same report, also when nothing else is", () => {
  const state = createState();
  const parts = intakeParts();
  const key = "k".repeat(20);
  const first = take(state, parts, { idempotency_key: key });
  const again = take(state, parts, { idempotency_key: key, description: "other words" });
  assert.deepEqual(
    [again.outcome, again.stored.incident.id, again.stored.incident.count],
    ["repeated", first.stored.incident.id, 1],
  );
  assert.equal(take(state, parts, { idempotency_key: key, source: "canary-tripwire" }).outcome, "created");
});

test("severity is only ever raised", () => {
  const state = createState();
  const parts = intakeParts();
  const report = { class: "tool_call_burst", source: "agent" } as const;
  assert.equal(take(state, parts, { ...report, severity: "low" }).stored.incident.severity, "medium");
  const raised = take(state, parts, { ...report, severity: "critical" });
  assert.deepEqual(
    [raised.stored.incident.severity, raised.stored.incident.containment_actions, raised.wake],
    ["critical", ["freeze_agent", "disable_airlock", "log_alert"], true],
  );
  assert.equal(take(state, parts, { ...report, severity: "low" }).stored.incident.severity, "critical");
});

const escalations = [
  { class: "prompt_injection", source: "agent", reports: 3, seconds: 300, to: "critical" },
  { class: "tool_call_burst", source: "agent", reports: 5, seconds: 60, to: "high" },
  { class: "policy_bypass_attempt", source: "agent", reports: 2, seconds: 600, to: "critical" },
  { class: "forbidden_airlock_request", source: "airlock", reports: 5, seconds: 300, to: "high" },
  { class: "model_behavior_anomaly", source: "gpu-integrity-watch", reports: 3, seconds: 900, to: "critical" },
] as const;
for (const { class: name, source, reports, seconds, to } of escalations) {
  test(`${reports} reports of ${name} within ${seconds} s are ${to}, also when the clock is set back`, () => {
    const state = createState();
    const parts = intakeParts();
    const severity = (index: number, monotonicMs: number): string =>
      take(
        state,
        { ...parts, monotonicMs, nowMs: startMs - index * 86_400_000 },
        { class: name, source, description: `${index}` },
      ).stored.incident.severity;
    for (let index = 1; index < reports; index += 1) assert.notEqual(severity(index, index), to);
    assert.equal(severity(reports, reports), to);
    assert.notEqual(severity(99, reports + seconds * 1000 * 2), to);
  });
}

test("a report after a recovery closes everything again", () => {
  const state = createState();
  const parts = intakeParts();
  const { stored } = take(state, parts, {});
  apply(state, stored.incident.id, {
    incident: {
      state: "contained",
      containment_results: [{ action: "freeze_agent", success: true, attempts: 1, completed_at: "2026-01-01T00:00:00Z" }],
    },
    recovery: { binding: "a", releasing: true, released: ["agent"], released_at: "2026-01-01T00:00:00Z" },
  });
  const again = take(state, parts, {});
  assert.deepEqual([again.outcome, again.wake, again.reopened, again.stored.incident.state], ["counted", true, true, "open"]);
  assert.deepEqual([again.stored.incident.containment_results, again.stored.recovery], [[], undefined]);
});

test("a reporter over its share is only counted, once a key, and others are not touched", () => {
  const state = createState();
  const parts = intakeParts({ limits: small });
  for (const description of ["a", "b", "c", "d"]) assert.equal(take(state, parts, { description }).outcome, "created");
  const key = "k".repeat(20);
  for (const _ of [1, 2, 3]) assert.equal(take(state, parts, { description: "e", idempotency_key: key }).outcome, "overflowed");
  const { stored } = take(state, parts, { description: "f" });
  assert.deepEqual([stored.overflow, stored.incident.count, stored.incident.latched], [true, 2, true]);
  assert.equal(take(state, parts, { description: "a" }).outcome, "counted");
  assert.equal(take(state, parts, { source: "canary-tripwire" }).outcome, "created");
  const [oldest = ""] = state.incidents.keys();
  apply(state, oldest, { incident: { state: "resolved" } });
  assert.equal(take(state, parts, { description: "e", idempotency_key: key }).outcome, "created");
});

test("evidence beyond the share is left out and says so; what containment needs stays", () => {
  const state = createState();
  const parts = intakeParts({ limits: small });
  const { stored } = take(state, parts, { evidence: { text: "x".repeat(3000), model_path: "/m.gguf", model_name: "m" } });
  const { evidence_left_out, evidence_bytes, model_path, model_name, text } = stored.incident.evidence;
  assert.deepEqual([evidence_left_out, model_path, model_name, text], [true, "/m.gguf", "m", undefined]);
  assert.ok(Number(evidence_bytes) > 3000);
});

test("whatever is reported and resolved: bounded, valid, and nothing unresolved is ever given up", () => {
  const step = fc.record({
    name: fc.constantFrom(...incidentClasses),
    source: fc.constantFrom("agent", "airlock"),
    description: fc.constantFrom(..."abcdefghijklmnop"),
    bytes: fc.nat(900),
    resolve: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const state = createState();
      const most = { incidents: 40, unresolvedOfOne: 6, evidenceOfOne: 3000 };
      const parts = intakeParts({ limits: most });
      const unresolved = new Set<string>();
      for (const { name, source, description, bytes, resolve } of steps) {
        const { stored } = take(state, parts, { class: name, source, description, evidence: { text: "x".repeat(bytes) } });
        assert.ok(incidentShape.is(stored.incident));
        unresolved.add(stored.incident.id);
        if (resolve && !stored.overflow) {
          apply(state, stored.incident.id, { incident: { state: "resolved" } });
          unresolved.delete(stored.incident.id);
        }
        for (const id of unresolved) assert.ok(state.incidents.has(id));
        assert.ok(state.incidents.size <= most.incidents);
        for (const each of ["agent", "airlock"]) assert.ok(state.usage(each).evidenceBytes <= most.evidenceOfOne + 6 * 200);
      }
    }),
    { numRuns: 60 },
  );
});
