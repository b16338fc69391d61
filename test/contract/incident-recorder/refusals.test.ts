import { connect } from "node:net";
import { endpoints } from "@secai/incident-recorder/api";
import { reporters } from "@secai/kit/api/incidents";
import { afterAll, beforeAll, expect, test } from "vitest";
import { allScopes, createHome, type Home, type Service, startRecorder } from "./recorder.ts";

let home: Home;
let service: Service;
beforeAll(async () => {
  home = await createHome();
  service = await startRecorder(home);
});
afterAll(async () => {
  await service.end("SIGKILL");
  await home.remove();
});

const id = "INC-20260101-000000-0001";
const bodies: Readonly<Record<string, unknown>> = {
  "/api/v1/incidents/report": { class: "integrity_violation", source: "nobody", description: "x" },
  "/api/v1/incidents/query": {},
  "/api/v1/incidents/get": { id },
  "/api/v1/incidents/resolve": { id },
  "/api/v1/incidents/acknowledge": { id },
  "/api/v1/recovery/ack": { id, operator: "Ada" },
  "/api/v1/recovery/reattest": { id },
};

test("every credential opens its own endpoints and no other", async () => {
  for (const { path, access } of Object.values(endpoints)) {
    for (const scope of allScopes) {
      const { status, json } = await service.call(scope, path, bodies[path]);
      const isAllowed = access === "open" || (access as readonly string[]).includes(scope);
      // Wrong scopes are 403, and after some of them in a minute 429: never anything else.
      if (isAllowed) expect([path, scope, json.code]).not.toEqual([path, scope, "HTTP_FORBIDDEN"]);
      else
        expect([path, scope, ["HTTP_FORBIDDEN", "HTTP_RATE_LIMITED"].includes(String(json.code)), status >= 400]).toEqual([
          path,
          scope,
          true,
          true,
        ]);
    }
    if (access !== "open") expect((await service.call(undefined, path, bodies[path])).status).toBeGreaterThanOrEqual(401);
  }
  const failures = (await home.auditRecords()).filter(({ type }) => type === "authentication_failed");
  expect(failures.length).toBeGreaterThan(0);
});

test("a reporter speaks for itself only, and only of what it can know", async () => {
  for (const [name, classes] of Object.entries(reporters)) {
    for (const source of Object.keys(reporters)) {
      const report = { class: classes[0], source, description: `${name} as ${source}` };
      const { json } = await service.call(`reporter.${name as keyof typeof reporters}`, "/api/v1/incidents/report", report);
      expect([name, source, json.code]).toEqual([name, source, name === source ? undefined : "REPORTER_SOURCE"]);
    }
    const foreign = classes.some((each) => each === "attestation_failure") ? "tool_call_burst" : "attestation_failure";
    const { status, json } = await service.call(`reporter.${name as keyof typeof reporters}`, "/api/v1/incidents/report", {
      class: foreign,
      source: name,
      description: "x",
    });
    expect([status, json.code]).toEqual([403, "REPORTER_CLASS"]);
  }
  expect(
    (await home.auditRecords()).filter(({ type, data }) => type === "report_refused" && data.source !== "nobody").length,
  ).toBe(9 * 8 + 9);
});

