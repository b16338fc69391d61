import { afterEach, beforeEach, expect, test } from "vitest";
import { createHome, type Home, type Service, startRecorder, until } from "./recorder.ts";

let home: Home;
let service: Service;
beforeEach(async () => {
  home = await createHome();
  service = await startRecorder(home);
});
afterEach(async () => {
  await service.end("SIGKILL");
  await home.remove();
});

test("an incident is kept, contained, recovered from, resolved and acknowledged", async () => {
  await home.startTargets();
  const { status, json } = await service.report({ source: "integrity-monitor", description: "a policy changed" });
  const id = String(json.id);
  expect([status, json.state, json.severity, json.latched]).toEqual([201, "open", "critical", true]);
  await until(async () => (await service.get(id)).state === "contained");
  expect([home.targets.agent?.held(), home.targets.airlock?.held(), home.vault.held()]).toEqual([[id], [id], [id]]);
  expect((await service.call("operator", "/api/v1/incidents/resolve", { id })).json.code).toBe("RECOVERY_REQUIRED");
  expect((await service.call("recovery-admin", "/api/v1/recovery/ack", { id, operator: "Ada" })).status).toBe(200);
  expect((await service.call("operator", "/api/v1/incidents/resolve", { id })).json.code).toBe("RECOVERY_REQUIRED");
  const attested = await service.call("recovery-admin", "/api/v1/recovery/reattest", { id });
  expect([attested.status, attested.json.assurance]).toEqual([200, "evaluation"]);
  await until(async () => (await service.call("read", "/api/v1/recovery/status")).text.includes('"recovery_complete":true'));
  expect([home.targets.agent?.held(), home.targets.airlock?.held(), home.vault.held()]).toEqual([[], [], []]);
  expect((await service.call("operator", "/api/v1/incidents/resolve", { id })).json.state).toBe("resolved");
  expect((await service.call("operator", "/api/v1/incidents/acknowledge", { id })).json.state).toBe("acknowledged");
  expect(await service.end("SIGTERM")).toBe(0);
  await home.verifyAudit();
});
