import { fileURLToPath } from "node:url";
import type { SignedState, VerifyAnswer } from "../../services-src/kit/api/attestation.ts";
import type { FloodAnswer, FloodQuestion } from "../guest/flood.ts";
import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import { GUEST_NODE, pushProgram } from "../vm/guest-program.ts";
import type { Machine } from "../vm/machine.ts";
import { decide, readToken } from "../vm/policy-engine.ts";
import { askService, documentOf, SERVICES, unitOf } from "../vm/services.ts";
import type { Scenario, Test } from "../vm/suite.ts";
import { incidents, REPORTER, report } from "./incidents.ts";

// Against what the layer that records lives on: disk, memory, and the patience to take reports.

const FLOOD = fileURLToPath(new URL("../guest/flood.ts", import.meta.url));
const STORE = "/var/lib/secure-ai/incident-recorder";
/** Of each kind. Where machines are slow, enough to be refused for want of room; the whole flood is a contract test of the same bundle. */
const REPORTS = { kvm: 10_000, tcg: 1_000 } as const;
/** Unresolved incidents that one source may have: then its further reports are counted in one, which says so. */
const ROOM = 500;
const MAX_STORE_BYTES = 16 << 20;

/** Once what was in the way is gone, the recorder takes reports again by itself. */
async function waitUntilTaken(test: Test, machine: Machine, description: string): Promise<void> {
  const until = Date.now() + test.bench.limits.settle;
  for (let status = 0; status !== 201 && status !== 200; { status } = await report(machine, description))
    expectTrue(Date.now() < until, "the report to be taken", `${status}`);
  expectTrue((await incidents(machine)).length > 0, "an incident", "none");
}

const attest = (machine: Machine) =>
  askService(machine, "runtime-attestor", { path: "/api/v1/refresh", body: { request_nonce: "88".repeat(32) } });

async function memoryOf(machine: Machine, unit: string): Promise<number> {
  return Number(await machine.succeeds(`systemctl show -P MemoryPeak ${unit}`));
}

export const resourceScenarios: readonly Scenario[] = [
  {
    id: "enforcement.disk-full",
    title: "With a full disk an incident is refused by name, and taken again once there is room",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await machine.succeeds(
        "fallocate -l $(df --output=avail -B1 /var | tail -1) /var/full; cat /dev/zero > /var/full2 2>/dev/null; sync; true",
      );
      const refused = await report(machine, "while the disk is full");
      expectTrue([503, 507].includes(refused.status), "503 or 507", `${refused.status} ${refused.body}`);
      expectMatch(refused.body, /"code":"(STORE|AUDIT)_[A-Z]+"/, "named");
      await machine.succeeds("rm -f /var/full /var/full2; sync");
      await waitUntilTaken(test, machine, "when there is room");
    },
  },
  {
    id: "enforcement.read-only",
    title:
      "With /var read-only nothing is decided, attested or recorded, each by name; with it writable again everything goes on",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const token = await readToken(machine);
      // What the kernel itself does after errors of the disk, open files or not.
      await machine.succeeds("sync; echo u > /proc/sysrq-trigger");
      await machine.waitUntil("! touch /var/lib/secure-ai/x", test.bench.limits.command);
      const refused = await report(machine, "while nothing can be written");
      expectTrue([503, 507].includes(refused.status), "503 or 507", `${refused.status} ${refused.body}`);
      expectMatch(refused.body, /"code":"(STORE|AUDIT)_[A-Z]+"/, "named");
      const decision = await decide(machine, token, { domain: "agent_risk", subject: "filesystem.read" });
      expectEqual(decision.status, 503, "status of a decision");
      expectMatch(decision.body, /AUDIT_UNAVAILABLE/, "named");
      expectTrue((await attest(machine)).status >= 500, "no attestation", "one");
      const verify = await askService(machine, "runtime-attestor", { path: "/api/v1/verify" });
      expectEqual(documentOf<VerifyAnswer>(verify, 503).policy_satisfied, false, "policy_satisfied");

      await machine.succeeds("mount -o remount,rw /var");
      await waitUntilTaken(test, machine, "when it can be written again");
      const state = documentOf<SignedState>(await attest(machine)).bundle.state;
      expectEqual(state, "attested", "state");
      expectEqual((await decide(machine, token, { domain: "agent_risk", subject: "filesystem.read" })).status, 200, "a decision");
      await machine.succeeds("secai audit verify", { timeoutMs: test.bench.limits.settle });
    },
  },
  {
    id: "enforcement.flood",
    title:
      "Floods of reports, the same and all different, stay bounded in memory and on the disk, and bury nothing that was there",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const own = { class: "attestation_failure", source: "runtime-attestor", description: "before the flood" };
      const first = await askService(machine, "incident-recorder", {
        path: "/api/v1/incidents/report",
        body: own,
        token: "incident-reporter-runtime-attestor.token",
      });
      const { id } = documentOf<{ id: string }>(first, 201);
      const count = REPORTS[test.bench.accelerator];
      const question: FloodQuestion = {
        port: SERVICES["incident-recorder"].port,
        tokenPath: `/var/lib/secure-ai/credentials/${REPORTER.token}`,
        source: REPORTER.source,
        class: REPORTER.class,
        count,
      };
      const program = await pushProgram(machine, FLOOD, "flood");
      const options = { stdin: JSON.stringify(question), timeoutMs: 3 * test.bench.limits.settle };
      const { identical, distinct } = JSON.parse(await machine.succeeds(`${GUEST_NODE} ${program}`, options)) as FloodAnswer;
      expectEqual(identical["201"], 1, "incidents of the same");
      expectEqual(identical["200"], count - 1, "counted in it");
      expectEqual(Object.keys(distinct).sort().join(), "201,507", "answers to those that differ");
      expectTrue((distinct["201"] ?? 0) <= ROOM, `at most ${ROOM} incidents`, String(distinct["201"]));

      const known = await incidents(machine);
      expectEqual(known.find((one) => one.id === id)?.latched, true, "the incident from before, latched");
      expectEqual(known.find(({ description }) => description === "the same again")?.count, count, "count");
      const bytes = Number(await machine.succeeds(`du -sb ${STORE} | cut -f1`));
      expectTrue(bytes < MAX_STORE_BYTES, `a store below ${MAX_STORE_BYTES} bytes`, String(bytes));
      test.measure("storeBytes", bytes);
      test.measure("memoryBytes", await memoryOf(machine, unitOf("incident-recorder")));
      expectEqual(await machine.succeeds(`systemctl show -P NRestarts ${unitOf("incident-recorder")}`), "0\n", "restarts");
      await machine.succeeds("secai audit verify", { timeoutMs: test.bench.limits.settle });
    },
  },
];
