import type { VerifyAnswer } from "@secai/kit/api/attestation";
import { expect, test } from "vitest";
import { opens } from "./gate.ts";

const hardware: VerifyAnswer = {
  verified: true,
  policy_satisfied: true,
  state: "attested",
  assurance_mode: "hardware",
  evidence_verified: true,
};
const evaluation: VerifyAnswer = { ...hardware, verified: false, assurance_mode: "evaluation", evidence_verified: false };

test("the gate opens for two answers out of all", () => {
  const both = [true, false];
  const opened: VerifyAnswer[] = [];
  for (const state of ["pending", "attested", "degraded", "failed"] as const)
    for (const assurance_mode of ["hardware", "evaluation"] as const)
      for (const verified of both)
        for (const policy_satisfied of both)
          for (const evidence_verified of both) {
            const answer = { verified, policy_satisfied, state, assurance_mode, evidence_verified };
            if (opens(answer)) opened.push(answer);
          }
  expect(opened).toEqual([hardware, evaluation]);
});
