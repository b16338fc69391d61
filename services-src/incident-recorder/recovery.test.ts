import { strict as assert } from "node:assert";
import { requirementShape } from "@secai/kit/api/incidents";
import { test } from "vitest";
import { apply, intakeParts, take } from "./example.test-data.ts";
import { type Attempt, jobOf, pendingActions, withAttempt, withSettledState } from "./progress.ts";
import {
  acknowledgeRecovery,
  attestRecovery,
  bindingOf,
  isRecovered,
  needsOf,
  requirementOf,
  withGateOpen,
  withReleased,
} from "./recovery.ts";
import { createState, type State, type Stored } from "./state.ts";

const now = "2026-01-01T00:00:01.000Z";
const done: Attempt = { success: true, reached: true, final: true };
const absent = { success: false, error: "TARGET_ABSENT: no socket", reached: false, final: false };
const evidence = { assurance: "evaluation", evidence: "e".repeat(64) } as const;

function contained(state: State, report: Parameters<typeof take>[2] = {}, end = done): Stored {
  let { stored } = take(state, intakeParts(), report);
  for (const action of stored.incident.containment_actions)
    stored = apply(state, stored.incident.id, withAttempt(stored, action, end, 1, now));
  return apply(state, stored.incident.id, withSettledState(stored));
}

test("nothing can be recovered before containment has come to a result", () => {
  const state = createState();
  const { stored } = take(state, intakeParts(), {});
  assert.throws(() => acknowledgeRecovery(stored, "Ada", now), { code: "RECOVERY_BUSY" });
  assert.throws(() => attestRecovery(stored, bindingOf(stored.incident), evidence, now), { code: "RECOVERY_BUSY" });
});

test("an acknowledgement alone opens nothing of a latched incident; both do, in either order", () => {
  for (const order of [
    ["ack", "attest"],
    ["attest", "ack"],
  ]) {
    const state = createState();
    let stored = contained(state);
    for (const [index, step] of order.entries()) {
      assert.deepEqual([isRecovered(stored), stored.recovery?.releasing ?? false, jobOf(stored)], [false, false, undefined]);
      const change =
        step === "ack"
          ? acknowledgeRecovery(stored, "Ada", now)
          : attestRecovery(stored, bindingOf(stored.incident), evidence, now);
      stored = apply(state, stored.incident.id, change);
      assert.equal(jobOf(stored), index === 1 ? "release" : undefined);
    }
    assert.deepEqual(requirementOf(stored).held_targets, ["agent", "airlock", "vault"]);
    assert.deepEqual(withGateOpen(stored, now), {});
    for (const target of ["agent", "airlock", "vault"] as const)
      stored = apply(state, stored.incident.id, withReleased(stored, target));
    stored = apply(state, stored.incident.id, withGateOpen(stored, now));
    assert.deepEqual([isRecovered(stored), jobOf(stored), stored.reached], [true, undefined, []]);
    assert.ok(requirementShape.is(requirementOf(stored)));
  }
});

test("evidence of before another containment is void, and so is the acknowledgement", () => {
  const state = createState();
  let stored = contained(state, { class: "tool_call_burst", source: "agent" });
  const binding = bindingOf(stored.incident);
  stored = apply(state, stored.incident.id, {
    recovery: { binding, acked_at: now, acked_by: "Ada", releasing: false, released: [] },
  });
  assert.equal(requirementOf(stored).acked_by, "Ada");
  const raised = take(state, intakeParts(), { class: "tool_call_burst", source: "agent", severity: "critical" }).stored;
  assert.equal(requirementOf(raised).acked_by, undefined);
  let settled = raised;
  for (const action of pendingActions(raised.incident))
    settled = apply(state, raised.incident.id, withAttempt(settled, action, done, 1, now));
  settled = apply(state, raised.incident.id, withSettledState(settled));
  assert.throws(() => attestRecovery(settled, binding, evidence, now), { code: "RECOVERY_REFUSED" });
});

test("a medium incident asks a person, not the machine", () => {
  const state = createState();
  const stored = contained(state, { class: "tool_call_burst", source: "agent" });
  assert.deepEqual(needsOf(stored), { ack: true, reattest: false });
  assert.throws(() => attestRecovery(stored, bindingOf(stored.incident), evidence, now), { code: "RECOVERY_UNNEEDED" });
  assert.equal(jobOf(apply(state, stored.incident.id, acknowledgeRecovery(stored, "Ada", now))), "release");
});

test("what was never closed need not be opened: an absent target does not hold up a recovery", () => {
  const state = createState();
  let stored = contained(state, {}, absent);
  assert.deepEqual([stored.incident.state, requirementOf(stored).held_targets], ["containment_failed", []]);
  stored = apply(state, stored.incident.id, acknowledgeRecovery(stored, "Ada", now));
  stored = apply(state, stored.incident.id, attestRecovery(stored, bindingOf(stored.incident), evidence, now));
  stored = apply(state, stored.incident.id, withGateOpen(stored, now));
  assert.ok(isRecovered(stored));
});

test("an action that failed after it may have closed something is held until it is released", () => {
  const state = createState();
  const stored = contained(state, {}, { ...absent, error: "TARGET_ANSWER: too late", reached: true });
  assert.deepEqual(requirementOf(stored).held_targets, ["agent", "airlock", "vault"]);
});

test("vain attempts are written down at each doubling and change no binding", () => {
  const state = createState();
  let stored = contained(state, {}, absent);
  const binding = bindingOf(stored.incident);
  const written = Array.from({ length: 32 }, (_, index) => index + 2).filter((attempts) => {
    const change = withAttempt(stored, "freeze_agent", absent, attempts, "2026-01-01T01:00:00.000Z");
    stored = apply(state, stored.incident.id, change);
    return Object.keys(change).length > 0;
  });
  assert.deepEqual(written, [2, 4, 8, 16, 32]);
  assert.equal(bindingOf(stored.incident), binding);
});

test("a model that nobody named is said so once and not tried again", () => {
  const state = createState();
  let { stored } = take(state, intakeParts(), { class: "manifest_mismatch" });
  const unknown = { success: false, error: "MODEL_UNKNOWN: neither", reached: false, final: true };
  stored = apply(state, stored.incident.id, withAttempt(stored, "quarantine_model", unknown, 1, now));
  stored = apply(state, stored.incident.id, withAttempt(stored, "freeze_agent", done, 1, now));
  stored = apply(state, stored.incident.id, withSettledState(stored));
  assert.deepEqual(
    [stored.incident.state, pendingActions(stored.incident), jobOf(stored)],
    ["containment_failed", [], undefined],
  );
});
