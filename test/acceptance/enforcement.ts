import { createPublicKey } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type SignedState, STATE_BUNDLE_DOMAIN, type VerifyAnswer } from "../../services-src/kit/api/attestation.ts";
import type { GpuAttestState } from "../../services-src/kit/api/gpu-integrity.ts";
import type { Incident } from "../../services-src/kit/api/incidents.ts";
import { isSignedBy } from "../../services-src/kit/signing.ts";
import { ENROL, PROFILE } from "../vm/enrolment.ts";
import { expectEqual, expectMatch, expectNoMatch, expectTrue } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { askService, documentOf, SERVICES, type ServiceName, unitOf } from "../vm/services.ts";
import type { Scenario } from "../vm/suite.ts";
import { heldBy, startTargets } from "../vm/targets.ts";

/** How long the recorder is away. */
const RECORDER_DOWN_MS = 60_000;
/** Proportional set size of the five services together. */
const MAX_FOOTPRINT_BYTES = 260_000_000;

const verify = async (machine: Machine) => askService(machine, "runtime-attestor", { path: "/api/v1/verify" });
const incidents = async (machine: Machine) =>
  documentOf<Incident[]>(await askService(machine, "incident-recorder", { path: "/api/v1/incidents" }));

async function refresh(machine: Machine, nonce: string): Promise<SignedState> {
  const answer = await askService(machine, "runtime-attestor", { path: "/api/v1/refresh", body: { request_nonce: nonce } });
  return documentOf<SignedState>(answer);
}

/** Milliseconds since boot at which a unit became active. */
async function activeSince(machine: Machine, unit: string): Promise<number> {
  const us = Number(await machine.succeeds(`systemctl show -P ActiveEnterTimestampMonotonic ${unit}`));
  expectTrue(us > 0, `${unit} active`, "never");
  return us / 1000;
}

/** Waits until the recorder has an incident of this class. */
async function waitForIncident(machine: Machine, name: string, limitMs: number): Promise<Incident> {
  const until = Date.now() + limitMs;
  for (;;) {
    const found = (await incidents(machine)).find((incident) => incident.class === name);
    if (found !== undefined) return found;
    expectTrue(Date.now() < until, `an incident of class ${name}`, "none");
  }
}

