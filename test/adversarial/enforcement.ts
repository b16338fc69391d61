import type { VerifyAnswer } from "../../services-src/kit/api/attestation.ts";
import type { Incident } from "../../services-src/kit/api/incidents.ts";
import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { askService, documentOf, SERVICES, type ServiceName, unitOf } from "../vm/services.ts";
import type { Scenario } from "../vm/suite.ts";
import { incidents, report } from "./incidents.ts";

// Against the layer that records and contains: its files, its clock, its processes. What it lives on is in resources.ts.

const STATE = "/var/lib/secure-ai";
const STORE = `${STATE}/incident-recorder/store`;
const JOURNAL = `${STORE}/journal-*.jsonl`;
const STORE_ANCHOR = `${STATE}/incident-recorder-anchor/store.head`;

async function incidentsOf(machine: Machine, count: number): Promise<readonly string[]> {
  for (let index = 0; index < count; index += 1) await report(machine, `number ${index}`);
  return (await incidents(machine)).map(({ id }) => id).sort();
}

/** Not the attestor: what is behind the gate would restart with it. */
const KILLED = ["incident-recorder", "integrity-monitor"] as const;

interface Damage {
  readonly id: string;
  readonly what: string;
  readonly service: ServiceName;
  /** As root, while the service is stopped. In place where it can be: a new file would be found out by its owner alone. */
  readonly script: string;
  readonly code: string;
}

const edit = (path: string, sed: string) => `f=$(echo ${path}); sed '${sed}' $f > /run/edited && cat /run/edited > $f`;

const damages: readonly Damage[] = [
  {
    id: "store-edited",
    what: "the incident store has one word edited",
    service: "incident-recorder",
    script: edit(JOURNAL, "s/number 1/number 7/"),
    code: "STORE_MAC",
  },
  {
    id: "store-cut",
    what: "the incident store has lost its last record",
    service: "incident-recorder",
    script: edit(JOURNAL, "$d"),
    code: "STORE_TRUNCATED",
  },
  {
    id: "store-line-removed",
    what: "a record was taken out of the incident store",
    service: "incident-recorder",
    script: edit(JOURNAL, "1d"),
    code: "STORE_BROKEN",
  },
  {
    id: "store-deleted",
    what: "the incident store is gone",
    service: "incident-recorder",
    script: `rm ${JOURNAL}`,
    code: "STORE_MISSING",
  },
  {
    id: "store-anchor-deleted",
    what: "the incident store's anchor is gone",
    service: "incident-recorder",
    script: `rm ${STORE_ANCHOR}`,
    code: "STORE_MISSING",
  },
  {
    id: "store-linked",
    what: "the incident store is a symbolic link",
    service: "incident-recorder",
    script: `f=$(echo ${JOURNAL}); cp -p $f /var/tmp/journal && ln -sf /var/tmp/journal $f`,
    code: "STORE_FILE",
  },
  {
    id: "baseline-edited",
    what: "the integrity monitor's baseline is edited",
    service: "integrity-monitor",
    script: edit(`${STATE}/integrity-monitor/baseline.json`, 's/"generation":1/"generation":2/'),
    code: "BASELINE_SIGNATURE",
  },
  {
    id: "baseline-deleted",
    what: "the integrity monitor's baseline is gone",
    service: "integrity-monitor",
    script: `rm ${STATE}/integrity-monitor/baseline.json`,
    code: "BASELINE_MISSING",
  },
  {
    id: "audit-edited",
    what: "the attestor's audit log has one word edited",
    service: "runtime-attestor",
    script: edit(`${STATE}/runtime-attestor/runtime-attestor-audit.jsonl`, "s/attested/verified/"),
    code: "AUDIT_MAC",
  },
];

const damaged: readonly Scenario[] = damages.map(({ id, what, service, script, code }) => ({
  id: `enforcement.${id}`,
  title: `When ${what}, ${service} does not start: ${code}`,
  needs: "fork",
  async run(test) {
    const machine = await test.fork();
    const unit = unitOf(service);
    if (service === "incident-recorder") await incidentsOf(machine, 3);
    await machine.succeeds(`systemctl stop ${unit} && ${script}`);
    await machine.run(`systemctl start ${unit}`, { timeoutMs: test.bench.limits.settle });
    expectEqual((await machine.run(`systemctl is-active ${unit}`)).stdout.trim(), "failed", "state of the service");
    expectMatch(await machine.succeeds(`journalctl -b -u ${unit} -n 30 --no-pager -o cat`), new RegExp(code), "what it says");
  },
}));

export const enforcementScenarios: readonly Scenario[] = [
  ...damaged,
  {
    id: "enforcement.clock",
    title: "A clock set a day back and two days forward loses, opens and re-orders nothing",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const before = await incidentsOf(machine, 2);
      for (const change of ["1 day ago", "2 days"]) {
        await machine.succeeds(`date -s "$(date -d '${change}')"`);
        expectTrue((await report(machine, `after ${change}`)).status === 201, "the next incident", "refused");
        const now = await incidents(machine);
        expectTrue(
          before.every((id) => now.some((incident) => incident.id === id && incident.latched)),
          "the earlier, latched",
          "less",
        );
      }
      const refresh = { path: "/api/v1/refresh", body: { request_nonce: "66".repeat(32) } };
      documentOf(await askService(machine, "runtime-attestor", refresh));
      const verify = documentOf<VerifyAnswer>(await askService(machine, "runtime-attestor", { path: "/api/v1/verify" }));
      expectEqual(verify.state, "attested", "state");
      await machine.succeeds(`systemctl restart ${unitOf("incident-recorder")}`, { timeoutMs: test.bench.limits.settle });
      expectEqual((await incidents(machine)).length, before.length + 2, "incidents after a restart");
    },
  },
  {
    id: "enforcement.foreign-source",
    title: "A reporter that names another as its source is refused: REPORTER_SOURCE",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const answer = await askService(machine, "incident-recorder", {
        path: "/api/v1/incidents/report",
        body: { class: "attestation_failure", source: "runtime-attestor", description: "forged" },
        token: "incident-reporter-integrity-monitor.token",
      });
      expectEqual(answer.status, 403, "status");
      expectMatch(answer.body, /REPORTER_(SOURCE|CLASS)/, "named");
      expectEqual((await incidents(machine)).length, 0, "incidents");
    },
  },
  {
    id: "enforcement.kills",
    title:
      "Recorder and monitor are killed ten times at their work: they come back, no acknowledged incident is lost, no chain is broken",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const known = new Set<string>();
      for (let round = 0; round < 10; round += 1) {
        const answer = await report(machine, `round ${round}`);
        if (answer.status === 201) known.add(documentOf<Incident>(answer, 201).id);
        for (const service of KILLED)
          await machine.succeeds(`systemctl kill -s KILL ${unitOf(service)}; systemctl reset-failed ${unitOf(service)}; true`);
        for (const service of KILLED) await machine.waitForPort(SERVICES[service].port, test.bench.limits.settle);
      }
      expectEqual(known.size, 10, "acknowledged incidents");
      const now = new Set((await incidents(machine)).map(({ id }) => id));
      expectEqual([...known].filter((id) => !now.has(id)).join(), "", "lost incidents");
      await machine.succeeds("secai audit verify", { timeoutMs: test.bench.limits.settle });
    },
  },
];
