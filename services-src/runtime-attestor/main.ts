import { openAudit } from "@secai/kit/audit";
import { createBearer } from "@secai/kit/auth";
import { exists } from "@secai/kit/files";
import { createApp } from "@secai/kit/http";
import { DRAIN_MS, type Running, runService } from "@secai/kit/lifecycle";
import { listen } from "@secai/kit/listen";
import { createLog, errorFields } from "@secai/kit/log";
import { createMetrics } from "@secai/kit/metrics";
import { openReporter } from "@secai/kit/reporting";
import { createSigner } from "@secai/kit/signing";
import { systemClock as clock, systemIds as ids } from "@secai/kit/sources";
import { type Attestor, createAttestor } from "./attestor.ts";
import { loadConfig } from "./config.ts";
import { attestorRoutes } from "./http.ts";
import { observe } from "./machine.ts";
import { EMPTY_MEMORY, type Memory, readMemory, writeMemory } from "./memory.ts";

const NAME = "runtime-attestor";
const log = createLog(NAME);

/** Before the audit log exists, memory does: a crash between the two must not look like a loss. */
async function openMemory(statePath: string, auditPath: string): Promise<{ memory: Memory; memoryLost: boolean }> {
  const memory = await readMemory(statePath);
  if (memory !== undefined) return { memory, memoryLost: false };
  const memoryLost = await exists(auditPath);
  if (!memoryLost) await writeMemory(statePath, EMPTY_MEMORY);
  return { memory: EMPTY_MEMORY, memoryLost };
}

/** Attests whenever it is due, until the returned function is called. Timers are monotonic, so nobody can hold them up with the clock. */
function repeat(attestor: Attestor): () => void {
  let timer: NodeJS.Timeout;
  const wait = () => {
    timer = setTimeout(() => {
      if (attestor.dueMs() > 0) return wait();
      // It has been logged, and the next one is due in its time.
      attestor.attest().then(wait, wait);
    }, attestor.dueMs());
  };
  wait();
  return () => clearTimeout(timer);
}

// The order is the promise: no credential, no start; no memory or audit log, no attestation; no attestation, no listening.
async function start(): Promise<Running> {
  const config = await loadConfig(process.env);
  const { memory, memoryLost } = await openMemory(config.statePath, config.audit.path);
  const audit = await openAudit({ ...config.audit, clock });
  const signer = createSigner(config.signingSeed);
  await audit.append("started", { signing_key: signer.keyId });
  const reporter = await openReporter({ directory: config.outboxDirectory, peer: config.recorder, source: NAME, clock, log });

  const metrics = createMetrics("runtime_attestor");
  const { refreshIntervalMs, legacyKey } = config;
  const attestor = createAttestor({
    ...{ memory, memoryLost, audit, signer, legacyKey, reporter, clock, log, metrics, refreshIntervalMs },
    observe: (nonce) => observe(config.machine, config.gpuWatch, nonce),
    writeMemory: (next) => writeMemory(config.statePath, next),
  });
  metrics.gauge("attested", () => Number(attestor.verdict().policy_satisfied));
  metrics.gauge("reports_waiting", () => reporter.size());
  await attestor.attest().catch((error: unknown) => {
    // Not recorded: there is a failed state to tell of. Anything else is our bug, and nothing listens.
    if (attestor.current() === undefined) throw error;
    log("error", "first attestation failed", errorFields(error));
  });

  const authenticate = createBearer({
    tokens: { attest: config.token },
    clock,
    record: (data) => audit.append("authentication_failed", data),
  });
  const routes = attestorRoutes({ attestor, audit, signer, legacyKey, metrics });
  const listener = await listen(createApp({ routes, authenticate, clock, ids, log, metrics }), config.address);
  log("info", "listening", { ...listener.address, state: attestor.verdict().state });
  const stopRepeating = repeat(attestor);
  return {
    alive: () => attestor.alive(),
    async stop() {
      stopRepeating();
      await listener.close(DRAIN_MS);
      await reporter.close();
      await audit.append("stopped", { state: attestor.verdict().state });
      await audit.close();
    },
  };
}

await runService(log, process.env, start);
