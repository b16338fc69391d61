import type { ReleaseRequest } from "@secai/kit/api/containment";
import { containmentAnswer } from "@secai/kit/api/containment";
import { type Incident, incidentShape, type Requirement, recoveryStatus, requirementShape } from "@secai/kit/api/incidents";
import { ask } from "@secai/kit/client";
import type { Static } from "@sinclair/typebox";
import { type Command, type Exit, type Invocation, isOnlyShown } from "../command.ts";
import { CliError } from "../errors.ts";
import { cell } from "../output.ts";
import { integrityStatus } from "../wire.ts";
import { requireId } from "./incidents.ts";

const REATTEST_LIMIT_MS = 60_000;
/** How long is waited for everything to open again: the vault's broker, four targets, each asked again until it answers. */
const RELEASE_WAITS = 30;
const RELEASE_WAIT_MS = 1_000;

async function run(invocation: Invocation): Promise<Exit> {
  const [first = "list", ...rest] = invocation.words;
  if (rest.length > 0) throw new CliError("CLI_USAGE", { expected: "one incident", actual: rest.join(" ") });
  return first === "list" ? list(invocation) : recover(invocation, requireId(first));
}

async function pending({ machine }: Invocation): Promise<readonly Requirement[]> {
  const peer = await machine.peer("incident-recorder", "recovery-admin");
  const options = { response: recoveryStatus, maxAnswerBytes: 64 << 20, timeoutMs: 10_000 } as const;
  return (await ask(peer, { method: "GET", path: "/api/v1/recovery/status", ...options })).pending_recoveries;
}

async function list(invocation: Invocation): Promise<Exit> {
  const requirements = await pending(invocation);
  const { out } = invocation;
  if (requirements.length === 0) out.line("nothing waits for a recovery");
  else
    out.table(
      ["INCIDENT", "CLASS", "SEVERITY", "ACKNOWLEDGED", "RE-ATTESTED", "STILL CLOSED", "NEXT"],
      requirements.map((one) => [
        one.incident_id,
        one.incident_class,
        cell(one.severity, "bad"),
        step(one.require_ack, one.acked_by),
        step(one.require_reattest, one.re_attested_at),
        one.held_targets.join(", ") || "-",
        one.recovery_complete ? `secai incidents resolve ${one.incident_id}` : `secai recover ${one.incident_id}`,
      ]),
    );
  out.value(requirements);
  return 0;
}

const step = (required: boolean, done: string | undefined) =>
  required ? (done === undefined ? cell("to do", "warning") : cell(done, "good")) : cell("not needed", "plain");

/** One step after the other, each only if it is still to be done: whoever is interrupted runs it again. */
async function recover(invocation: Invocation, id: string): Promise<Exit> {
  const { out, flags, machine } = invocation;
  let requirement = (await pending(invocation)).find(({ incident_id }) => incident_id === id);
  const incident = await ask(await machine.peer("incident-recorder", "read"), {
    method: "POST",
    path: "/api/v1/incidents/get",
    body: { id },
    response: incidentShape,
  });
  out.line(`${id}: ${incident.class}, ${incident.severity}, ${incident.state}: ${incident.description}`);
  const todo = stepsOf(requirement);
  if (todo.length > 0 && isOnlyShown(invocation, `${todo.join(", then ")} for ${id}`)) return 0;
  if (requirement?.require_ack === true && requirement.acked_at === undefined) {
    requirement = await acknowledge(invocation, id, flags.operator);
    out.line(`acknowledged by ${requirement.acked_by ?? "-"}`);
  }
  if (requirement?.require_reattest === true && requirement.re_attested_at === undefined) {
    requirement = await reattest(invocation, id);
    out.line(`attested anew: ${requirement.assurance ?? "-"}`);
  }
  const left = await waitForRelease(invocation, id, requirement);
  await releaseMonitor(invocation, incident, requirement);
  out.line("everything that was closed for it is open again");
  if (requirement?.containment_actions.includes("force_vault_relock") === true)
    out.line("the vault stays locked until somebody runs: vault-ctl unlock");
  out.line(`next: secai incidents resolve ${id} --yes`);
  out.value(left ?? { incident_id: id, recovery_complete: true });
  return 0;
}

