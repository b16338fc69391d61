import type { ContainmentAction, Incident } from "@secai/kit/api/incidents";
import { ask, type Peer } from "@secai/kit/client";
import { ClientError } from "@secai/kit/client-errors";
import { CodedError } from "@secai/kit/errors";
import type { Log } from "@secai/kit/log";
import { shape } from "@secai/kit/schema";
import type { Clock } from "@secai/kit/sources";
import { Type } from "@sinclair/typebox";
import { RecorderError } from "./errors.ts";
import type { Attempt } from "./progress.ts";
import type { Stored, Target } from "./state.ts";
import { askVault, type VaultDirectories } from "./vault.ts";

/** Freezing, disabling, quarantining, and opening again. */
const HTTP_LIMIT_MS = 5_000;
const MAX_ERROR_CHARS = 512;
/** More than there can be incidents. */
const MAX_HOLDERS = 8192;

/** As much of a target's answer as is looked at. Of its holders only ours counts: the names of the others need no form. */
const heldAnswer = shape(
  "containment answer",
  Type.Object({
    status: Type.Union([Type.Literal("held"), Type.Literal("released")]),
    incident_id: Type.String({ maxLength: 128 }),
    held_by: Type.Array(Type.String({ maxLength: 128 }), { maxItems: MAX_HOLDERS }),
  }),
);

/** The services that containment closes, and the way to the vault. */
export interface TargetParts {
  readonly agent: Peer;
  readonly airlock: Peer;
  readonly registry: Peer;
  readonly vault: VaultDirectories;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Targets {
  /** Never throws: what goes wrong is the attempt's end. */
  contain(action: ContainmentAction, stored: Stored, signal: AbortSignal): Promise<Attempt>;
  /** @throws RecorderError, ClientError: still closed */
  release(target: Target, stored: Stored, binding: string, signal: AbortSignal): Promise<void>;
}

export function createTargets(parts: TargetParts): Targets {
  const { vault, clock, log } = parts;
  const closers: Readonly<Record<ContainmentAction, (incident: Incident, signal: AbortSignal) => Promise<void>>> = {
    freeze_agent: (incident, signal) => hold(parts.agent, "freeze", head(incident), signal),
    disable_airlock: (incident, signal) => hold(parts.airlock, "disable", head(incident), signal),
    quarantine_model: async (incident, signal) =>
      hold(parts.registry, "quarantine", { ...head(incident), ...modelOf(incident) }, signal),
    force_vault_relock: (incident, signal) => askVault(vault, { action: "relock", ...head(incident) }, { clock, signal }),
    async log_alert({ id, class: name, severity, source }) {
      log("error", "incident alert", { incident: id, class: name, severity, source });
    },
  };
  return {
    async contain(action, { incident }, signal) {
      try {
        await closers[action](incident, signal);
        return { success: true, reached: action !== "log_alert", final: true };
      } catch (error) {
        return failedAttempt(error);
      }
    },
    async release(target, { incident }, binding, signal) {
      if (target === "vault") return askVault(vault, { action: "release", ...head(incident) }, { clock, signal });
      const body = { action: "release", incident_id: incident.id, binding };
      const { incident_id, held_by } = await post(parts[target], "/api/v1/release", body, signal);
      if (incident_id !== incident.id || held_by.includes(incident.id))
        throw new RecorderError("TARGET_ANSWER", { expected: `${target} not held by ${incident.id}`, actual: "still held" });
    },
  };
}

function head({ id, class: name, severity }: Incident): { readonly incident_id: string; readonly reason: string } {
  return { incident_id: id, reason: `incident ${id}: ${name}, ${severity}` };
}

/** @throws RecorderError MODEL_UNKNOWN */
function modelOf({ evidence }: Incident): { readonly model_path: string; readonly model_name: string } {
  const { model_path, model_name } = evidence;
  if (typeof model_path === "string" && typeof model_name === "string" && model_path.startsWith("/"))
    return { model_path, model_name };
  throw new RecorderError("MODEL_UNKNOWN", {
    expected: "evidence.model_path and evidence.model_name",
    actual: "neither or one of them",
  });
}

async function hold(
  peer: Peer,
  action: "freeze" | "disable" | "quarantine",
  body: { readonly incident_id: string },
  signal: AbortSignal,
): Promise<void> {
  const answer = await post(peer, `/api/v1/${action}`, { action, ...body }, signal);
  const isHeld = answer.status === "held" && answer.incident_id === body.incident_id && answer.held_by.includes(body.incident_id);
  if (!isHeld)
    throw new RecorderError("TARGET_ANSWER", { expected: `${peer.name} held by ${body.incident_id}`, actual: answer.status });
}

async function post(peer: Peer, path: string, body: unknown, signal: AbortSignal): ReturnType<typeof askTarget> {
  try {
    return await askTarget(peer, path, body, signal);
  } catch (error) {
    throw error instanceof ClientError ? targetError(error) : error;
  }
}

const askTarget = (peer: Peer, path: string, body: unknown, signal: AbortSignal) =>
  ask(peer, { method: "POST", path, body, response: heldAnswer, timeoutMs: HTTP_LIMIT_MS, signal });

/** Nothing has seen a request that nobody took: no socket, nobody listening, not allowed to connect. */
const NEVER_SENT: readonly unknown[] = ["ENOENT", "ECONNREFUSED", "EACCES", "ENOTSOCK"];

function targetError(error: ClientError): RecorderError {
  const { expected = "-", actual = "-", status } = error;
  const detail = { expected, actual, cause: error };
  if (error.code === "PEER_REFUSED" && status !== undefined && status < 500) return new RecorderError("TARGET_REFUSED", detail);
  const isAbsent =
    error.code === "PEER_UNREACHABLE" && NEVER_SENT.includes((error.cause as NodeJS.ErrnoException | undefined)?.code);
  return new RecorderError(isAbsent ? "TARGET_ABSENT" : "TARGET_ANSWER", detail);
}

function failedAttempt(error: unknown): Attempt {
  const code = error instanceof CodedError ? error.code : "TARGET_ANSWER";
  const text = `${code}: ${error instanceof CodedError ? (error.actual ?? "-") : (error as Error).message}`;
  return {
    success: false,
    error: text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, MAX_ERROR_CHARS),
    // A refusal or an absence closed nothing; whatever was not confirmed may have.
    reached: code === "TARGET_ANSWER",
    final: code === "MODEL_UNKNOWN",
  };
}
