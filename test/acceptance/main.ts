import { suiteMain } from "../vm/cli.ts";
import { attestationScenarios } from "./attestation.ts";
import { bootScenarios } from "./boot.ts";
import { containerScenarios } from "./container.ts";
import { hardeningScenarios } from "./hardening.ts";
import { networkScenarios } from "./network.ts";
import { policyEngineScenarios } from "./policy-engine.ts";
import { restartScenarios } from "./restart.ts";
import { storageScenarios } from "./storage.ts";

await suiteMain("acceptance", [
  ...bootScenarios,
  ...attestationScenarios,
  ...storageScenarios,
  ...networkScenarios,
  ...hardeningScenarios,
  ...policyEngineScenarios,
  ...restartScenarios,
  ...containerScenarios,
]);
