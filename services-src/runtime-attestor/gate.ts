import { setTimeout as sleep } from "node:timers/promises";
import { type AttestationFailure, signedState, type VerifyAnswer, verifyAnswer } from "@secai/kit/api/attestation";
import { ask, type Peer } from "@secai/kit/client";
import { ClientError } from "@secai/kit/client-errors";
import type { Clock } from "@secai/kit/sources";
import { AttestorError } from "./errors.ts";

const TIMEOUT_MS = 2_000;

export interface GateParts {
  readonly attestor: Peer;
  readonly clock: Clock;
  /** How often it is asked at most, and how long between two tries. */
  readonly tries: number;
  readonly pauseMs: number;
}

/** Whether this answer opens the gate. Every member counts: an answer that contradicts itself opens nothing. */
export function opens({ policy_satisfied, state, assurance_mode, verified, evidence_verified }: VerifyAnswer): boolean {
  if (!policy_satisfied || state !== "attested") return false;
  return assurance_mode === "evaluation" ? !verified && !evidence_verified : verified && evidence_verified;
}

/**
 * Asks until the machine is attested. Once a second by the monotonic clock, however long an answer takes.
 * @throws AttestorError GATE_CLOSED with what was found; ClientError PEER_REFUSED for a wrong credential, at once
 */
export async function passGate({ attestor, clock, tries, pauseMs }: GateParts): Promise<VerifyAnswer> {
  let last = "no answer";
  const start = clock.monotonicMs();
  for (let tried = 1; tried <= tries; tried += 1) {
    const answer = await askOnce(attestor);
    if (typeof answer !== "string" && opens(answer)) return answer;
    last = typeof answer === "string" ? answer : `${answer.state} (${answer.assurance_mode})`;
    if (tried < tries) await sleep(Math.max(0, start + tried * pauseMs - clock.monotonicMs()));
  }
  throw new AttestorError("GATE_CLOSED", { expected: "an attested machine", actual: `${last}${await findings(attestor)}` });
}

/** The answer, or why there is none. */
async function askOnce(attestor: Peer): Promise<VerifyAnswer | string> {
  try {
    const wanted = {
      method: "GET",
      path: "/api/v1/verify",
      response: verifyAnswer,
      statuses: [200, 503],
      timeoutMs: TIMEOUT_MS,
    } as const;
    return await ask(attestor, wanted);
  } catch (error) {
    if (!(error instanceof ClientError) || error.status === 401 || error.status === 403) throw error;
    return error.message;
  }
}

async function findings(attestor: Peer): Promise<string> {
  try {
    const { bundle } = await ask(attestor, {
      method: "GET",
      path: "/api/v1/attest",
      response: signedState,
      timeoutMs: TIMEOUT_MS,
    });
    return bundle.failures.map(({ check, code }: AttestationFailure) => `; ${check} ${code}`).join("");
  } catch (error) {
    if (error instanceof ClientError) return "";
    throw error;
  }
}
