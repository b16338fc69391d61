import { openAudit } from "@secai/kit/audit";
import { createBearer } from "@secai/kit/auth";
import { createApp } from "@secai/kit/http";
import { DRAIN_MS, type Running, runService } from "@secai/kit/lifecycle";
import { listen } from "@secai/kit/listen";
import { createLog } from "@secai/kit/log";
import { createMetrics } from "@secai/kit/metrics";
import { openReporter } from "@secai/kit/reporting";
import { createSigner } from "@secai/kit/signing";
import { systemClock as clock, systemIds as ids } from "@secai/kit/sources";
import { createBaselineStore } from "./baseline-store.ts";
import { loadConfig, loadProfile } from "./config.ts";
import { watchRoutes } from "./http.ts";
import { startSchedule } from "./schedule.ts";
import { createTensorReader } from "./tensors.ts";
import { createWatch } from "./watch.ts";

const log = createLog("gpu-integrity-watch");

// No credential, no start; no profile, no listening; no audit log, no listening.
async function start(): Promise<Running> {
  const config = await loadConfig(process.env);
  const profile = await loadProfile(config.profilePath);
  const audit = await openAudit({ ...config.audit, clock });
  await audit.append("started", { profile_digest: profile.digest });
  const peer = { name: "incident-recorder", ...config.recorder };
  const reporter = await openReporter({ directory: config.outbox, peer, source: "gpu-integrity-watch", clock, log });
  const store = createBaselineStore(config.baseline.path, config.baseline.anchorPath, createSigner(config.signingKey));
  const watch = createWatch({ profile, machine: config.machine, tensors: createTensorReader(), store, reporter, audit, clock });

  const metrics = createMetrics("gpu_integrity_watch");
  metrics.gauge("checks", () => watch.cycles());
  metrics.gauge("composite_score", () => watch.latest()?.score ?? 0);
  metrics.gauge("undelivered_reports", () => reporter.size());
  metrics.gauge("refused_reports", () => reporter.refused());
  for (const verdict of ["no_device", "healthy", "warning", "critical"] as const)
    metrics.gauge(`verdict_${verdict}`, () => (watch.latest()?.verdict === verdict ? 1 : 0));

  const authenticate = createBearer({
    tokens: config.tokens,
    clock,
    record: (data) => audit.append("authentication_failed", data),
  });
  const routes = watchRoutes({ watch, audit, reporter, metrics, clock, log, loadProfile: () => loadProfile(config.profilePath) });
  const listener = await listen(createApp({ routes, authenticate, clock, ids, log, metrics }), config.address);
  const schedule = startSchedule(watch, clock, log);
  log("info", "listening", { ...listener.address, profile_digest: profile.digest });
  return {
    alive: () => schedule.alive(),
    async stop() {
      await schedule.stop();
      await listener.close(DRAIN_MS);
      await reporter.close();
      await audit.append("stopped", { cycles: watch.cycles() });
      await audit.close();
    },
  };
}

await runService(log, process.env, start);
