import { fileURLToPath } from "node:url";
import { http } from "./guest.ts";
import { GUEST_NODE, pushProgram } from "./guest-program.ts";
import type { Machine } from "./machine.ts";
import { credential } from "./services.ts";

const PROGRAM = fileURLToPath(new URL("../contract/targets/main.ts", import.meta.url));
/** A user of those that systemd makes up for services: what the appliance's own airlock and registry would run as. */
const UID = 61_500;

/** What containment closes, as this image has it not yet: where each listens, and the credential it asks for. */
const TARGETS = {
  agent: { listen: "/run/secure-ai/agent/agent.sock", token: "agent-containment.token" },
  airlock: { listen: "8490", token: "airlock-containment.token" },
  registry: { listen: "8470", token: "registry-containment.token" },
} as const;
export type TargetName = keyof typeof TARGETS;
export const targetNames = Object.keys(TARGETS) as readonly TargetName[];

/** Starts the conformance targets inside the machine, with the credentials of the real ones, and waits until they listen. */
export async function startTargets(machine: Machine, limitMs: number): Promise<void> {
  const program = await pushProgram(machine, PROGRAM, "target");
  for (const name of targetNames) {
    const { listen, token } = TARGETS[name];
    const copy = `/run/secai-test/${name}.token`;
    const env = `TARGET_KIND=${name} TARGET_LISTEN=${listen} TARGET_TOKEN_PATH=${copy}`;
    const node = `${GUEST_NODE} ${program}`;
    await machine.succeeds(
      [
        `chmod 711 /run/secai-test && chmod 644 ${program}`,
        `install -o ${UID} -m 600 /var/lib/secure-ai/credentials/${token} ${copy}`,
        "gid() { getent group $1 | cut -d: -f3; }",
        `umask 007; ${env} setsid setpriv --reuid ${UID} --regid $(gid secure-ai-agent-ipc) --groups $(gid secure-ai-services) ${node} > /run/secai-test/${name}.log 2>&1 < /dev/null &`,
      ].join("\n"),
    );
  }
  for (const name of targetNames) {
    const log = `/run/secai-test/${name}.log`;
    await machine.waitUntil(`cat ${log} >&2; grep -q listening ${log}`, limitMs);
  }
}

/** The incidents that hold a target closed, as the target itself says. */
export async function heldBy(machine: Machine, name: Exclude<TargetName, "agent">): Promise<readonly string[]> {
  const { listen, token } = TARGETS[name];
  const headers = { authorization: `Bearer ${await credential(machine, token)}` };
  const { body } = await http(machine, Number(listen), { path: "/state", headers });
  return (JSON.parse(body) as { readonly held_by: readonly string[] }).held_by;
}
