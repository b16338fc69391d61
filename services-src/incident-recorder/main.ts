import { openAudit } from "@secai/kit/audit";
import { createBearer } from "@secai/kit/auth";
import { KitError } from "@secai/kit/errors";
import { exists } from "@secai/kit/files";
import { createApp } from "@secai/kit/http";
import { DRAIN_MS, type Running, runService } from "@secai/kit/lifecycle";
import { listen } from "@secai/kit/listen";
import { createLog } from "@secai/kit/log";
import { createMetrics } from "@secai/kit/metrics";
import { systemClock as clock, systemIds as ids } from "@secai/kit/sources";
import { createAttestor } from "./attestation.ts";
import { type Config, loadConfig, loadPolicy } from "./config.ts";
import { createExport } from "./export.ts";
import { addGauges } from "./gauges.ts";
import { recorderRoutes } from "./http.ts";
import { limits } from "./intake.ts";
import { startProbing } from "./probe.ts";
import { createRecorder } from "./recorder.ts";
import { openStore } from "./store/open.ts";
import { createTargets } from "./targets.ts";
import { openWebhooks } from "./webhooks.ts";

const log = createLog("incident-recorder");
/** With 4 MiB each: the disk that the audit log may take. */
const MAX_AUDIT_FILES = 16;

/** The store and the audit log vouch for each other: one without the other means that somebody removed it. */
async function openBoth({ store: where, audit: { key, ...paths } }: Config) {
  const hasAudit = await exists(paths.anchorPath);
  const { store, tornBytes, isNew } = await openStore({ ...where, auditKey: key, clock, mayCreate: !hasAudit });
  if (!hasAudit && store.head().seq > 0)
    throw new KitError("AUDIT_MISSING", { expected: `${paths.anchorPath} to exist`, actual: "a store without its audit log" });
  const audit = await openAudit({ ...paths, key, clock, maxFiles: MAX_AUDIT_FILES });
  if (tornBytes > 0) log("warning", "store repaired", { tornBytes });
  if (tornBytes > 0) await audit.append("store_repaired", { bytes: tornBytes });
  if (isNew) await audit.append("store_created", {});
  return { store, audit };
}

// The order is the promise: no credential, no policy, no whole store, no audit log: no listening.
async function start(): Promise<Running> {
  const config = await loadConfig(process.env);
  const policy = await loadPolicy(config.policyPath);
  const { store, audit } = await openBoth(config);
  const { seq, mac } = store.head();
  await audit.append("started", { policy_digest: policy.digest, store_seq: seq, store_head: mac });

  const webhooks = await openWebhooks({ directory: config.webhookDirectory, airlock: config.targets.airlock, clock, log });
  const recorder = createRecorder({
    policy,
    store,
    audit,
    attestor: createAttestor(config.attestor.peer, config.attestor.publicKey, clock),
    targets: createTargets({ ...config.targets, clock, log }),
    webhooks,
    limits,
    clock,
    log,
  });
  const metrics = createMetrics("incident_recorder");
  addGauges(metrics, store, webhooks);
  const authenticate = createBearer({
    tokens: config.tokens,
    clock,
    record: (data) => audit.append("authentication_failed", data),
  });
  const exportForensic = createExport({ store, audit, auditPath: config.audit.path, recorder, signer: config.signer, clock });
  const routes = recorderRoutes({
    recorder,
    store,
    audit,
    metrics,
    log,
    exportForensic,
    loadPolicy: () => loadPolicy(config.policyPath),
  });
  const listener = await listen(createApp({ routes, authenticate, clock, ids, log, metrics }), config.address);
  log("info", "listening", { ...listener.address, policy_digest: policy.digest });
  recorder.resume();
  const stopProbing = startProbing(store, audit);
  return {
    async stop() {
      stopProbing();
      await listener.close(DRAIN_MS);
      await recorder.close();
      await webhooks.close();
      await audit.append("stopped", { store_seq: store.head().seq, store_head: store.head().mac });
      await store.close();
      await audit.close();
    },
  };
}

await runService(log, process.env, start);
