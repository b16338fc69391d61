import { expect, test } from "vitest";
import { exposureOf, MAX_EXPOSURE, serviceUnits } from "./exposure.ts";

/** Measured; a change in either direction is looked at, and 2.0 is never passed. */
const recorded: Readonly<Record<string, number>> = {
  "secure-ai-credentials.service": 0.7,
  "secure-ai-policy-engine.service": 1.4,
};

test("every service unit has a recorded exposure", () => {
  expect([...serviceUnits()].sort()).toEqual(Object.keys(recorded));
});

for (const [unit, figure] of Object.entries(recorded)) {
  test(`${unit} is exposed ${figure}`, () => {
    expect(exposureOf(unit)).toBe(figure);
    expect(figure).toBeLessThanOrEqual(MAX_EXPOSURE);
  });
}
