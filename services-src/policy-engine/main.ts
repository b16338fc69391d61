import { openAudit } from "@secai/kit/audit";
import { createBearer } from "@secai/kit/auth";
import { createApp } from "@secai/kit/http";
import { DRAIN_MS, type Running, runService } from "@secai/kit/lifecycle";
import { listen } from "@secai/kit/listen";
import { createLog } from "@secai/kit/log";
import { createMetrics } from "@secai/kit/metrics";
import { systemClock as clock, systemIds as ids } from "@secai/kit/sources";
import { loadConfig, loadPolicy } from "./config.ts";
import { createEngine } from "./engine.ts";
import { policyRoutes } from "./http.ts";

const log = createLog("policy-engine");

// The order is the promise: no credential, no start; no policy, no listening; no audit log, no listening.
async function start(): Promise<Running> {
  const config = await loadConfig(process.env);
  const policy = await loadPolicy(config.policyPaths);
  const audit = await openAudit({ ...config.audit, clock });
  await audit.append("started", { policy_digest: policy.digest });

  const metrics = createMetrics("policy_engine");
  const engine = createEngine({ policy, audit, clock });
  const authenticate = createBearer({
    tokens: { token: config.token },
    clock,
    record: (data) => audit.append("authentication_failed", data),
  });
  const routes = policyRoutes({ engine, audit, metrics, log, loadPolicy: () => loadPolicy(config.policyPaths) });
  const listener = await listen(createApp({ routes, authenticate, clock, ids, log, metrics }), config.address);
  log("info", "listening", { ...listener.address, policy_digest: policy.digest });
  return {
    async stop() {
      await listener.close(DRAIN_MS);
      await audit.append("stopped", { ...engine.stats() });
      await audit.close();
    },
  };
}

await runService(log, process.env, start);
