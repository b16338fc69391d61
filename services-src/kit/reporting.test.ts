import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, test } from "vitest";
import { type Incident, incidentReport } from "./api/incidents.ts";
import type { Outbox } from "./outbox.ts";
import { fitReport, openReporter, type Report } from "./reporting.ts";
import { systemClock } from "./sources.ts";

const incident: Incident = {
  id: "INC-20260101-000000-0001",
  created_at: "2026-01-01T00:00:00.000Z",
  class: "integrity_violation",
  severity: "critical",
  state: "open",
  source: "integrity-monitor",
  description: "x",
  evidence: {},
  fingerprint: "0".repeat(64),
  count: 1,
  last_seen_at: "2026-01-01T00:00:00.000Z",
  latched: true,
  escalated: false,
  containment_actions: [],
  containment_results: [],
  hash: "0".repeat(64),
};

let home: string;
let server: Server;
let statuses: number[];
let bodies: Record<string, unknown>[];
let reporter: Outbox<Report>;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "secai-reporting-"));
  [statuses, bodies] = [[], []];
  server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    bodies.push({ token: request.headers.authorization, path: request.url, ...(JSON.parse(text) as object) });
    const status = statuses.shift() ?? 201;
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(status < 300 ? incident : { code: "NO", message: "no", requestId: "1" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  reporter = await openReporter({
    directory: join(home, "outbox"),
    peer: { name: "incident-recorder", address: { host: "127.0.0.1", port }, token: "a".repeat(64) },
    source: "integrity-monitor",
    clock: systemClock,
    log: () => {},
    retryMs: { first: 5, last: 10 },
  });
});
afterEach(async () => {
  await reporter.close();
  await new Promise((resolve) => server.close(resolve));
  await rm(home, { recursive: true });
});

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 1000 && !condition(); round += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(condition());
}
const report: Report = { class: "integrity_violation", description: "a file changed", evidence: { paths: ["/etc/x"], count: 1 } };

for (const status of [400, 404, 413, 422]) {
  test(`${status} is final: the report is kept aside and the next one goes`, async () => {
    statuses = [status];
    await reporter.put(report);
    await reporter.put(report);
    await until(() => reporter.size() === 0);
    assert.equal(reporter.refused(), 1);
    assert.equal(bodies.length, 2);
  });
}
for (const status of [401, 403, 408, 429, 500, 503, 507]) {
  test(`${status} is not the report's fault: it is sent again with the same key`, async () => {
    statuses = [status, status];
    const key = await reporter.put(report);
    await until(() => reporter.size() === 0);
    assert.equal(reporter.refused(), 0);
    assert.deepEqual(
      bodies.map(({ idempotency_key }) => idempotency_key),
      [key, key, key],
    );
  });
}

test("an answer that is no incident is none", async () => {
  statuses = [204];
  await reporter.put(report);
  await until(() => reporter.size() === 0);
  assert.equal(bodies.length, 2);
});

test("a report arrives whole, with source, key and time", async () => {
  const key = await reporter.put(report);
  await until(() => bodies.length === 1);
  const [{ token, path, observed_at, ...body } = {}] = bodies;
  assert.deepEqual(body, { ...report, source: "integrity-monitor", idempotency_key: key });
  assert.match(String(observed_at), /^\d{4}-.*Z$/);
  assert.deepEqual([token, path], [`Bearer ${"a".repeat(64)}`, "/api/v1/incidents/report"]);
});

test("what can never be a report is named at once", async () => {
  await assert.rejects(reporter.put({ class: "integrity_violation", description: "x", evidence: { "No Key": 1 } }), {
    code: "OUTBOX_MESSAGE",
  });
});

test("mass tampering is cut, says so, and is reported", () => {
  const paths = Array.from({ length: 5000 }, (_, index) => `/etc/secure-ai/${"x".repeat(200)}${index}`);
  const fitted = fitReport({
    class: "integrity_violation",
    description: `line\n${"y".repeat(5000)}`,
    evidence: { paths, n: 5000 },
  });
  assert.ok(incidentReport.is({ ...fitted, source: "integrity-monitor" }));
  assert.equal(fitted.evidence?.evidence_cut, true);
  assert.ok(Buffer.byteLength(JSON.stringify(fitted)) < 64 * 1024);
  assert.ok(Array.isArray(fitted.evidence?.paths) && fitted.evidence.paths.length > 200);
});

test("whatever the evidence, the report fits and is valid", () => {
  const scalar = fc.oneof(
    fc.string({ maxLength: 9000 }),
    fc.double({ noNaN: true, noDefaultInfinity: true, max: 1e15, min: -1e15 }),
    fc.boolean(),
    fc.constant(null),
  );
  const key = fc.stringMatching(/^[a-z][a-z0-9_.-]{0,20}$/);
  const value = fc.oneof(scalar, fc.array(scalar, { maxLength: 400 }), fc.dictionary(key, scalar, { maxKeys: 20 }));
  fc.assert(
    fc.property(fc.string({ maxLength: 3000 }), fc.dictionary(key, value, { maxKeys: 64 }), (description, evidence) => {
      const fitted = fitReport({
        class: "integrity_violation",
        description,
        evidence: evidence as NonNullable<Report["evidence"]>,
      });
      const long = Object.values(evidence)
        .flat()
        .some(
          (entry) =>
            entry !== null &&
            typeof entry === "object" &&
            Object.values(entry).some((text) => typeof text === "string" && text.length > 4096),
        );
      assert.ok(long || incidentReport.is({ ...fitted, source: "x" }));
      assert.ok(Buffer.byteLength(JSON.stringify(fitted)) < 64 * 1024);
    }),
    { numRuns: 60 },
  );
});