const deep = `${"[".repeat(40)}${"]".repeat(40)}`;
const good = { class: "integrity_violation", source: "integrity-monitor", description: "x" };
const malformed: readonly { readonly name: string; readonly status: number; readonly code: string; readonly body: string }[] = [
  { name: "a duplicate key", status: 400, code: "HTTP_BODY_MALFORMED", body: `{"class":"x",${JSON.stringify(good).slice(1)}` },
  { name: "deep nesting", status: 400, code: "HTTP_BODY_MALFORMED", body: JSON.stringify(good).replace('"x"', deep) },
  {
    name: "a huge body",
    status: 413,
    code: "HTTP_BODY_TOO_LARGE",
    body: JSON.stringify({ ...good, description: "x".repeat(70_000) }),
  },
  { name: "no JSON", status: 400, code: "HTTP_BODY_MALFORMED", body: "{" },
  { name: "an unknown class", status: 400, code: "HTTP_BODY_SCHEMA", body: JSON.stringify({ ...good, class: "other" }) },
  { name: "an unknown field", status: 400, code: "HTTP_BODY_SCHEMA", body: JSON.stringify({ ...good, admin: true }) },
  { name: "a line break", status: 400, code: "HTTP_BODY_SCHEMA", body: JSON.stringify({ ...good, description: "a\nb" }) },
  {
    name: "nested evidence",
    status: 400,
    code: "HTTP_BODY_SCHEMA",
    body: JSON.stringify({ ...good, evidence: { a: { b: { c: 1 } } } }),
  },
  { name: "a short key", status: 400, code: "HTTP_BODY_SCHEMA", body: JSON.stringify({ ...good, idempotency_key: "abc" }) },
  { name: "null", status: 400, code: "HTTP_BODY_SCHEMA", body: "null" },
];
test("malformed reports are refused by name, and nothing of them is kept", async () => {
  const before = (await service.incidents()).length;
  for (const { name, status, code, body } of malformed) {
    const answer = await service.call("reporter.integrity-monitor", "/api/v1/incidents/report", body);
    expect([name, answer.status, answer.json.code]).toEqual([name, status, code]);
  }
  expect((await service.incidents()).length).toBe(before);
});

test("typed evidence comes back as it was sent", async () => {
  const evidence = { count: 3, ratio: 0.5, ok: false, none: null, list: ["a", 1, { path: "/x", size: 2 }], table: { a: 1 } };
  const { status, json } = await service.report({ source: "gpu-integrity-watch", class: "model_behavior_anomaly", evidence });
  expect([status, json.evidence]).toEqual([201, evidence]);
  expect((await service.get(String(json.id))).evidence).toEqual(evidence);
});

test("unknown incidents and impossible steps are refused by name", async () => {
  for (const [scope, path] of [
    ["read", "/api/v1/incidents/get"],
    ["operator", "/api/v1/incidents/resolve"],
    ["operator", "/api/v1/incidents/acknowledge"],
    ["recovery-admin", "/api/v1/recovery/reattest"],
  ] as const) {
    const { status, json } = await service.call(scope, path, { id: "INC-20260101-000000-999999" });
    expect([path, status, json.code]).toEqual([path, 404, "INCIDENT_UNKNOWN"]);
  }
  const { json } = await service.report({ source: "airlock", class: "forbidden_airlock_request" });
  const early = await service.call("operator", "/api/v1/incidents/acknowledge", { id: json.id });
  expect([early.status, early.json.code]).toEqual([409, "INCIDENT_TRANSITION"]);
  const unneeded = await service.call("recovery-admin", "/api/v1/recovery/ack", { id: json.id, operator: "Ada" });
  expect([unneeded.status, unneeded.json.code]).toEqual([409, "RECOVERY_UNNEEDED"]);
  expect((await service.call("operator", "/api/v1/incidents/resolve", { id: json.id })).status).toBe(200);
  for (const path of ["resolve", "acknowledge", "acknowledge"].slice(0, 1))
    expect((await service.call("operator", `/api/v1/incidents/${path}`, { id: json.id })).json.code).toBe("INCIDENT_TRANSITION");
  const refused = (await home.auditRecords()).filter(
    ({ data }) => data.outcome === "refused" && data.code === "INCIDENT_TRANSITION",
  );
  expect(refused).toHaveLength(2);
});

test("a reporter can raise a severity and never lower it", async () => {
  const low = await service.report({ source: "integrity-monitor", description: "raise", severity: "low" });
  expect(low.json.severity).toBe("critical");
  const high = await service.report({
    source: "airlock",
    class: "forbidden_airlock_request",
    description: "raise",
    severity: "critical",
  });
  expect([high.json.severity, high.json.containment_actions]).toEqual([
    "critical",
    ["freeze_agent", "disable_airlock", "log_alert"],
  ]);
});

test("a slow sender is cut off while others are served", async () => {
  const socket = connect(service.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  socket.write("POST /api/v1/incidents/report HTTP/1.1\r\nHost: x\r\n");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  expect((await service.call(undefined, "/health")).status).toBe(200);
  await closed;
  expect((await service.call(undefined, "/health")).status).toBe(200);
});
