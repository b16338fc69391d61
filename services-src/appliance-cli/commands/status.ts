import { readFile } from "node:fs/promises";
import { verifyAnswer } from "@secai/kit/api/attestation";
import { incidentStats } from "@secai/kit/api/incidents";
import { ask } from "@secai/kit/client";
import { CodedError } from "@secai/kit/errors";
import { type Command, type Exit, type Invocation, worst } from "../command.ts";
import { serviceNames } from "../machine.ts";
import { cell, type Mood } from "../output.ts";
import { gpuStatus, health, integrityStatus } from "../wire.ts";

interface Row {
  readonly what: string;
  readonly says: string;
  readonly mood: Mood;
  readonly exit: Exit;
  /** What to do about it. */
  readonly next?: string;
}

/** A row of what was found out; of why not, if it could not be. */
async function row(what: string, find: () => Promise<Omit<Row, "what">>): Promise<Row> {
  try {
    return { what, ...(await find()) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    const says = error.code === "PEER_UNREACHABLE" ? "down" : `unknown (${error.code})`;
    return { what, says, mood: "bad", exit: 3, next: error.code === "PEER_UNREACHABLE" ? downHint(what) : error.fix };
  }
}

const downHint = (service: string): string => `systemctl status secure-ai-${service.split(" ")[0] ?? ""}.service`;

async function run({ machine, out }: Invocation): Promise<Exit> {
  const rows = await Promise.all([
    ...serviceNames.map((name) =>
      row(name, async () => {
        const { status } = await ask(machine.open(name), { method: "GET", path: "/health", response: health });
        return status === "ok" ? { says: "up", mood: "good", exit: 0 } : { says: status, mood: "warning", exit: 1 };
      }),
    ),
    row("runtime-attestor says", async () => {
      const peer = await machine.peer("runtime-attestor", "attest");
      const { state, assurance_mode, policy_satisfied } = await ask(peer, {
        method: "GET",
        path: "/api/v1/verify",
        response: verifyAnswer,
        statuses: [200, 503],
      });
      const says = `${state}, ${assurance_mode}`;
      return policy_satisfied ? { says, mood: "good", exit: 0 } : { says, mood: "bad", exit: 1, next: "secai attest status" };
    }),
    row("integrity-monitor says", async () => {
      const peer = await machine.peer("integrity-monitor", "monitor");
      const { state, violation_count } = await ask(peer, { method: "GET", path: "/api/v1/status", response: integrityStatus });
      const says = violation_count === 0 ? state : `${state}, ${violation_count} violations`;
      return state === "trusted"
        ? { says, mood: "good", exit: 0 }
        : { says, mood: "bad", exit: 1, next: "secai baseline verify" };
    }),
    row("gpu-integrity-watch says", async () => {
      const peer = await machine.peer("gpu-integrity-watch", "watch");
      const { latest } = await ask(peer, { method: "GET", path: "/v1/status", response: gpuStatus });
      const says = latest?.verdict ?? "unknown";
      const isBad = says === "warning" || says === "critical";
      return isBad
        ? { says, mood: "bad", exit: 1, next: "secai baseline verify" }
        : { says, mood: says === "healthy" ? "good" : "plain", exit: 0 };
    }),
    row("incident-recorder says", async () => {
      const peer = await machine.peer("incident-recorder", "read");
      const { open_incidents } = await ask(peer, { method: "GET", path: "/api/v1/stats", response: incidentStats });
      return open_incidents === 0
        ? { says: "no open incident", mood: "good", exit: 0 }
        : { says: `${open_incidents} open incidents`, mood: "bad", exit: 1, next: "secai incidents" };
    }),
    row("vault", async () => {
      const state = await vaultState(machine.runtime("vault-state"));
      return { says: state, mood: state === "error" ? "bad" : "plain", exit: state === "error" ? 1 : 0 };
    }),
  ]);
  out.table(
    ["WHAT", "IS", "NEXT"],
    rows.map(({ what, says, mood, next }) => [what, cell(says, mood), next ?? ""]),
  );
  const exit = worst(rows.map((one) => one.exit));
  out.value({
    ok: exit === 0,
    checks: rows.map(({ what, says, exit: code, next }) => ({ what, says, ok: code === 0, next: next ?? null })),
  });
  return exit;
}

/** As the vault broker wrote it, at boot and whenever it did something. */
export async function vaultState(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  const [, state] = /"state":"(unlocked|locked|setup_required|error)"/.exec(text.slice(0, 4096)) ?? [];
  return state ?? "unknown";
}

export const statusCommand: Command = {
  name: "status",
  summary: "how this appliance is, in one table",
  help: `secai status [--json]

Asks every service whether it is up and what it says. Exit status: 0 all is well, 1 something says no, 3 something does not answer.

  secai status
  secai status --json | jq .ok
`,
  flags: [],
  run,
};
