import { openAudit } from "@secai/kit/audit";
import { createBearer } from "@secai/kit/auth";
import { createApp } from "@secai/kit/http";
import { DRAIN_MS, type Running, runService } from "@secai/kit/lifecycle";
import { listen } from "@secai/kit/listen";
import { createLog } from "@secai/kit/log";
import { createMetrics } from "@secai/kit/metrics";
import { openReporter } from "@secai/kit/reporting";
import { systemClock as clock, systemIds as ids } from "@secai/kit/sources";
import { BASELINE_DOMAIN, baselineShape, LATCH_DOMAIN, latchShape, MAX_BASELINE_BYTES, MAX_LATCH_BYTES } from "./baseline.ts";
import { type Config, loadConfig, loadPolicy } from "./config.ts";
import { addGauges, monitorRoutes } from "./http.ts";
import { startMonitor } from "./monitor.ts";
import { signedFile } from "./signed-file.ts";

const SERVICE = "integrity-monitor";
const log = createLog(SERVICE);

function files({ signer, publicKey, baselinePath, latchPath }: Config) {
  return {
    baselineFile: signedFile({
      path: baselinePath,
      domain: BASELINE_DOMAIN,
      shape: baselineShape,
      maxBytes: MAX_BASELINE_BYTES,
      signer,
      publicKey,
      codes: { malformed: "BASELINE_MALFORMED", signature: "BASELINE_SIGNATURE" },
    }),
    latchFile: signedFile({
      path: latchPath,
      domain: LATCH_DOMAIN,
      shape: latchShape,
      maxBytes: MAX_LATCH_BYTES,
      signer,
      publicKey,
      codes: { malformed: "LATCH_MALFORMED", signature: "LATCH_SIGNATURE" },
    }),
  } as const;
}

// The order is the promise: no credential, no start; no audit log, nothing is watched; a baseline that somebody touched, no start.
async function start(): Promise<Running> {
  const config = await loadConfig(process.env);
  const policy = await loadPolicy(config.policyPath);
  const audit = await openAudit({ ...config.audit, clock });
  await audit.append("started", { policy_digest: policy.digest, events: config.events });
  const reporter = await openReporter({
    directory: config.outboxPath,
    peer: { name: "incident-recorder", ...config.recorder },
    source: SERVICE,
    clock,
    log,
  });
  const monitor = await startMonitor({
    ...config,
    ...files(config),
    policy,
    loadPolicy: () => loadPolicy(config.policyPath),
    audit,
    reporter,
    clock,
    log,
  });
  const metrics = createMetrics("integrity_monitor");
  addGauges({ monitor, reporter, metrics });
  const authenticate = createBearer({
    tokens: config.tokens,
    clock,
    record: (data) => audit.append("authentication_failed", data),
  });
  const routes = monitorRoutes({ monitor, audit, reporter, metrics, log });
  const listener = await listen(createApp({ routes, authenticate, clock, ids, log, metrics }), config.address);
  log("info", "listening", { ...listener.address, policy_digest: policy.digest });
  return {
    alive: () => monitor.alive(),
    async stop() {
      await listener.close(DRAIN_MS);
      await monitor.stop();
      await reporter.close();
      await audit.append("stopped", {});
      await audit.close();
    },
  };
}

await runService(log, process.env, start);
