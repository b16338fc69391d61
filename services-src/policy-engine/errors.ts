import { type Catalogue, CodedError, type ErrorDetail } from "@secai/kit/errors";

export const policyErrors = {
  POLICY_RULE: {
    exit: 2,
    meaning: "A rule of a policy file cannot mean what it says.",
    fix: "Correct the rule named in the message.",
  },
  POLICY_RELOAD_FAILED: {
    exit: 2,
    meaning: "The policy files on disk were refused; the policy that was in force still is.",
    fix: "Read the service's log, correct the file, reload again.",
  },
} as const satisfies Catalogue;

export class PolicyError extends CodedError<keyof typeof policyErrors> {
  constructor(code: keyof typeof policyErrors, detail?: ErrorDetail) {
    super(code, policyErrors[code], detail);
  }
}
