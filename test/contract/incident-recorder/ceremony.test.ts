import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { verifyForensic } from "@secai/formats/forensic";
import {
  containmentAnswer,
  disableRequest,
  freezeRequest,
  quarantineRequest,
  releaseRequest,
  vaultRequest,
} from "@secai/kit/api/containment";
import { incidentList, incidentShape, incidentStats, recoveryStatus, requirementShape } from "@secai/kit/api/incidents";
import { createSigner } from "@secai/kit/signing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { evaluationBundle, hardware, signState } from "./attestor.ts";
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

const shapes = {
  "/api/v1/freeze": freezeRequest,
  "/api/v1/disable": disableRequest,
  "/api/v1/quarantine": quarantineRequest,
  "/api/v1/release": releaseRequest,
};

async function containedIncident(report: Parameters<Service["report"]>[0] = { source: "integrity-monitor" }): Promise<string> {
  const { json } = await service.report(report);
  await until(async () => (await service.get(String(json.id))).state === "contained");
  return String(json.id);
}
const ack = (id: string) => service.call("recovery-admin", "/api/v1/recovery/ack", { id, operator: "Ada Lovelace" });
const reattest = (id: string) => service.call("recovery-admin", "/api/v1/recovery/reattest", { id });
const resolve = (id: string) => service.call("operator", "/api/v1/incidents/resolve", { id });

test("what it sends has the documented shape, and what it answers too", async () => {
  await home.startTargets();
  const id = await containedIncident();
  const model = { model_path: "/vault/models/m.gguf", model_name: "m" };
  const other = await containedIncident({ source: "gpu-integrity-watch", class: "manifest_mismatch", evidence: model });
  expect(home.targets.registry?.calls[0]?.body).toMatchObject({ ...model, incident_id: other });
  expect(requirementShape.is((await ack(id)).json)).toBe(true);
  expect(requirementShape.is((await reattest(id)).json)).toBe(true);
  await until(() => home.targets.agent?.held().length === 1);
  for (const target of Object.values(home.targets))
    for (const { path, body } of target.calls) expect([path, shapes[path as keyof typeof shapes].is(body)]).toEqual([path, true]);
  expect(incidentShape.is((await service.call("read", "/api/v1/incidents/get", { id })).json)).toBe(true);
  expect(incidentList.is((await service.call("read", "/api/v1/incidents")).json)).toBe(true);
  expect(recoveryStatus.is((await service.call("read", "/api/v1/recovery/status")).json)).toBe(true);
  const stats = await service.call("read", "/api/v1/stats");
  expect(incidentStats.problems(stats.json, 3)).toEqual([]);
  expect(vaultRequest.is({ action: "release", incident_id: id, reason: "x" }) && containmentAnswer.name).toBeTruthy();
});

test("a target stays closed while any incident holds it", async () => {
  await home.startTargets();
  const [one, two] = [await containedIncident(), await containedIncident()];
  await ack(one);
  await reattest(one);
  await until(async () => (await resolve(one)).status === 200);
  expect([home.targets.agent?.held(), home.targets.airlock?.held(), home.vault.held()]).toEqual([[two], [two], [two]]);
});

const forger = createSigner(randomBytes(32).toString("hex"));
const lies: readonly { readonly name: string; readonly say: Parameters<Home["attestor"]["say"]>[0]; readonly code: string }[] = [
  { name: "no answer", say: null, code: "ATTESTOR_UNAVAILABLE" },
  { name: "a failed machine", say: (nonce) => evaluationBundle(nonce, { state: "failed" }), code: "RECOVERY_REFUSED" },
  { name: "a replayed nonce", say: () => evaluationBundle("0".repeat(64)), code: "RECOVERY_REFUSED" },
  {
    name: "an old state",
    say: (nonce) => evaluationBundle(nonce, { timestamp: "2025-01-01T00:00:00Z" }),
    code: "RECOVERY_REFUSED",
  },
  { name: "a forged state", say: (nonce) => signState(forger, evaluationBundle(nonce)), code: "RECOVERY_REFUSED" },
  {
    name: "hardware without a quote",
    say: (nonce) => evaluationBundle(nonce, { ...hardware, tpm_quote_verified: false }),
    code: "RECOVERY_REFUSED",
  },
];
test("no lie of an attestor recovers anything, and each is on record", async () => {
  await home.startTargets();
  const id = await containedIncident();
  await ack(id);
  for (const { name, say, code } of lies) {
    home.attestor.say(say);
    expect([name, (await reattest(id)).json.code]).toEqual([name, code]);
  }
  expect((await resolve(id)).json.code).toBe("RECOVERY_REQUIRED");
  expect(home.targets.agent?.held()).toEqual([id]);
  const refused = (await home.auditRecords()).filter(
    ({ type, data }) => type === "recovery_reattest" && data.outcome === "refused",
  );
  expect(refused.map(({ data }) => data.code)).toEqual(lies.map(({ code }) => code));
  expect(new Set(home.attestor.nonces).size).toBe(lies.length);
});

test("a machine that has proved itself by hardware once is not recovered by less, also after a restart", async () => {
  await home.startTargets();
  const first = await containedIncident();
  await ack(first);
  home.attestor.say((nonce) =>
    evaluationBundle(nonce, {
      ...hardware,
      boot_measurements: { secure_boot_enabled: true, pcr_values: {}, measured_at: new Date().toISOString(), tpm_clock: null },
    }),
  );
  expect((await reattest(first)).json.assurance).toBe("hardware");
  const second = await containedIncident();
  await service.end("SIGKILL");
  service = await startRecorder(home);
  home.attestor.say((nonce) => evaluationBundle(nonce));
  expect((await reattest(second)).json.code).toBe("RECOVERY_REFUSED");
});

