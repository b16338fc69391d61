import {
  type ContainmentAction,
  containmentActions,
  type IncidentClass,
  type Severity,
  severities,
} from "@secai/kit/api/incidents";
import { parseYaml } from "@secai/kit/config";
import { type Sha256, sha256 } from "@secai/kit/digest";
import { RecorderError } from "./errors.ts";
import {
  type ClassRule,
  type ContainmentFile,
  containmentFile,
  type EscalationRule,
  type WebhookEvent,
} from "./policy-schema.ts";

export interface ContainmentPolicy {
  /** SHA-256 of the file's bytes. */
  readonly digest: Sha256;
  readonly classes: Readonly<Record<IncidentClass, ClassRule>>;
  readonly raisedTo: ContainmentFile["raised_to"];
  readonly escalation: Readonly<Partial<Record<IncidentClass, EscalationRule>>>;
  readonly webhooks: ContainmentFile["alerting"]["webhooks"];
}

/** What no policy file may weaken: these incidents mean that the machine itself may no longer be what it was. */
export const floor: Readonly<Partial<Record<IncidentClass, ClassRule>>> = {
  attestation_failure: {
    severity: "critical",
    latched: true,
    actions: ["freeze_agent", "disable_airlock", "force_vault_relock"],
  },
  integrity_violation: {
    severity: "critical",
    latched: true,
    actions: ["freeze_agent", "disable_airlock", "force_vault_relock"],
  },
  unauthorized_access: { severity: "critical", latched: true, actions: ["freeze_agent", "force_vault_relock", "log_alert"] },
  manifest_mismatch: { severity: "high", latched: true, actions: ["quarantine_model", "freeze_agent"] },
};

export const rank = (severity: Severity): number => severities.indexOf(severity);
export const worse = (one: Severity, other: Severity): Severity => (rank(one) >= rank(other) ? one : other);

/** @throws KitError CONFIG_SYNTAX, CONFIG_SCHEMA; RecorderError CONTAINMENT_POLICY */
export function parseContainment(bytes: Uint8Array): ContainmentPolicy {
  const file = parseYaml("incident-containment.yaml", bytes, containmentFile);
  for (const [name, least] of Object.entries(floor)) requireFloor(name, file.classes[name as IncidentClass], least);
  return {
    digest: sha256(bytes),
    classes: file.classes,
    raisedTo: file.raised_to,
    escalation: file.escalation,
    webhooks: file.alerting.webhooks,
  };
}

function requireFloor(name: string, rule: ClassRule, least: ClassRule): void {
  if (rank(rule.severity) < rank(least.severity)) weak(`${name}.severity`, least.severity, rule.severity);
  if (!rule.latched) weak(`${name}.latched`, "true", "false");
  const missing = least.actions.find((action) => !rule.actions.includes(action));
  if (missing !== undefined) weak(`${name}.actions`, missing, rule.actions.join(", "));
}

function weak(where: string, least: string, actual: string): never {
  throw new RecorderError("CONTAINMENT_POLICY", { expected: `classes.${where} with ${least}`, actual });
}

/** The event, if any webhook wants it. */
export function wantedEvents({ webhooks }: ContainmentPolicy, event: WebhookEvent): readonly WebhookEvent[] {
  return webhooks.some(({ events }) => events.length === 0 || events.includes(event)) ? [event] : [];
}

/** What is to be done about an incident: its class's actions, and more once it is worse than its class. In a fixed order. */
export function actionsFor(policy: ContainmentPolicy, name: IncidentClass, severity: Severity): readonly ContainmentAction[] {
  const rule = policy.classes[name];
  const wanted = new Set(rule.actions);
  for (const level of severities.slice(rank(rule.severity) + 1, rank(severity) + 1)) {
    if (level !== "low") for (const action of policy.raisedTo[level]) wanted.add(action);
  }
  return containmentActions.filter((action) => wanted.has(action));
}
