import { expect, test } from "vitest";
import { exposureOf, MAX_EXPOSURE, serviceUnits } from "./exposure.ts";

/** Measured; a change in either direction is looked at, and what is allowed is never passed. */
const recorded: Readonly<Record<string, number>> = {
  "secure-ai-attestation-gate.service": 1.1,
  "secure-ai-credentials.service": 0.7,
  // Opens devices and mounts what lies over /usr, before anything else of ours; it listens to nobody and reads nothing that can be written.
  "secure-ai-extensions.service": 3.6,
  // Looks at device nodes and below /sys.
  "secure-ai-gpu-integrity-watch.service": 1.8,
  "secure-ai-incident-recorder.service": 1.4,
  "secure-ai-integrity-monitor.service": 2.2,
  "secure-ai-policy-engine.service": 1.4,
  // The TPM, and the measurement log that is root's.
  "secure-ai-runtime-attestor.service": 2.0,
  "secure-ai-vault-broker.service": 4.0,
};

test("every service unit has a recorded exposure", () => {
  expect([...serviceUnits()].sort()).toEqual(Object.keys(recorded));
});

/** Units that cannot do with less: root with CAP_SYS_ADMIN in the machine's own mount namespace, because they mount or unmount for all. */
const MAX_EXPOSURE_OF: Readonly<Record<string, number>> = {
  "secure-ai-extensions.service": 4.0,
  "secure-ai-vault-broker.service": 4.5,
  // Not root, but sees every process and asks the kernel for the firewall's rules.
  "secure-ai-integrity-monitor.service": 2.4,
};

for (const [unit, figure] of Object.entries(recorded)) {
  test(`${unit} is exposed ${figure}`, () => {
    expect(exposureOf(unit)).toBe(figure);
    expect(figure).toBeLessThanOrEqual(MAX_EXPOSURE_OF[unit] ?? MAX_EXPOSURE);
  });
}
