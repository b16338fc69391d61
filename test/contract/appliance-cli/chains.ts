import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { openAudit } from "@secai/kit/audit";
import { systemClock } from "@secai/kit/sources";
import type { Bench } from "./bench.ts";

const chains = [
  ["policy-engine", "policy-engine-audit", "policy-engine-audit-hmac.key"],
  ["runtime-attestor", "runtime-attestor-audit", "runtime-attestor-audit-hmac.key"],
  ["integrity-monitor", "integrity-monitor-audit", "integrity-monitor-audit-hmac.key"],
  ["incident-recorder", "incident-recorder-audit", "incident-recorder-audit-hmac.key"],
  ["gpu-integrity-watch", "gpu-integrity-watch-audit", "gpu-integrity-watch-audit-hmac.key"],
  ["vault-control", "vault-audit", "vault-relock-audit-hmac.key"],
] as const;

/** Where the units put a chain and its anchor. */
export const chainOf = (bench: Bench, name: string, file: string) => ({
  path: bench.path(`state/${name}/${file}.jsonl`),
  anchorPath: bench.path(`state/${name}-anchor/${file}.head`),
});

/** Every chain of an appliance, with a record of its beginning and three more. */
export async function beginChains(bench: Bench): Promise<void> {
  for (const [name, file, key] of chains) {
    const { path, anchorPath } = chainOf(bench, name, file);
    for (const folder of [dirname(path), dirname(anchorPath)]) await mkdir(folder, { recursive: true });
    const log = await openAudit({ path, anchorPath, key: bench.key(key), clock: systemClock });
    for (let count = 0; count < 3; count += 1) await log.append("something", { count });
    await log.close();
  }
}
