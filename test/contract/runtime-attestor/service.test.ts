import { createHmac, randomBytes } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type SignedState, STATE_BUNDLE_DOMAIN, signedState } from "@secai/kit/api/attestation";
import { incidentReport } from "@secai/kit/api/incidents";
import { createSigner, signedBytes } from "@secai/kit/signing";
import { endpoints } from "@secai/runtime-attestor/api";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testRelease } from "../../../services-src/runtime-attestor/boot.test-data.ts";
import { Appliance } from "./attestor.ts";
import { Machine, POLICY_PATH } from "./machine.ts";

// The attestor as a service: who may ask, what is answered meanwhile, and what of it survives.

const release = testRelease("1");
let appliance: Appliance;
let machine: Machine;
beforeEach(async () => {
  machine = await Machine.booted({ release });
  appliance = new Appliance(machine);
});
afterEach(() => appliance.remove());
const enrol = () => expect(appliance.enrol(["enrol", "--yes"])).toMatchObject({ status: 0 });
const refresh = (body: unknown) => appliance.call("/api/v1/refresh", { method: "POST", body });
const nonce = () => randomBytes(32).toString("hex");

test("every endpoint but liveness and readiness refuses everybody without its credential", async () => {
  await appliance.start();
  const others = [randomBytes(32).toString("hex"), "", appliance.token.toUpperCase(), `${appliance.token}0`];
  for (const { path, method, access } of Object.values(endpoints))
    for (const token of others) {
      const body = method === "POST" ? {} : undefined;
      const { status, json } = await appliance.call(path, { method, token, body });
      if (access === "open") expect(status).toBe(200);
      else expect([401, 429], `${path}: ${json.code}`).toContain(status);
    }
});

const malformed: { name: string; body: string; code: string }[] = [
  { name: "a short nonce", body: '{"request_nonce":"00"}', code: "HTTP_BODY_SCHEMA" },
  { name: "an upper-case nonce", body: `{"request_nonce":"${"AB".repeat(32)}"}`, code: "HTTP_BODY_SCHEMA" },
  { name: "a nonce that is a number", body: '{"request_nonce":1}', code: "HTTP_BODY_SCHEMA" },
  { name: "an unknown member", body: `{"request_nonce":"${"ab".repeat(32)}","force":true}`, code: "HTTP_BODY_SCHEMA" },
  {
    name: "two nonces",
    body: `{"request_nonce":"${"ab".repeat(32)}","request_nonce":"${"cd".repeat(32)}"}`,
    code: "HTTP_BODY_MALFORMED",
  },
  { name: "something after the document", body: "{} {}", code: "HTTP_BODY_MALFORMED" },
  { name: "a deep document", body: `${"[".repeat(100)}${"]".repeat(100)}`, code: "HTTP_BODY_MALFORMED" },
  { name: "a large document", body: `{"request_nonce":"${"a".repeat(70_000)}"}`, code: "HTTP_BODY_TOO_LARGE" },
];
test("what is no refresh request is refused before the TPM is asked", async () => {
  await appliance.start();
  const before = appliance.audit().length;
  for (const { name, body, code } of malformed) expect((await refresh(body)).json, name).toMatchObject({ code });
  expect(appliance.audit()).toHaveLength(before);
});

test("everybody gets a quote for their own nonce; those without one share", async () => {
  enrol();
  await appliance.start();
  const [one, other] = [nonce(), nonce()];
  const answers = await Promise.all([
    refresh({ request_nonce: one }),
    refresh({}),
    refresh({ request_nonce: other }),
    refresh({}),
  ]);
  const bundles = answers.map(({ json }) => (json as unknown as SignedState).bundle);
  expect(bundles.map(({ request_nonce }) => request_nonce)).toEqual([
    one,
    bundles[1]?.request_nonce,
    other,
    bundles[1]?.request_nonce,
  ]);
  for (const { json } of answers) expect(signedState.problems(json, 1)).toEqual([]);
  for (const bundle of bundles) expect(bundle).toMatchObject({ state: "attested", evidence_verified: true });
});

