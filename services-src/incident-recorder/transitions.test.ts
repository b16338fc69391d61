import { strict as assert } from "node:assert";
import { type IncidentState, incidentStates } from "@secai/kit/api/incidents";
import { test } from "vitest";
import { happenings, isUnresolved, nextState } from "./transitions.ts";

const refused = "INCIDENT_TRANSITION";
/** Every pair, said out loud. */
const expected: Readonly<Record<IncidentState, readonly string[]>> = {
  //                   contained    containment_failed    reopened resolved    acknowledged
  open: ["contained", "containment_failed", "open", "resolved", refused],
  contained: [refused, refused, "open", "resolved", refused],
  containment_failed: ["contained", "containment_failed", "open", "resolved", refused],
  resolved: [refused, refused, refused, refused, "acknowledged"],
  acknowledged: [refused, refused, refused, refused, refused],
};

for (const state of incidentStates) {
  for (const [index, happening] of happenings.entries()) {
    const next = expected[state][index] ?? "";
    test(`${state} and ${happening}: ${next}`, () => {
      if (next === refused) assert.throws(() => nextState(state, happening), { code: refused });
      else assert.equal(nextState(state, happening), next);
    });
  }
}

test("only what is resolved may ever be given up", () => {
  assert.deepEqual(incidentStates.filter(isUnresolved), ["open", "contained", "containment_failed"]);
});
