import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Incident } from "@secai/kit/api/incidents";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as gpu from "../gpu-integrity-watch/bench.ts";
import { evaluationBundle, hardware } from "../incident-recorder/attestor.ts";
import { createHome, type Home, type Service, startRecorder, until } from "../incident-recorder/recorder.ts";
import * as vault from "../vault-control/bench.ts";

// The whole way with the real programs: the GPU watch, the recorder, the vault's broker, vault-ctl and secai. Agent, airlock, registry and
// attestor are the conformance targets; the vault's kernel is a folder.

let home: Home;
let recorder: Service;
let machine: gpu.Bench;
let watch: gpu.Service;
let vaultBench: vault.Bench;
let watching: Promise<void>;
let isOver: boolean;

/** What the .path unit does: starts the broker while something lies among the requests. */
async function startBrokerOnRequests(): Promise<void> {
  while (!isOver) {
    if ((await readdir(vaultBench.path("requests"))).length > 0) await vaultBench.broker();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

beforeEach(async () => {
  isOver = false;
  vaultBench = await vault.createBench(true);
  watching = startBrokerOnRequests();
  home = await createHome();
  home.vault.stop();
  Object.assign(home.env, {
    VAULT_RELOCK_REQUEST_DIR: vaultBench.path("requests"),
    VAULT_RELOCK_RESULT_DIR: vaultBench.path("results"),
  });
  home.attestor.say((nonce) => {
    const { boot_measurements } = evaluationBundle(nonce);
    return evaluationBundle(nonce, { ...hardware, boot_measurements: { ...boot_measurements, secure_boot_enabled: true } });
  });
  await home.startTargets();
  recorder = await startRecorder(home);
  machine = await gpu.createBench();
  await gpu.addCard(machine);
  await machine.model("m.gguf", "weights");
  watch = await gpu.startService(machine, {
    INCIDENT_RECORDER_ADDR: `127.0.0.1:${recorder.port}`,
    INCIDENT_RECORDER_TOKEN_PATH: join(home.path, "credentials/incident-reporter-gpu-integrity-watch.token"),
  });
  expect((await watch.call("POST", "/v1/baseline", { token: machine.tokens.watch, body: {} })).status).toBe(200);
});
afterEach(async () => {
  await watch.end("SIGKILL");
  await recorder.end("SIGKILL");
  isOver = true;
  await watching;
  await Promise.all([machine.remove(), home.remove(), vaultBench.remove()]);
});

async function secai(...words: string[]): Promise<{ status: number | null; out: string }> {
  const child = spawn(process.execPath, ["services-src/appliance-cli/programs/main.ts", ...words], {
    cwd: vault.top,
    env: {
      PATH: process.env.PATH,
      SECAI_CREDENTIALS: join(home.path, "credentials"),
      SECAI_INCIDENT_RECORDER_ADDR: `127.0.0.1:${recorder.port}`,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => said.push(chunk));
  const [status] = (await once(child, "close")) as [number | null];
  return { status, out: Buffer.concat(said).toString() };
}

/** The one incident, once it is what the test waits for. */
const incident = (state: Incident["state"]): Promise<Incident> =>
  until(async () => (await recorder.incidents()).find((one) => one.state === state), 60_000);
const check = () => watch.call("POST", "/v1/check", { token: machine.tokens.watch });

test("another driver: contained, the vault closed and kept closed, recovered, opened again", async () => {
  await machine.put("sys/module/amdgpu/srcversion", "FEDCBA9876543210\n");
  expect((await check()).json.verdict).toBe("critical");
  const { id, class: name, evidence } = await incident("contained");
  expect([name, evidence.probe, evidence.composite_score]).toEqual([
    "integrity_violation",
    "driver_fingerprint",
    expect.any(Number),
  ]);
  expect(await vaultBench.isClosed()).toBe(true);
  expect(home.targets.agent?.held()).toEqual([id]);

  expect((await vaultBench.control(["unlock"], vault.PASSPHRASE)).err).toContain("VAULT_LATCHED");
  const early = await secai("incidents", "resolve", id, "--yes");
  expect([early.status, early.out.includes("secai recover")], early.out).toEqual([1, true]);

  expect((await secai("recover")).out).toContain(id);
  const recovered = await secai("recover", id, "--operator", "Ada", "--yes");
  expect(recovered.status, recovered.out).toBe(0);
  expect(home.targets.agent?.held()).toEqual([]);
  expect(await readdir(vaultBench.path("latches"))).toEqual([]);
  expect(await vaultBench.isClosed()).toBe(true);

  expect((await secai("incidents", "resolve", id, "--yes")).out).toBe(`${id} is resolved\n`);
  expect((await secai("incidents", "acknowledge", id, "--yes")).out).toBe(`${id} is acknowledged\n`);
  expect((await vaultBench.control(["unlock"], vault.PASSPHRASE)).status).toBe(0);
  await vaultBench.verify();
  await home.verifyAudit();
});

test("another model: one incident however often it is seen, and that very model is put away", async () => {
  await machine.model("m.gguf", "poison!");
  await check();
  const { id } = await incident("contained");
  await check();
  await check();
  await until(async () => (await recorder.get(id)).count >= 3);
  expect(await recorder.incidents()).toHaveLength(1);
  const quarantine = home.targets.registry?.calls.find(({ path }) => path === "/api/v1/quarantine");
  expect(quarantine?.body).toMatchObject({ incident_id: id, model_path: machine.path("models/m.gguf"), model_name: "m.gguf" });
});
