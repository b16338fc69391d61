import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BASELINE_DOMAIN, baselineShape, LATCH_DOMAIN, latchShape } from "@secai/integrity-monitor/baseline";
import { loadPolicy } from "@secai/integrity-monitor/config";
import { type Monitor, startMonitor } from "@secai/integrity-monitor/monitor";
import { signedFile } from "@secai/integrity-monitor/signed-file";
import { type AuditLog, openAudit } from "@secai/kit/audit";
import type { Report } from "@secai/kit/reporting";
import { createSigner, readPublicKey } from "@secai/kit/signing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createHome, type Home } from "./service.ts";
import { createTree, type Tree } from "./tree.ts";

const DECADE_MS = 10 * 365 * 86_400_000;
const POLICY = "/etc/secure-ai/policy/policy.yaml";

let tree: Tree;
let home: Home;
let monitor: Monitor | undefined;
let audit: AuditLog | undefined;
let offsetMs: number;
let reports: Report[];
beforeEach(() => {
  tree = createTree();
  home = createHome(tree);
  offsetMs = 0;
  reports = [];
});
afterEach(async () => {
  await monitor?.stop();
  monitor = undefined;
  await audit?.close();
  await Promise.all([tree.remove(), home.remove()]);
});

const clock = { nowMs: () => Date.now() + offsetMs, monotonicMs: () => performance.now() };

async function start(): Promise<Monitor> {
  const signer = createSigner(readFileSync(home.seedPath, "latin1").trim());
  const publicKey = await readPublicKey(join(home.path, "credentials/signing.pub"));
  const policyPath = tree.at("/etc/secure-ai/policy/integrity-monitor.yaml");
  const common = { maxBytes: 1 << 24, signer, publicKey };
  audit = await openAudit({ path: home.logPath, key: Buffer.alloc(32, 1), clock });
  monitor = await startMonitor({
    prefix: tree.path,
    policy: await loadPolicy(policyPath),
    loadPolicy: () => loadPolicy(policyPath),
    baselineFile: signedFile({
      ...common,
      path: home.baselinePath,
      domain: BASELINE_DOMAIN,
      shape: baselineShape,
      codes: { malformed: "BASELINE_MALFORMED", signature: "BASELINE_SIGNATURE" },
    }),
    latchFile: signedFile({
      ...common,
      path: home.latchPath,
      domain: LATCH_DOMAIN,
      shape: latchShape,
      codes: { malformed: "LATCH_MALFORMED", signature: "LATCH_SIGNATURE" },
    }),
    rulesetPath: undefined,
    events: true,
    sweepSeconds: undefined,
    audit,
    reporter: { put: async (report) => String(reports.push(report)) },
    clock,
    log: () => {},
  });
  await monitor.scan();
  return monitor;
}

for (const [name, jump] of [
  ["back", -DECADE_MS],
  ["forward", DECADE_MS],
] as const) {
  test(`a clock set ${name} by ten years makes nothing wrong, and hides nothing`, async () => {
    const running = await start();
    expect(running.status()).toMatchObject({ state: "trusted", scanned: true });
    offsetMs = jump;
    await running.scan();
    await sleep(1_500);
    expect(running.status()).toMatchObject({ state: "trusted", violations: [] });
    expect(running.alive()).toBe(true);
    tree.write(POLICY, "version: 1\n# more\n");
    await running.scan();
    expect(running.status()).toMatchObject({ state: "degraded", latch: { reasons: [{ path: POLICY }] } });
    offsetMs = -jump;
    await running.scan();
    expect(running.status().state).toBe("degraded");
    expect(reports.length).toBe(1);
  });
}

test("the latch keeps the time when it fell, whatever the clock says later", async () => {
  const running = await start();
  tree.write(POLICY, "version: 1\n# more\n");
  await running.scan();
  const { since } = running.status().latch;
  offsetMs = -DECADE_MS;
  tree.write(POLICY, "version: 1\n# even more\n");
  await running.scan();
  expect(running.status().latch.since).toBe(since);
});
