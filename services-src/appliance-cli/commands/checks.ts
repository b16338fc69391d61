import { verifyAnswer } from "@secai/kit/api/attestation";
import { incidentStats } from "@secai/kit/api/incidents";
import { ask } from "@secai/kit/client";
import { CodedError } from "@secai/kit/errors";
import type { Exit } from "../command.ts";
import { type Machine, type ServiceName, serviceNames } from "../machine.ts";
import type { Mood } from "../output.ts";
import { isPerhapsOwn, nameOf } from "../violations.ts";
import { gpuStatus, health, integrityStatus, recorderHealth, securityStatus } from "../wire.ts";
import { lookAtVault, nextStep } from "./vault.ts";

/** One thing that was looked at, for somebody in front of the machine. */
export interface Check {
  readonly what: string;
  readonly says: string;
  readonly mood: Mood;
  readonly exit: Exit;
  /** What to do about it: a command where there is one. */
  readonly next?: string;
  /** What it means, in a sentence. */
  readonly why?: string;
}
type Finding = Omit<Check, "what">;

const good = (says: string): Finding => ({ says, mood: "good", exit: 0 });

/** A row of what was found out; of why not, if it could not be. */
async function check(what: string, find: () => Promise<Finding>): Promise<Check> {
  try {
    return { what, ...(await find()) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const isDown = error.code === "PEER_UNREACHABLE";
    const [service = ""] = what.split(" ");
    const next = isDown ? `systemctl status secure-ai-${service}.service` : error.fix;
    return { what, says: isDown ? "down" : `unknown (${error.code})`, mood: "bad", exit: 3, next };
  }
}

export async function allChecks(machine: Machine): Promise<readonly Check[]> {
  const checks = await Promise.all([
    ...serviceNames.map((name) => check(name, () => liveness(machine, name))),
    check("runtime-attestor says", () => attestation(machine)),
    check("integrity-monitor says", () => integrity(machine)),
    check("gpu-integrity-watch says", () => gpu(machine)),
    check("incident-recorder says", () => incidents(machine)),
    check("vault", () => vault(machine)),
  ]);
  return checks.map((one) => behindGate(one, checks));
}

/** Only these wait for the start gate; the others are the recovery set, which runs whatever the machine is. */
const GATED: readonly string[] = ["policy-engine", "gpu-integrity-watch"] satisfies readonly ServiceName[];

function behindGate(one: Check, all: readonly Check[]): Check {
  const isShut = all.some(({ what, exit }) => what === "runtime-attestor says" && exit === 1);
  if (!isShut || one.says !== "down" || !GATED.includes(one.what)) return one;
  return { ...one, next: "secai attest status", why: "the start gate lets it start on an attested machine only" };
}

async function liveness(machine: Machine, name: ServiceName): Promise<Finding> {
  const { status } = await ask(machine.open(name), { method: "GET", path: "/health", response: health });
  if (status === "ok") return good("up");
  return { says: status, mood: "warning", exit: 1, next: `journalctl -b -u secure-ai-${name}.service` };
}

const MEANING: Readonly<Record<string, string>> = {
  pending: "it has not attested yet since it started",
  attested: "its last attestation is too old",
  degraded: "what runs is not what was released",
  failed: "what booted, or the TPM, is not what was enrolled",
};

async function attestation(machine: Machine): Promise<Finding> {
  const peer = await machine.peer("runtime-attestor", "attest");
  const question = { method: "GET", path: "/api/v1/verify", response: verifyAnswer, statuses: [200, 503] } as const;
  const { state, assurance_mode, policy_satisfied } = await ask(peer, question);
  const says = `${state}, ${assurance_mode}`;
  if (policy_satisfied && assurance_mode === "hardware") return good(says);
  if (policy_satisfied) {
    const why = "nobody enrolled this machine: it works, and proves nothing about itself";
    return { says, mood: "warning", exit: 0, next: "secai-attestation-enrol enrol", why };
  }
  const found = await findings(peer);
  return { says, mood: "bad", exit: 1, next: "secai attest status", why: `${MEANING[state] ?? "it is not attested"}${found}` };
}

/** Names of what the last attestation found; nothing if that cannot be said. */
async function findings(peer: Awaited<ReturnType<Machine["peer"]>>): Promise<string> {
  try {
    const { failures } = await ask(peer, { method: "GET", path: "/api/security/status", response: securityStatus });
    const codes = failures.slice(0, 3).map(({ check: name, code }) => `${name} ${code}`);
    return codes.length === 0 ? "" : `: ${codes.join(", ")}${failures.length > codes.length ? ", …" : ""}`;
  } catch (error) {
    if (error instanceof CodedError) return "";
    throw error;
  }
}

async function integrity(machine: Machine): Promise<Finding> {
  const peer = await machine.peer("integrity-monitor", "monitor");
  const status = await ask(peer, { method: "GET", path: "/api/v1/status", response: integrityStatus });
  const { state, scanned, violation_count, active_violations, latched_since, latch_reasons } = status;
  if (violation_count > 0) {
    const isOwn = active_violations.every(isPerhapsOwn);
    const why = `${active_violations.slice(0, 3).map(nameOf).join(", ")}${violation_count > 3 ? ", …" : ""}`;
    const next = isOwn ? "secai baseline accept, if that was you" : "secai baseline verify";
    return { says: `${state}, ${violation_count} wrong now`, mood: "bad", exit: 1, next, why };
  }
  if (latched_since !== null) {
    const why = `nothing is wrong now; since ${latched_since} there was: ${latch_reasons.slice(0, 3).map(nameOf).join(", ")}`;
    return { says: `${state}, latched`, mood: "bad", exit: 1, next: "secai recover", why };
  }
  if (!scanned)
    return {
      says: "looking",
      mood: "warning",
      exit: 3,
      next: "secai status, in a minute",
      why: "it has not seen everything yet",
    };
  return state === "trusted" ? good(state) : { says: state, mood: "bad", exit: 1, next: "secai baseline verify" };
}

async function gpu(machine: Machine): Promise<Finding> {
  const peer = await machine.peer("gpu-integrity-watch", "watch");
  const { latest } = await ask(peer, { method: "GET", path: "/v1/status", response: gpuStatus });
  const says = latest?.verdict ?? "unknown";
  if (says === "healthy") return good(says);
  const isBad = says === "warning" || says === "critical";
  return isBad ? { says, mood: "bad", exit: 1, next: "secai baseline verify" } : { says, mood: "plain", exit: 0 };
}

async function incidents(machine: Machine): Promise<Finding> {
  const peer = await machine.peer("incident-recorder", "read");
  const stats = await ask(peer, { method: "GET", path: "/api/v1/stats", response: incidentStats });
  const own = await ask(machine.open("incident-recorder"), { method: "GET", path: "/health", response: recorderHealth });
  if (!own.writable)
    return {
      says: "nothing can be recorded",
      mood: "bad",
      exit: 1,
      next: "df /var",
      why: "full or broken storage; what is reported waits",
    };
  const { open_incidents: unresolved, contained_count: contained } = stats;
  if (unresolved === 0) return good("no open incident");
  const { containment_failed: failed, latched } = own;
  const open = Math.max(0, unresolved - contained - failed);
  const parts = [`${open} open`, `${contained} contained`, `${failed} not contained`].filter((part) => !part.startsWith("0 "));
  const says = `${unresolved} unresolved: ${parts.join(", ")}`;
  if (failed > 0) {
    const why = "something that should have been closed may be open; it is tried again";
    return { says, mood: "bad", exit: 1, next: "secai incidents --state containment_failed", why };
  }
  if (latched === 0) return { says, mood: "bad", exit: 1, next: "secai incidents" };
  return { says, mood: "bad", exit: 1, next: "secai recover", why: "what was closed stays closed until the recovery" };
}

async function vault(machine: Machine): Promise<Finding> {
  const { state, detail, latches } = await lookAtVault(machine);
  const next = nextStep({ state, latches });
  const step = next === "" ? {} : { next };
  if (state === "unknown")
    return { says: state, mood: "warning", exit: 3, ...step, why: "its broker has not said anything since the start" };
  if (state === "error")
    return { says: state, mood: "bad", exit: 1, ...step, why: detail ?? "neither closed nor exactly what was set up" };
  if (latches.length === 0) return { says: state, mood: "plain", exit: 0, ...step };
  return { says: state, mood: "warning", exit: 0, ...step, why: `kept closed by ${latches.join(", ")}` };
}
