import { strict as assert } from "node:assert";
import { test } from "vitest";
import { apply, intakeParts, take } from "./example.test-data.ts";
import { listBytes, listIncidents } from "./listing.ts";
import { createState } from "./state.ts";

test("an empty list is one", () => assert.equal(Buffer.from(listBytes([])).toString(), "[]"));

test("worst first, then newest first, whatever the clock said; and the bytes are the list's as it is now", () => {
  const state = createState();
  const parts = intakeParts();
  const made = (["low", "critical", "low", "critical"] as const).map((severity, index) => {
    const report = { class: "tool_call_burst", source: "agent", severity, description: `é ${index}` } as const;
    return take(state, { ...parts, nowMs: parts.nowMs - index * 1000, monotonicMs: index * 1e6 }, report).stored.incident.id;
  });
  const list = listIncidents(state, {});
  assert.deepEqual(
    list.map(({ id }) => id),
    [made[3], made[1], made[2], made[0]],
  );
  assert.deepEqual(JSON.parse(Buffer.from(listBytes(list)).toString()), list);
  apply(state, made[0] ?? "", { incident: { state: "resolved" } });
  const later = listIncidents(state, { class: "tool_call_burst" });
  assert.deepEqual(JSON.parse(Buffer.from(listBytes(later)).toString()), later);
  assert.deepEqual(
    listIncidents(state, { state: "resolved" }).map(({ id }) => id),
    [made[0]],
  );
  assert.deepEqual(
    listIncidents(state, { severity: "critical", limit: 1 }).map(({ id }) => id),
    [made[3]],
  );
});
