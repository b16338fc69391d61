import { expect, test } from "vitest";
import { exposureOf, MAX_EXPOSURE, serviceUnits } from "./exposure.ts";

/** Measured; a change in either direction is looked at, and what is allowed is never passed. */
const recorded: Readonly<Record<string, number>> = {
  "secure-ai-credentials.service": 0.7,
  // Opens devices and mounts what lies over /usr, before anything else of ours; it listens to nobody and reads nothing that can be written.
  "secure-ai-extensions.service": 3.6,
  "secure-ai-policy-engine.service": 1.4,
};

test("every service unit has a recorded exposure", () => {
  expect([...serviceUnits()].sort()).toEqual(Object.keys(recorded));
});

/** The one unit that has to be root with CAP_SYS_ADMIN, and how far it may go. */
const MOUNTS = "secure-ai-extensions.service";
const MAX_EXPOSURE_OF_MOUNTS = 4.0;

for (const [unit, figure] of Object.entries(recorded)) {
  test(`${unit} is exposed ${figure}`, () => {
    expect(exposureOf(unit)).toBe(figure);
    expect(figure).toBeLessThanOrEqual(unit === MOUNTS ? MAX_EXPOSURE_OF_MOUNTS : MAX_EXPOSURE);
  });
}