test("an absent target is a failed action that is tried until it is there", async () => {
  const { json } = await service.report({ source: "integrity-monitor" });
  const id = String(json.id);
  const failed = await until(async () => {
    const incident = await service.get(id);
    return incident.state === "containment_failed" ? incident : undefined;
  });
  expect(failed.containment_results.map(({ success, error }) => [success, error?.split(":")[0]])).toEqual([
    [false, "TARGET_ABSENT"],
    [false, "TARGET_ABSENT"],
    [true, undefined],
  ]);
  expect((await service.call(undefined, "/health")).json.status).toBe("degraded");
  await home.startTargets();
  await until(async () => (await service.get(id)).state === "contained");
  expect((await service.call(undefined, "/health")).json.status).toBe("ok");
});

test("actions run side by side: a hanging target holds up no other, and no caller", async () => {
  await home.startTargets();
  home.targets.agent?.misbehave({ delayMs: 8_000 });
  const started = performance.now();
  const { json } = await service.report({ source: "integrity-monitor" });
  expect(performance.now() - started).toBeLessThan(4_000);
  const id = String(json.id);
  await until(async () => (await service.get(id)).containment_results.length === 2, 4_000);
  const failed = await until(async () => {
    const incident = await service.get(id);
    return incident.state === "containment_failed" ? incident : undefined;
  });
  expect(failed.containment_results[0]?.error).toContain("TARGET_ANSWER");
  home.targets.agent?.misbehave({});
  await until(async () => (await service.get(id)).state === "contained");
});

test("a target that refuses, babbles or belongs to another incident is not contained", async () => {
  await home.startTargets();
  for (const [how, code] of [
    [{ status: 403 }, "TARGET_REFUSED"],
    [{ status: 500 }, "TARGET_ANSWER"],
    [{ garbage: true }, "TARGET_ANSWER"],
  ] as const) {
    home.targets.agent?.misbehave(how);
    const { json } = await service.report({ source: "agent", class: "tool_call_burst" });
    const error = await until(async () => (await service.get(String(json.id))).containment_results[0]?.error);
    expect([how, error.split(":")[0]]).toEqual([how, code]);
  }
});

test("a vault that cannot be closed says why", async () => {
  await home.startTargets();
  home.vault.answer("failure");
  const { json } = await service.report({ source: "integrity-monitor" });
  const id = String(json.id);
  await until(async () => (await service.get(id)).state === "containment_failed");
  expect((await service.get(id)).containment_results.find(({ action }) => action === "force_vault_relock")?.error).toBe(
    "TARGET_REFUSED: mount is busy",
  );
  home.vault.answer("success");
  await until(async () => (await service.get(id)).state === "contained");
});

test("a model that nobody named is said so by name, and the other actions go on", async () => {
  await home.startTargets();
  const { json } = await service.report({ source: "integrity-monitor", class: "manifest_mismatch" });
  const incident = await until(async () => {
    const found = await service.get(String(json.id));
    return found.state === "containment_failed" ? found : undefined;
  });
  expect(incident.containment_results.map(({ action, success, error }) => [action, success, error?.split(":")[0]])).toEqual([
    ["freeze_agent", true, undefined],
    ["quarantine_model", false, "MODEL_UNKNOWN"],
  ]);
});

test("webhooks go through the airlock for every outcome", async () => {
  const text = await readFile(home.policyPath, "utf8");
  await writeFile(home.policyPath, text.replace("webhooks: []", 'webhooks: [{ url: "https://example.org/hook", events: [] }]'));
  expect((await service.call("operator", "/api/v1/reload")).status).toBe(200);
  const { json } = await service.report({ source: "integrity-monitor" });
  const id = String(json.id);
  await until(async () => (await service.get(id)).state === "containment_failed");
  // What was seen is on the disk once something later is; whether its message is queued yet must not matter.
  await service.report({ source: "airlock", class: "forbidden_airlock_request" });
  await service.end("SIGKILL");
  await home.startTargets();
  service = await startRecorder(home);
  await until(async () => (await service.get(id)).state === "contained");
  await ack(id);
  await reattest(id);
  const sent = () => (home.targets.airlock?.calls ?? []).flatMap(({ path, body }) => (path === "/api/v1/webhook" ? [body] : []));
  const eventOf = ({ body }: Readonly<Record<string, unknown>>): string => (body as { event: string }).event;
  await until(() => sent().some((each) => eventOf(each) === "recovered"));
  // At least once: one whose message was queued right before the end may come a second time.
  expect([...new Set(sent().map(eventOf))]).toEqual(["containment_failed", "contained", "recovered"]);
  expect(new Set(sent().map(({ destination }) => destination))).toEqual(new Set(["https://example.org/hook"]));
});

test("the exported bundle verifies offline, with the end of the audit log and its head", async () => {
  await home.startTargets();
  const id = await containedIncident({ source: "gpu-integrity-watch", evidence: { ratio: 0.25, list: [1, { a: null }] } });
  const { status, text } = await service.call("forensic", "/api/v1/forensic/export");
  expect(status).toBe(200);
  const bundle = verifyForensic(Buffer.from(text), home.publicKey);
  expect(bundle.incidents.map((incident) => incident.id)).toEqual([id]);
  expect(bundle.audit_entries.at(-1)).toContain('"type":"forensic_export"');
  expect((await home.verifyAudit()).head).toEqual(bundle.audit_head);
  expect(() => verifyForensic(Buffer.from(text.replace('"critical"', '"low"')), home.publicKey)).toThrow("FORENSIC_SIGNATURE");
});
