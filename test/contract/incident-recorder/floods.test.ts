import { randomUUID } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Answer, createHome, type Home, type Service, startRecorder } from "./recorder.ts";

let home: Home;
let service: Service;
beforeEach(async () => {
  home = await createHome();
  // The heap that the unit gives it: more would end the process.
  service = await startRecorder(home, { nodeOptions: ["--max-old-space-size=64"] });
});
afterEach(async () => {
  await service.end("SIGKILL");
  await home.remove();
});

async function flood(count: number, report: (index: number) => Promise<Answer>): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>();
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const { status } = await report(index);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 64 }, lane));
  return statuses;
}

async function folderBytes(path: string): Promise<number> {
  const sizes = (await readdir(path)).map(async (name) => (await stat(join(path, name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

test("10 000 identical reports are one incident, counted 10 000 times", async () => {
  const statuses = await flood(10_000, () => service.report({ source: "integrity-monitor", description: "the same" }));
  expect([...statuses].sort()).toEqual([
    [200, 9_999],
    [201, 1],
  ]);
  const incidents = await service.incidents();
  expect(incidents.map(({ count, latched }) => [count, latched])).toEqual([[10_000, true]]);
  expect(await folderBytes(home.storePath)).toBeLessThan(8 << 20);
  await service.end("SIGKILL");
  service = await startRecorder(home);
  expect((await service.incidents()).map(({ count }) => count)).toEqual([10_000]);
});

test("10 000 distinct reports stay bounded, are refused by name, and hide nobody else's", async () => {
  const text = "x".repeat(3000);
  const before = await service.report({ source: "runtime-attestor", class: "attestation_failure" });
  const statuses = await flood(10_000, (index) =>
    service.report({
      source: "integrity-monitor",
      description: `file ${index}`,
      evidence: { text },
      idempotency_key: randomUUID(),
    }),
  );
  expect([...statuses].sort()).toEqual([
    [201, 500],
    [507, 9_500],
  ]);
  const after = await service.report({ source: "runtime-attestor", class: "attestation_failure" });
  const incidents = await service.incidents();
  const overflow = incidents.filter(({ description }) => description.startsWith("more reports"));
  expect(overflow.map(({ count, latched, severity }) => [count, latched, severity])).toEqual([[9_500, true, "critical"]]);
  expect(incidents).toHaveLength(503);
  expect(incidents.map(({ id }) => id)).toEqual(expect.arrayContaining([before.json.id, after.json.id]));
  expect((await service.call("read", "/api/v1/stats")).json.overflow_count).toBe(9_500);
  expect(await folderBytes(home.storePath)).toBeLessThan(16 << 20);
  await service.end("SIGKILL");
  service = await startRecorder(home);
  expect(await service.incidents()).toHaveLength(503);
  await home.verifyAudit();
});

test("10 000 refused reports are a few records and a count, and hide no other caller's", async () => {
  const statuses = await flood(10_000, () => service.report({ source: "airlock", class: "attestation_failure" }));
  expect([...statuses]).toEqual([[403, 10_000]]);
  const { json } = await service.call("reporter.agent", "/api/v1/incidents/report", {
    class: "prompt_injection",
    source: "ui",
    description: "x",
  });
  expect(json.code).toBe("REPORTER_SOURCE");
  expect(await service.end("SIGTERM")).toBe(0);
  const records = await home.auditRecords();
  const refused = records.filter(({ type }) => type === "report_refused");
  const recorded = refused.filter(({ data }) => data.caller === "reporter.airlock").length;
  expect(recorded).toBeLessThan(40);
  expect(refused.filter(({ data }) => data.caller === "reporter.agent")).toHaveLength(1);
  const summary = records.filter(({ type }) => type === "refusals_unrecorded").map(({ data }) => data);
  expect(summary).toEqual([{ caller: "reporter.airlock", count: 10_000 - recorded }]);
  await home.verifyAudit();
});

test("a report that found no room and comes again is counted once", async () => {
  await flood(500, (index) =>
    service.report({ source: "airlock", class: "forbidden_airlock_request", description: `d ${index}` }),
  );
  const key = randomUUID();
  const report = {
    source: "airlock",
    class: "forbidden_airlock_request",
    description: "the last",
    idempotency_key: key,
  } as const;
  for (const _ of [1, 2, 3]) expect((await service.report(report)).json.code).toBe("STORE_FULL");
  expect((await service.call("read", "/api/v1/stats")).json.overflow_count).toBe(1);
  const [one] = (await service.incidents()).filter(({ description }) => description === "d 0");
  const resolved = await service.call("operator", "/api/v1/incidents/resolve", { id: one?.id });
  expect(resolved.json.code ?? resolved.status).toBe(200);
  const taken = await service.report(report);
  expect([taken.status, taken.json.description]).toEqual([201, "the last"]);
});

test("the store gives up resolved incidents only, and never more than it must", async () => {
  const open = await service.report({ source: "airlock", class: "forbidden_airlock_request", description: "stays" });
  for (let round = 0; round < 11; round += 1) {
    await flood(480, async (index) => {
      const made = await service.report({
        source: "airlock",
        class: "policy_bypass_attempt",
        severity: "high",
        description: `${round} ${index}`,
      });
      return made;
    });
    const unresolved = (await service.incidents()).filter(
      ({ description, state }) => description.startsWith(`${round} `) && state !== "resolved",
    );
    await flood(unresolved.length, async (index) => {
      const id = unresolved[index]?.id;
      await service.call("recovery-admin", "/api/v1/recovery/ack", { id, operator: "Ada" });
      return service.call("operator", "/api/v1/incidents/resolve", { id });
    });
    if (round === 0) expect(unresolved.length).toBeGreaterThan(0);
  }
  const incidents = await service.incidents();
  expect(incidents.length).toBeLessThanOrEqual(5000);
  expect(incidents.find(({ id }) => id === open.json.id)?.state).toBe("open");
});