test("too many refreshes are refused by name, and the regular attestation goes on", async () => {
  await appliance.start();
  const answers = await Promise.all(Array.from({ length: 8 }, () => refresh({ request_nonce: nonce() })));
  const refused = answers.filter(({ status }) => status !== 200);
  expect(refused.length).toBeGreaterThan(0);
  for (const { status, json } of refused)
    expect({ status, code: json.code }).toEqual({ status: 429, code: "REFRESH_RATE_LIMITED" });
  expect((await appliance.call("/api/v1/verify")).status).toBe(200);
});

test("liveness is answered while the TPM takes its time", async () => {
  machine.interpose("sleep 2");
  await appliance.start();
  let quoted = false;
  const slow = refresh({ request_nonce: nonce() }).then((answer) => {
    quoted = true;
    return answer;
  });
  expect(await appliance.call("/health")).toMatchObject({ status: 200, json: { status: "ok", state: "attested" } });
  expect(quoted).toBe(false);
  expect((await slow).status).toBe(200);
});

test("a bundle that a receiver forges with its own key, or changes, does not hold", async () => {
  enrol();
  await appliance.start();
  const genuine = (await refresh({})).json as unknown as SignedState;
  expect(appliance.isSigned(genuine)).toBe(true);
  const recorder = createSigner(randomBytes(32).toString("hex"));
  const forged = { ...genuine.bundle, request_nonce: nonce() };
  const value = recorder.sign(STATE_BUNDLE_DOMAIN, forged);
  expect(appliance.isSigned({ bundle: forged, signature: { ...genuine.signature, key_id: recorder.keyId, value } })).toBe(false);
  expect(appliance.isSigned({ ...genuine, bundle: { ...genuine.bundle, evidence_verified: false } })).toBe(false);
  expect(genuine).not.toHaveProperty("hmac");
});

test("the keyed forms are there once their key is, and not before", async () => {
  await appliance.start();
  expect(await appliance.call("/api/v1/attest/legacy")).toMatchObject({ status: 404, json: { code: "LEGACY_DISABLED" } });
  await appliance.stop();
  const key = randomBytes(32);
  writeFileSync(appliance.at("credentials/legacy"), key.toString("hex"), { mode: 0o600 });
  await appliance.start({ ATTESTATION_HMAC_KEY_PATH: appliance.at("credentials/legacy") });
  const { bundle, hmac } = (await appliance.call("/api/v1/attest")).json as unknown as SignedState;
  expect(hmac).toBe(createHmac("sha256", key).update(signedBytes(STATE_BUNDLE_DOMAIN, bundle)).digest("hex"));
  const legacy = await appliance.call("/api/v1/attest/legacy");
  expect(legacy).toMatchObject({ status: 200, json: { state: "attested", bundle: { request_nonce: bundle.request_nonce } } });
});

test("an attestation that cannot be recorded is a failed one, and not published", async () => {
  enrol();
  const limited = ["/usr/bin/prlimit", "--fsize=8192", "--"];
  await appliance.start({ REFRESH_INTERVAL_SECONDS: "3600" }, limited);
  const good = (await appliance.call("/api/v1/attest")).json as unknown as SignedState;
  expect(good.bundle.state).toBe("attested");
  writeFileSync(appliance.at("audit/filler"), "");
  let answer = await refresh({});
  for (let tries = 0; tries < 200 && answer.status !== 503; tries += 1) answer = await untilAllowed();
  expect(answer).toMatchObject({ status: 503, json: { code: "AUDIT_UNAVAILABLE" } });
  expect(await appliance.call("/api/v1/verify")).toMatchObject({
    status: 503,
    json: { state: "failed", policy_satisfied: false },
  });
  const { bundle } = (await appliance.call("/api/v1/attest")).json as unknown as SignedState;
  expect(bundle).toMatchObject({ state: "failed", evidence_verified: false, failures: [{ code: "AUDIT_FAILED" }] });
  expect(await appliance.call("/ready")).toMatchObject({ status: 503 });
  // With room again the chain goes on where it was.
  await appliance.stop("SIGKILL");
  await appliance.start();
  expect(await appliance.call("/api/v1/verify")).toMatchObject({ status: 200 });
  await appliance.verifyAudit();
}, 300_000);

