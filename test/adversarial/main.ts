import { suiteMain } from "../vm/cli.ts";
import { auditScenarios } from "./audit.ts";
import { bootChainScenarios } from "./boot-chain.ts";
import { commandLineScenarios } from "./command-line.ts";
import { credentialScenarios } from "./credentials.ts";
import { egressScenarios } from "./egress.ts";
import { enforcementScenarios } from "./enforcement.ts";
import { enrolmentScenarios } from "./enrolment.ts";
import { extensionScenarios } from "./extensions.ts";
import { hostileRequestScenarios } from "./hostile-requests.ts";
import { integrityScenarios } from "./integrity.ts";
import { moduleScenarios } from "./modules.ts";
import { quoteScenarios } from "./quotes.ts";
import { requestScenarios } from "./requests.ts";
import { resourceScenarios } from "./resources.ts";
import { serviceScenarios } from "./services.ts";
import { slotScenarios } from "./slots.ts";
import { storageScenarios } from "./storage.ts";
import { tamperScenarios } from "./tamper.ts";

await suiteMain("adversarial", [
  ...requestScenarios,
  ...hostileRequestScenarios,
  ...credentialScenarios,
  ...enforcementScenarios,
  ...resourceScenarios,
  ...enrolmentScenarios,
  ...quoteScenarios,
  ...tamperScenarios,
  ...serviceScenarios,
  ...auditScenarios,
  ...egressScenarios,
  ...commandLineScenarios,
  ...bootChainScenarios,
  ...integrityScenarios,
  ...extensionScenarios,
  ...moduleScenarios,
  ...storageScenarios,
  ...slotScenarios,
]);