function stepsOf(requirement: Requirement | undefined): readonly string[] {
  if (requirement === undefined || requirement.recovery_complete) return [];
  const steps: string[] = [];
  if (requirement.require_ack && requirement.acked_at === undefined) steps.push("acknowledge the recovery");
  if (requirement.require_reattest && requirement.re_attested_at === undefined) steps.push("attest the machine anew");
  const targets = requirement.held_targets.length === 0 ? "what was closed" : requirement.held_targets.join(", ");
  return [...steps, `wait until ${targets} is released`];
}

async function acknowledge({ machine }: Invocation, id: string, operator: string | undefined): Promise<Requirement> {
  if (operator === undefined || operator === "")
    throw new CliError("CLI_USAGE", {
      expected: "--operator NAME",
      actual: "nobody",
      fix: "Name who answers for the recovery: --operator 'A. Name'.",
    });
  const peer = await machine.peer("incident-recorder", "recovery-admin");
  return ask(peer, {
    method: "POST",
    path: "/api/v1/recovery/ack",
    body: { id, operator },
    response: requirementShape,
    timeoutMs: 10_000,
  });
}

async function reattest({ machine }: Invocation, id: string): Promise<Requirement> {
  const peer = await machine.peer("incident-recorder", "recovery-admin");
  const options = { response: requirementShape, timeoutMs: REATTEST_LIMIT_MS } as const;
  return ask(peer, { method: "POST", path: "/api/v1/recovery/reattest", body: { id }, ...options });
}

/** @throws CliError CLI_RELEASE_PENDING */
async function waitForRelease(
  invocation: Invocation,
  id: string,
  last: Requirement | undefined,
): Promise<Requirement | undefined> {
  let requirement = last;
  for (let round = 0; round < RELEASE_WAITS; round += 1) {
    if (requirement === undefined || requirement.recovery_complete) return requirement;
    await invocation.sleep(RELEASE_WAIT_MS);
    requirement = (await pending(invocation)).find(({ incident_id }) => incident_id === id);
  }
  throw new CliError("CLI_RELEASE_PENDING", {
    expected: "everything open",
    actual: `closed: ${requirement?.held_targets.join(", ") ?? "-"}`,
  });
}

/** The monitor keeps a latch of its own, which the recorder does not know of. */
async function releaseMonitor(
  { machine, out }: Invocation,
  { id, source }: Incident,
  requirement: Requirement | undefined,
): Promise<void> {
  if (source !== "integrity-monitor" || requirement === undefined) return;
  const peer = await machine.peer("integrity-monitor", "rebaseline");
  const { latched_since } = await ask(peer, { method: "GET", path: "/api/v1/status", response: integrityStatus });
  if (latched_since === null) return;
  const body: Static<typeof ReleaseRequest> = { action: "release", incident_id: id, binding: requirement.containment_binding };
  await ask(peer, { method: "POST", path: "/api/v1/release", body, response: containmentAnswer, timeoutMs: 10_000 });
  out.line("the integrity monitor's latch is lifted");
}

export const recoverCommand: Command = {
  name: "recover",
  summary: "the way back after an incident: acknowledge, attest anew, open again",
  help: `secai recover [list]                             what waits for a recovery
secai recover INCIDENT --operator NAME --yes     does every step that is still to be done

A person answers for the recovery under a name; the machine proves itself anew where it was in doubt; then everything that was closed for the
incident opens again. Without --yes the steps are only named. Interrupted or refused: run it again, what is done stays done.

  secai recover
  secai recover INC-20260101-120000-0001
  secai recover INC-20260101-120000-0001 --operator "A. Name" --yes
`,
  flags: ["yes", "operator"],
  run,
};
