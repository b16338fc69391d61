import { suiteMain } from "../vm/cli.ts";
import { attestationScenarios } from "./attestation.ts";
import { bootScenarios } from "./boot.ts";
import { containerScenarios } from "./container.ts";
import { detectionScenarios } from "./detection.ts";
import { enforcementScenarios } from "./enforcement.ts";
import { extensionScenarios } from "./extensions.ts";
import { gpuScenarios } from "./gpu.ts";
import { hardeningScenarios } from "./hardening.ts";
import { kernelModuleScenarios } from "./kernel-modules.ts";
import { networkScenarios } from "./network.ts";
import { policyEngineScenarios } from "./policy-engine.ts";
import { restartScenarios } from "./restart.ts";
import { storageScenarios } from "./storage.ts";
import { storyScenarios } from "./story.ts";
import { updateScenarios } from "./update.ts";

await suiteMain("acceptance", [
  ...bootScenarios,
  ...attestationScenarios,
  ...storageScenarios,
  ...networkScenarios,
  ...hardeningScenarios,
  ...extensionScenarios,
  ...kernelModuleScenarios,
  ...gpuScenarios,
  ...policyEngineScenarios,
  ...enforcementScenarios,
  ...updateScenarios,
  ...detectionScenarios,
  ...storyScenarios,
  ...restartScenarios,
  ...containerScenarios,
]);