export const enforcementScenarios: readonly Scenario[] = [
  {
    id: "enforcement.attested",
    title: "A machine that nobody enrolled is attested for evaluation, and never counts as verified",
    needs: "shared",
    smoke: true,
    async run(test) {
      const answer = documentOf<VerifyAnswer>(await verify(await test.shared()));
      const expected = { policy_satisfied: true, state: "attested", assurance_mode: "evaluation" };
      for (const [member, value] of Object.entries(expected)) expectEqual(answer[member as keyof VerifyAnswer], value, member);
      expectEqual(answer.verified, false, "verified");
      expectEqual(answer.evidence_verified, false, "evidence_verified");
    },
  },
  {
    id: "enforcement.gate-order",
    title: "Attestor, then gate, then everything else",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      const attestor = await activeSince(machine, unitOf("runtime-attestor"));
      const gate = await activeSince(machine, "secure-ai-attestation-gate.service");
      expectTrue(attestor < gate, "the gate after the attestor", "before it");
      for (const service of ["policy-engine", "gpu-integrity-watch"] as const) {
        const began = await activeSince(machine, unitOf(service));
        test.measure(`${service}AfterGateMs`, began - gate);
        expectTrue(gate < began, `${service} after the gate`, "before it");
      }
      test.measure("attestorAtMs", attestor);
      test.measure("gateAtMs", gate);
    },
  },
  {
    id: "enforcement.answers",
    title: "Every service is alive and ready, and gives nothing without its credential",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      for (const service of Object.keys(SERVICES) as ServiceName[]) {
        for (const path of ["/health", "/ready"]) documentOf(await askService(machine, service, { path }));
        const metrics = await askService(machine, service, { path: "/metrics" });
        expectEqual(metrics.status, 200, `${service} metrics`);
        expectMatch(metrics.body, /^# TYPE /m, `${service} metrics`);
        const foreign = service === "policy-engine" ? "runtime-attestor.token" : "policy-engine.token";
        expectEqual(
          (await askService(machine, service, { path: "/metrics", token: foreign })).status,
          401,
          `${service}, foreign token`,
        );
      }
    },
  },
  {
    id: "enforcement.state-signed",
    title: "The attestor's state answers our nonce with a fresh quote, and its signature verifies outside",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const key = createPublicKey(await machine.pullFile("/var/lib/secure-ai/credentials/runtime-attestor-signing.pub"));
      for (const nonce of ["11".repeat(32), "22".repeat(32)]) {
        const { bundle, signature } = await refresh(machine, nonce);
        expectEqual(bundle.request_nonce, nonce, "nonce");
        expectEqual(bundle.tpm_available, true, "TPM");
        expectTrue(isSignedBy(key, STATE_BUNDLE_DOMAIN, bundle, signature.value), "the attestor's signature", "another");
        const forged = { ...bundle, evidence_verified: true };
        expectTrue(!isSignedBy(key, STATE_BUNDLE_DOMAIN, forged, signature.value), "no signature over another state", "one");
      }
    },
  },
  {
    id: "enforcement.no-gpu",
    title: "A machine without a GPU says so, and not that it is healthy",
    needs: "shared",
    smoke: true,
    async run(test) {
      const question = { path: "/v1/attest-state", token: "gpu-attest-state.token" };
      const state = documentOf<GpuAttestState>(await askService(await test.shared(), "gpu-integrity-watch", question));
      expectEqual(state.verdict, "no_device", "verdict");
    },
  },
  {
    id: "enforcement.enrolled",
    title: "An enrolled machine is verified by hardware, and still after a restart of the attestor",
    needs: "fork",
    long: true,
    async run(test) {
      const machine = await test.fork();
      expectMatch(await machine.fails(`${ENROL} enrol`), /ENROL_ADDON/, "enrolling a machine with an addon");
      await machine.succeeds(`${ENROL} enrol --accept-addon`);
      await machine.fails(`test -e ${PROFILE}`);
      await machine.succeeds(`${ENROL} enrol --accept-addon --yes`);
      const { bundle } = await refresh(machine, "33".repeat(32));
      expectEqual(JSON.stringify(bundle.failures), "[]", "failures");
      expectEqual(bundle.assurance_mode, "hardware", "assurance_mode");
      expectEqual(bundle.evidence_verified, true, "evidence_verified");
      await machine.succeeds(`systemctl restart ${unitOf("runtime-attestor")}`, { timeoutMs: test.bench.limits.settle });
      expectEqual(documentOf<VerifyAnswer>(await verify(machine)).verified, true, "verified");
    },
  },
  {
    id: "enforcement.containment",
    title: "An incident is recorded, containment is tried and said to have failed while there is nobody to contain",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const report = { class: "integrity_violation", source: "integrity-monitor", description: "a test", evidence: { files: 2 } };
      const token = "incident-reporter-integrity-monitor.token";
      const question = { path: "/api/v1/incidents/report", body: report, token };
      const first = documentOf<Incident>(await askService(machine, "incident-recorder", question), 201);
      const again = documentOf<Incident>(await askService(machine, "incident-recorder", question));
      expectEqual(again.id, first.id, "the same incident");
      expectEqual(again.count, 2, "count");
      await machine.succeeds(`systemctl kill -s KILL ${unitOf("incident-recorder")}`);
      await machine.waitForPort(SERVICES["incident-recorder"].port, test.bench.limits.settle);
      const kept = await waitForIncident(machine, "integrity_violation", test.bench.limits.command);
      expectEqual(kept.id, first.id, "after the recorder was killed");
      expectEqual(kept.latched, true, "latched");
      const resolve = { path: "/api/v1/incidents/resolve", body: { id: kept.id }, token: "incident-operator.token" };
      expectEqual((await askService(machine, "incident-recorder", resolve)).status, 409, "resolving before the ceremony");
    },
  },
  {
    id: "enforcement.killed-midway",
    title: "A recorder that is killed between an incident and its containment finishes it after its restart",
    needs: "fork",
    long: true,
    async run(test) {
      const machine = await test.fork();
      await startTargets(machine, test.bench.limits.command);
      // Targets that hang keep containment from ending before the kill.
      await machine.succeeds("pkill -STOP -f /run/secai-test/target.mjs");
      const body = { class: "integrity_violation", source: "integrity-monitor", description: "a test", evidence: { files: 2 } };
      const question = { path: "/api/v1/incidents/report", body, token: "incident-reporter-integrity-monitor.token" };
      const { id } = documentOf<Incident>(await askService(machine, "incident-recorder", question), 201);
      const done = async () => {
        const incident = (await incidents(machine)).find((one) => one.id === id);
        const results = incident?.containment_results ?? [];
        const closed: readonly string[] = results.filter(({ success }) => success).map(({ action }) => action);
        return ["freeze_agent", "disable_airlock"].filter((action) => closed.includes(action)).join();
      };
      expectEqual(await done(), "", "closed before the kill");
      await machine.succeeds(`systemctl kill -s KILL ${unitOf("incident-recorder")}; pkill -CONT -f /run/secai-test/target.mjs`);
      await machine.waitForPort(SERVICES["incident-recorder"].port, test.bench.limits.settle);
      const until = Date.now() + test.bench.limits.settle;
      for (let closed = ""; closed !== "freeze_agent,disable_airlock"; closed = await done())
        expectTrue(Date.now() < until, "agent and airlock closed", closed);
      expectMatch([...(await heldBy(machine, "airlock"))].join(), new RegExp(id), "what keeps the airlock closed");
    },
  },
  {
    id: "enforcement.reports-wait",
    title: "With the recorder down for a minute nothing is lost: what was found meanwhile arrives, once, when it is back",
    needs: "fork",
    long: true,
    async run(test) {
      const machine = await test.fork();
      await machine.succeeds(`systemctl stop ${unitOf("incident-recorder")}`);
      const stopped = Date.now();
      await machine.succeeds(
        "cp /etc/secure-ai/policy/policy.yaml /run/p && echo >> /run/p && mount --bind /run/p /etc/secure-ai/policy/policy.yaml",
      );
      const { bundle } = await refresh(machine, "44".repeat(32));
      expectTrue(bundle.state !== "attested", "a state other than attested", bundle.state);
      await sleep(Math.max(0, stopped + RECORDER_DOWN_MS - Date.now()));
      await machine.succeeds(`systemctl start ${unitOf("incident-recorder")}`, { timeoutMs: test.bench.limits.settle });
      const attestor = await waitForIncident(machine, "attestation_failure", test.bench.limits.settle);
      expectEqual(attestor.source, "runtime-attestor", "source");
      const monitor = await waitForIncident(machine, "integrity_violation", test.bench.limits.settle);
      expectEqual(monitor.source, "integrity-monitor", "source");
      const known = await incidents(machine);
      for (const source of ["runtime-attestor", "integrity-monitor"])
        expectEqual(known.filter((one) => one.source === source).length, 1, `incidents of ${source}`);
    },
  },
  {
    id: "enforcement.reboot",
    title: "A restart of the machine keeps incidents, latches, what is closed, and every chain",
    needs: "fork",
    long: true,
    async run(test) {
      const machine = await test.fork();
      const body = { class: "integrity_violation", source: "integrity-monitor", description: "a test", evidence: { files: 2 } };
      const question = { path: "/api/v1/incidents/report", body, token: "incident-reporter-integrity-monitor.token" };
      const { id } = documentOf<Incident>(await askService(machine, "incident-recorder", question), 201);
      await machine.reboot();
      await machine.waitForRunning();
      const kept = (await incidents(machine)).find((one) => one.id === id);
      expectEqual(kept?.latched, true, "latched");
      expectEqual(kept?.description, body.description, "description");
      const recovery = await askService(machine, "incident-recorder", { path: "/api/v1/recovery/status" });
      expectMatch(recovery.body, new RegExp(id), "what waits for recovery");
      expectMatch(await machine.succeeds("secai incidents"), new RegExp(id), "secai incidents");
      await machine.succeeds("secai audit verify", { timeoutMs: test.bench.limits.settle });
      expectEqual(documentOf<VerifyAnswer>(await verify(machine)).state, "attested", "state");
    },
  },
  {
    id: "enforcement.footprint",
    title: "The five services together take at most 260 MB of memory (PSS)",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      let total = 0;
      for (const service of Object.keys(SERVICES) as ServiceName[]) {
        const process = `/proc/$(systemctl show -P MainPID ${unitOf(service)})/smaps_rollup`;
        const bytes = 1024 * Number(await machine.succeeds(`sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' ${process}`));
        expectTrue(bytes > 0, `memory of ${service}`, String(bytes));
        test.measure(`${service}Bytes`, bytes);
        total += bytes;
      }
      test.measure("totalBytes", total);
      expectTrue(total <= MAX_FOOTPRINT_BYTES, `at most ${MAX_FOOTPRINT_BYTES} bytes`, String(total));
    },
  },
  {
    id: "enforcement.gate-closed",
    title: "A machine that fails its attestation at boot runs the recovery set and nothing else, and stays up",
    needs: "fork",
    long: true,
    async run(test) {
      const machine = await test.fork();
      // A profile that nobody can have enrolled: what was pinned is gone, which is as bad as a wrong value.
      await machine.succeeds(`printf '{}' > ${PROFILE} && sync`);
      await machine.reboot();
      // Not by the machine's own waiting, which ends at the first failed unit: here the gate is one.
      const until = Date.now() + test.bench.limits.settle;
      const checked = async () => (await machine.run("systemctl is-active secure-ai-health-check.service")).stdout.trim();
      for (let state = ""; state !== "active"; state = await checked())
        expectTrue(Date.now() < until && state !== "failed", "a boot that passes its health check", state);
      expectMatch(await machine.succeeds("dmesg"), /SECAI-RECOVERY-SET/, "what the kernel log says");
      const active = async (unit: string) => (await machine.run(`systemctl is-active ${unit}`)).stdout.trim();
      for (const service of ["runtime-attestor", "incident-recorder", "integrity-monitor"] as const)
        expectEqual(await active(unitOf(service)), "active", service);
      expectEqual(await active("secure-ai-vault-broker.path"), "active", "vault broker");
      for (const service of ["policy-engine", "gpu-integrity-watch"] as const)
        expectEqual(await active(unitOf(service)), "inactive", service);
      expectMatch(await machine.succeeds("journalctl -b -o cat -u secure-ai-attestation-gate"), /GATE_CLOSED/, "why");
      const { source, latched } = await waitForIncident(machine, "attestation_failure", test.bench.limits.settle);
      expectEqual(source, "runtime-attestor", "source");
      expectEqual(latched, true, "latched");
    },
  },
  {
    id: "enforcement.command",
    title: "secai says what the machine is, what happened and whether its logs are whole",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const status = JSON.parse((await machine.run("secai status --json")).stdout) as { readonly ok: boolean };
      expectEqual(typeof status.ok, "boolean", "status");
      expectMatch(await machine.succeeds("secai attest status"), /attested/, "secai attest status");
      expectMatch(await machine.succeeds("secai audit verify"), /runtime-attestor/, "secai audit verify");
      const text = (await machine.run("secai status")).stdout;
      expectNoMatch(text, /at .*\(file:|undefined|\[object/, "secai status");
    },
  },
];
