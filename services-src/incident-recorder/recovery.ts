import type { ContainmentAction, Incident, Requirement } from "@secai/kit/api/incidents";
import { canonicalJson, sha256 } from "@secai/kit/digest";
import { RecorderError } from "./errors.ts";
import type { Change, Recovery, Stored, Target } from "./state.ts";
import { isUnresolved } from "./transitions.ts";

const targetOf: Readonly<Record<ContainmentAction, Target | undefined>> = {
  freeze_agent: "agent",
  disable_airlock: "airlock",
  quarantine_model: "registry",
  force_vault_relock: "vault",
  log_alert: undefined,
};

/** What may still be closed because of the incident. */
export function heldTargets({ reached, recovery }: Stored): readonly Target[] {
  const targets = reached.flatMap((action) => targetOf[action] ?? []);
  return targets.filter((target) => recovery?.releasing !== true || !recovery.released.includes(target));
}

/**
 * SHA-256 of the RFC 8785 form of what is recovered from. Of each result only what it came to and since when: another vain attempt changes
 * nothing that a person has acknowledged.
 */
export function bindingOf(incident: Incident): string {
  const { id, class: name, severity, containment_actions, containment_results } = incident;
  const results = containment_results.map(({ action, success, completed_at }) => ({ action, success, completed_at }));
  return sha256(
    canonicalJson({ incident_id: id, incident_class: name, severity, containment_actions, containment_results: results }),
  );
}

/** The ceremony as far as it is valid: of another binding nothing counts. */
export function validRecovery({ incident, recovery }: Stored): Recovery | undefined {
  return recovery?.binding === bindingOf(incident) ? recovery : undefined;
}

/** A person answers for everything that closed something; the machine must prove itself where it was in doubt itself. */
export function needsOf({ incident, reached }: Stored): { readonly ack: boolean; readonly reattest: boolean } {
  const reattest = incident.severity === "critical" || incident.latched;
  const closes = incident.containment_actions.some((action) => targetOf[action] !== undefined);
  return { ack: reattest || closes || reached.length > 0, reattest };
}

export function isRecovered(stored: Stored): boolean {
  return !needsOf(stored).ack || validRecovery(stored)?.released_at !== undefined;
}

export function requirementOf(stored: Stored): Requirement {
  const { incident } = stored;
  const { ack, reattest } = needsOf(stored);
  const { acked_at, acked_by, re_attested_at, assurance, attestation_evidence, released_at } = validRecovery(stored) ?? {};
  const complete = isRecovered(stored);
  return {
    incident_id: incident.id,
    incident_class: incident.class,
    severity: incident.severity,
    required_after:
      [incident.created_at, ...incident.containment_results.map(({ completed_at }) => completed_at)].sort().at(-1) ?? "",
    containment_actions: incident.containment_actions,
    containment_results: incident.containment_results,
    containment_binding: bindingOf(incident),
    containment_latch_active: !complete,
    require_ack: ack,
    require_reattest: reattest,
    ...(acked_at === undefined ? {} : { acked_at }),
    ...(acked_by === undefined ? {} : { acked_by }),
    ...(re_attested_at === undefined ? {} : { re_attested_at }),
    ...(assurance === undefined ? {} : { assurance }),
    ...(attestation_evidence === undefined ? {} : { attestation_evidence }),
    held_targets: [...heldTargets(stored)],
    ...(released_at === undefined ? {} : { recovery_gate_released_at: released_at }),
    recovery_complete: complete,
  };
}

/** @throws RecorderError RECOVERY_UNNEEDED, RECOVERY_BUSY */
export function acknowledgeRecovery(stored: Stored, operator: string, now: string): Change {
  requireStep(stored, needsOf(stored).ack);
  const recovery = begun(stored);
  if (recovery.releasing) return {};
  return { recovery: advanced(stored, { ...recovery, acked_at: now, acked_by: operator }) };
}

export interface AcceptedState {
  readonly assurance: "hardware" | "evaluation";
  /** SHA-256 of the signed state's RFC 8785 form. */
  readonly evidence: string;
}

/**
 * `binding` is what the incident's was when the nonce was made: evidence from before the last containment proves nothing about it.
 * @throws RecorderError RECOVERY_UNNEEDED, RECOVERY_BUSY, RECOVERY_REFUSED
 */
export function attestRecovery(stored: Stored, binding: string, { assurance, evidence }: AcceptedState, now: string): Change {
  requireStep(stored, needsOf(stored).reattest);
  const recovery = begun(stored);
  if (recovery.binding !== binding)
    throw new RecorderError("RECOVERY_REFUSED", {
      expected: "the incident as it was when the attestation began",
      actual: "another state",
    });
  if (recovery.releasing) return {};
  return { recovery: advanced(stored, { ...recovery, re_attested_at: now, assurance, attestation_evidence: evidence }) };
}

/** @throws RecorderError RECOVERY_UNNEEDED, RECOVERY_BUSY */
export function requireStep({ incident }: Stored, isNeeded: boolean): void {
  if (!isUnresolved(incident.state) || !isNeeded)
    throw new RecorderError("RECOVERY_UNNEEDED", { expected: "an incident that asks for it", actual: incident.state });
  const unfinished = incident.containment_actions.filter(
    (action) => !incident.containment_results.some((result) => result.action === action),
  );
  if (unfinished.length > 0 || (incident.state === "open" && incident.containment_actions.length > 0))
    throw new RecorderError("RECOVERY_BUSY", {
      expected: "a result of every action",
      actual: `none of ${unfinished.join(", ")}`,
    });
}

function begun(stored: Stored): Recovery {
  return validRecovery(stored) ?? { binding: bindingOf(stored.incident), releasing: false, released: [] };
}

/** Once everything that was asked for is there, the targets are opened. */
function advanced(stored: Stored, recovery: Recovery): Recovery {
  const isDone = recovery.acked_at !== undefined && (!needsOf(stored).reattest || recovery.re_attested_at !== undefined);
  return { ...recovery, releasing: isDone };
}

/** Another target is open. */
export function withReleased(stored: Stored, target: Target): Change {
  const recovery = validRecovery(stored);
  if (recovery?.releasing !== true || recovery.released.includes(target)) return {};
  return { recovery: { ...recovery, released: [...recovery.released, target] } };
}

/** All are open: the incident may be resolved. */
export function withGateOpen(stored: Stored, now: string): Change {
  const recovery = validRecovery(stored);
  if (recovery?.releasing !== true || recovery.released_at !== undefined || heldTargets(stored).length > 0) return {};
  return { recovery: { ...recovery, released_at: now }, reached: [] };
}
