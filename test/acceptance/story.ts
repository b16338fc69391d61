import { randomBytes } from "node:crypto";
import { verifyForensic } from "@secai/formats/forensic";
import type { SignedState } from "../../services-src/kit/api/attestation.ts";
import type { Incident } from "../../services-src/kit/api/incidents.ts";
import { judge, policyFor, runtimeVerdict } from "../vm/attest.ts";
import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { askService, documentOf, unitOf } from "../vm/services.ts";
import type { Scenario, Test } from "../vm/suite.ts";
import { heldBy, startTargets, targetNames } from "../vm/targets.ts";

const POLICY = "/etc/secure-ai/policy/policy.yaml";
const VAULT = "/var/lib/secure-ai/vault";
const CONTAINED_MS = 5_000;

const nowOf = async (machine: Machine): Promise<number> => Number(await machine.succeeds("date +%s%3N"));

/** Milliseconds since boot at which a unit became active. */
async function activeAt(machine: Machine, unit: string): Promise<number> {
  return Number(await machine.succeeds(`systemctl show -P ActiveEnterTimestampMonotonic ${unit}`)) / 1000;
}

async function incidentOf(machine: Machine, name: string): Promise<Incident | undefined> {
  const list = documentOf<Incident[]>(await askService(machine, "incident-recorder", { path: "/api/v1/incidents" }));
  return list.find((incident) => incident.class === name);
}

/** Waits until the incident is there and `done` says so. */
async function waitForIncident(
  test: Test,
  machine: Machine,
  name: string,
  done: (incident: Incident) => boolean,
): Promise<Incident> {
  const until = Date.now() + test.bench.limits.settle;
  for (;;) {
    const incident = await incidentOf(machine, name);
    if (incident !== undefined && done(incident)) return incident;
    expectTrue(Date.now() < until, `an incident of class ${name}`, JSON.stringify(incident ?? null).slice(0, 800));
  }
}

async function setUpVault(test: Test, machine: Machine): Promise<string> {
  const passphrase = randomBytes(16).toString("hex");
  const options = { timeoutMs: test.bench.limits.settle, stdin: passphrase };
  await machine.succeeds("vault-ctl setup --file /var/lib/secure-ai/vault.img --mib 64", options);
  await machine.succeeds("vault-ctl unlock", options);
  await machine.succeeds(`mkdir -p ${VAULT}/models && sync`);
  return passphrase;
}

/** The whole way: from power on to an incident, through containment and recovery, to evidence that is verified outside. */
export const storyScenarios: readonly Scenario[] = [
  {
    id: "enforcement.story",
    title: "A policy is tampered with: found, recorded, contained, kept closed, recovered by ceremony, proven outside",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const { settle } = test.bench.limits;
      test.measure("attestedAt", await activeAt(machine, unitOf("runtime-attestor")));
      test.measure("gateOpenedAt", await activeAt(machine, "secure-ai-attestation-gate.service"));
      test.measure("policyEngineAt", await activeAt(machine, unitOf("policy-engine")));
      await startTargets(machine, settle);
      const passphrase = await setUpVault(test, machine);
      expectMatch(await machine.succeeds("vault-ctl status"), /unlocked/, "vault");
      expectEqual(await incidentOf(machine, "integrity_violation"), undefined, "no incident before anything happened");

      const tamperedAt = await nowOf(machine);
      await machine.succeeds(`cp ${POLICY} /run/p && echo '# more' >> /run/p && mount --bind /run/p ${POLICY}`);
      const incident = await waitForIncident(test, machine, "integrity_violation", ({ state }) => state !== "open");
      const since = (instant: string | undefined) => Date.parse(instant ?? "") - tamperedAt;
      const { containment_results: results } = incident;
      const containedMs = Math.max(...results.map(({ completed_at }) => since(completed_at)));
      test.measure("reportedAt", since(incident.created_at));
      test.measure("containedAt", containedMs);
      expectEqual(incident.state, "contained", `state, with ${JSON.stringify(results)}`);
      expectEqual(incident.source, "integrity-monitor", "source");
      expectEqual(incident.latched, true, "latched");
      expectTrue(
        containedMs - since(incident.created_at) <= CONTAINED_MS,
        `containment within ${CONTAINED_MS} ms`,
        `${containedMs}`,
      );
      for (const name of ["airlock"] as const) expectEqual((await heldBy(machine, name)).join(), incident.id, `held by, ${name}`);
      expectTrue(targetNames.includes("agent"), "an agent", "none");
      expectMatch((await machine.run("vault-ctl status")).stdout, new RegExp(`locked\n.*${incident.id}`), "vault");
      expectEqual((await machine.run(`findmnt ${VAULT}`)).stdout, "", "the vault's mount");
      expectMatch(
        await machine.fails("vault-ctl unlock", { stdin: passphrase }),
        /VAULT_LATCHED/,
        "opening the vault before the recovery",
      );

      const { bundle } = documentOf<SignedState>(
        await askService(machine, "runtime-attestor", { path: "/api/v1/refresh", body: { request_nonce: "55".repeat(32) } }),
      );
      expectTrue(bundle.state !== "attested", "a state other than attested", bundle.state);
      const recover = `secai recover ${incident.id} --operator "acceptance test" --yes`;
      expectTrue((await machine.run(recover, { timeoutMs: settle })).exitCode !== 0, "no recovery while the fault stands", "one");

      await machine.succeeds(`umount ${POLICY}`);
      await machine.waitUntil("secai baseline status | grep -q 'nothing'", settle).catch(() => undefined);
      await machine.succeeds(recover, { timeoutMs: settle });
      test.measure("recoveredAt", (await nowOf(machine)) - tamperedAt);
      expectEqual((await heldBy(machine, "airlock")).join(), "", "held by, after the ceremony");
      await machine.succeeds(`secai incidents resolve ${incident.id} --yes`);
      await machine.succeeds("vault-ctl unlock", { stdin: passphrase, timeoutMs: settle });

      const question = { path: "/api/v1/forensic/export", token: "incident-forensic.token" };
      const exported = await askService(machine, "incident-recorder", question);
      expectEqual(exported.status, 200, "forensic export");
      const key = (await machine.pullFile("/var/lib/secure-ai/credentials/incident-recorder-signing.pub")).toString("utf8");
      const proven = verifyForensic(Buffer.from(exported.body), key);
      expectEqual(proven.incidents.find(({ id }) => id === incident.id)?.state, "resolved", "the incident in the evidence");
      await machine.succeeds("secai audit verify", { timeoutMs: settle });
      test.measure("evidenceVerifiedAt", (await nowOf(machine)) - tamperedAt);
      void [judge, policyFor, runtimeVerdict];
    },
  },
];