/** Waits out the rate limit. */
async function untilAllowed() {
  for (;;) {
    const answer = await refresh({});
    if (answer.status !== 429) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

describe("reports", () => {
  let recorder: Server;
  let received: Record<string, unknown>[];
  let up: boolean;
  beforeEach(async () => {
    received = [];
    up = true;
    recorder = createServer((incoming, outgoing) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        if (!up) {
          incoming.socket.destroy();
          return;
        }
        received.push(JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>);
        outgoing.writeHead(400, { "content-type": "application/json" }).end('{"code":"TEST"}');
      });
    });
    await new Promise<void>((resolve) => recorder.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => new Promise((resolve) => recorder.close(resolve)));
  const address = () => ({ INCIDENT_RECORDER_ADDR: `127.0.0.1:${(recorder.address() as AddressInfo).port}` });
  const arrived = async (count: number) => {
    while (received.length < count) await new Promise((resolve) => setTimeout(resolve, 50));
  };

  test("a fault is told once, in the recorder's own words, and again when it comes back", async () => {
    enrol();
    await appliance.start(address());
    const before = machine.read(POLICY_PATH);
    machine.write(POLICY_PATH, "version: 2\n");
    for (const _ of [1, 2]) await refresh({});
    machine.write(POLICY_PATH, before);
    await refresh({});
    machine.write(POLICY_PATH, "version: 3\n");
    await refresh({});
    await arrived(2);
    expect(received).toHaveLength(2);
    for (const report of received) {
      expect(incidentReport.problems(report, 1)).toEqual([]);
      expect(report).toMatchObject({ class: "attestation_failure", source: "runtime-attestor", severity: "high" });
    }
    expect(received[0]?.fingerprint).toBe(received[1]?.fingerprint);
  });

  test("a fault found while the recorder is down arrives later, over the attestor's own end", async () => {
    enrol();
    up = false;
    await machine.stopTpm();
    await appliance.start(address());
    expect(readdirSync(appliance.at("state/outbox")).length).toBeGreaterThan(0);
    await appliance.stop("SIGKILL");
    up = true;
    await machine.boot({ release });
    await appliance.start(address());
    await arrived(1);
    expect(received[0]).toMatchObject({ class: "attestation_failure", severity: "critical", evidence: { tpm_available: false } });
  });
});

test("killed again and again, wherever it is, it starts, remembers, and its chain holds", async () => {
  enrol();
  for (let round = 0; round < 30; round += 1) {
    await appliance.start();
    const pending = [refresh({}), refresh({ request_nonce: nonce() })].map((answer) => answer.catch(() => undefined));
    await new Promise((resolve) => setTimeout(resolve, (round * 37) % 600));
    await appliance.stop("SIGKILL");
    await Promise.all(pending);
  }
  await appliance.start();
  expect(await appliance.call("/api/v1/verify")).toMatchObject({ status: 200, json: { verified: true } });
  await appliance.stop();
  await appliance.verifyAudit();
}, 300_000);

describe("the gate", () => {
  test("refuses a wrong credential at once, and says so", async () => {
    await appliance.start();
    writeFileSync(appliance.at("credentials/wrong"), randomBytes(32).toString("hex"), { mode: 0o600 });
    const { status, stderr } = appliance.gate({ SERVICE_TOKEN_PATH: appliance.at("credentials/wrong") });
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("PEER_REFUSED") });
  });
  test.each(["localhost:8505", "10.0.0.1:8505", "unix:/run/x.sock", "127.0.0.1:0"])("asks nobody at %s", (address) => {
    expect(appliance.gate({ ATTESTATION_VERIFY_ADDR: address }).status).toBe(2);
  });
  test("stays shut for a machine that is not attested, and names what was found", async () => {
    enrol();
    await machine.stopTpm();
    await appliance.start();
    const { status, stderr } = appliance.gate();
    expect(status).toBe(1);
    expect(stderr).toMatch(/GATE_CLOSED.*failed \(hardware\).*quote\.signature TPM_ABSENT/);
  });
});

test("it answers no more after SIGTERM, and ends with 0", async () => {
  await appliance.start();
  expect(await appliance.stop("SIGTERM")).toBe(0);
  expect(appliance.audit().at(-1)).toMatchObject({ type: "stopped", data: { state: "attested" } });
});
