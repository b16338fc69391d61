import { randomInt, randomUUID } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createHome, type Home, type Service, startRecorder, until } from "./recorder.ts";

let home: Home;
let service: Service | undefined;
beforeEach(async () => {
  home = await createHome();
});
afterEach(async () => {
  await service?.end("SIGKILL");
  await home.remove();
});

const KILLS = 110;

test(`killed ${KILLS} times at random points, it loses no incident it answered for, breaks no chain and always starts again`, async () => {
  await home.startTargets();
  const answered = new Map<string, { id: string; state: string }>();
  const keys = new Map<string, string>();
  for (let round = 0; round < KILLS; round += 1) {
    const running = await startRecorder(home);
    service = running;
    const killed = new Promise<unknown>((resolve) => {
      setTimeout(() => resolve(running.end("SIGKILL")), randomInt(1, 120));
    });
    await Promise.allSettled([load(running, answered, keys), load(running, answered, keys), killed]);
  }
  service = await startRecorder(home);
  const incidents = new Map((await service.incidents()).map((incident) => [incident.id, incident]));
  expect(answered.size).toBeGreaterThan(KILLS / 2);
  for (const [description, { id, state }] of answered) {
    expect(incidents.get(id)?.description).toBe(description);
    if (state === "resolved") expect(incidents.get(id)?.state).toBe("resolved");
  }
  // A key that was answered is one incident, however often it is sent again.
  for (const [key, description] of [...keys].slice(-50)) {
    const again = await service.report({
      source: "airlock",
      class: "forbidden_airlock_request",
      description,
      idempotency_key: key,
    });
    expect([again.status, again.json.id]).toEqual([200, answered.get(description)?.id]);
  }
  expect(new Set([...incidents.values()].map(({ id }) => Number(id.split("-").at(-1)))).size).toBe(incidents.size);
  await home.verifyAudit();
  expect(await service.end("SIGTERM")).toBe(0);
});

async function load(
  running: Service,
  answered: Map<string, { id: string; state: string }>,
  keys: Map<string, string>,
): Promise<void> {
  for (;;) {
    const [description, key] = [randomUUID(), randomUUID()];
    const { status, json } = await running.report({
      source: "airlock",
      class: "forbidden_airlock_request",
      description,
      idempotency_key: key,
    });
    if (status !== 201) throw new Error(`status ${status}`);
    const entry = { id: String(json.id), state: "open" };
    answered.set(description, entry);
    keys.set(key, description);
    const resolved = await running.call("operator", "/api/v1/incidents/resolve", { id: json.id });
    if (resolved.status === 200) entry.state = "resolved";
  }
}

test("killed between detection and containment, it finishes containment after the restart", async () => {
  for (let round = 0; round < 12; round += 1) {
    const running = await startRecorder(home);
    service = running;
    const { json } = await running.report({ source: "integrity-monitor" });
    await running.end("SIGKILL");
    if (round === 0) await home.startTargets();
    const next = await startRecorder(home);
    service = next;
    const contained = await until(async () => {
      const incident = await next.get(String(json.id));
      return incident.state === "contained" ? incident : undefined;
    });
    expect(contained.containment_results.map(({ action, success }) => [action, success])).toEqual([
      ["freeze_agent", true],
      ["disable_airlock", true],
      ["force_vault_relock", true],
    ]);
    expect(home.targets.agent?.held()).toContain(json.id);
    await next.end("SIGKILL");
  }
});

test("killed in the middle of containment, it resumes what has no result and keeps what has one", async () => {
  await home.startTargets();
  home.vault.answer("nothing");
  const before = await startRecorder(home);
  service = before;
  const { json } = await before.report({ source: "integrity-monitor" });
  const id = String(json.id);
  await until(async () => (await before.get(id)).containment_results.length === 2);
  await before.end("SIGKILL");
  home.vault.answer("success");
  const after = await startRecorder(home);
  service = after;
  await until(async () => (await after.get(id)).state === "contained");
  expect(home.targets.agent?.calls).toHaveLength(1);
});

test("killed between reports, it still counts those from before to an escalation", async () => {
  const report = { source: "agent", class: "prompt_injection" } as const;
  for (const severity of ["high", "high", "critical"]) {
    service = await startRecorder(home);
    expect((await service.report(report)).json.severity).toBe(severity);
    await service.end("SIGKILL");
  }
});

test("killed in the middle of a release, it opens the rest after the restart", async () => {
  await home.startTargets();
  const before = await startRecorder(home);
  service = before;
  const { json } = await before.report({ source: "integrity-monitor" });
  const id = String(json.id);
  await until(async () => (await before.get(id)).state === "contained");
  home.vault.answer("nothing");
  await before.call("recovery-admin", "/api/v1/recovery/reattest", { id });
  await before.call("recovery-admin", "/api/v1/recovery/ack", { id, operator: "Ada" });
  await until(() => home.targets.agent?.held().length === 0 && home.targets.airlock?.held().length === 0);
  expect((await before.call("operator", "/api/v1/incidents/resolve", { id })).json.code).toBe("RECOVERY_REQUIRED");
  await before.end("SIGKILL");
  home.vault.answer("success");
  const after = await startRecorder(home);
  service = after;
  await until(async () => (await after.call("operator", "/api/v1/incidents/resolve", { id })).status === 200);
  expect(home.vault.held()).toEqual([]);
});
