import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { type SignedState, STATE_BUNDLE_DOMAIN } from "@secai/kit/api/attestation";
import type { JsonValue } from "@secai/kit/digest";
import { createSigner } from "@secai/kit/signing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bench, createBench, ID, incident, requirement, trusted } from "./bench.ts";
import { beginChains, chainOf } from "./chains.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await createBench();
});
afterEach(() => bench.remove());

const refusal = (status: number, code: string) => ({ status, json: { code, message: "no", requestId: "x" } });
const requests = (scope?: string) =>
  bench.asked.filter((one) => scope === undefined || one.scope === scope).map(({ request }) => request);

describe("incidents", () => {
  beforeEach(() => {
    bench.answers["POST /api/v1/incidents/query"] = {
      json: [incident, { ...incident, id: "INC-20260101-000000-0002", state: "resolved" }],
    };
    bench.answers["POST /api/v1/incidents/get"] = { json: incident };
  });
  test("shows the unresolved, --all the others, too", async () => {
    const short = await bench.secai("incidents");
    expect([short.out.includes("-0001"), short.out.includes("-0002")]).toEqual([true, false]);
    expect((await bench.secai("incidents --all")).out).toContain("-0002");
    expect((JSON.parse((await bench.secai("incidents list --json")).out) as unknown[]).length).toBe(1);
  });
  test("filters are the recorder's", async () => {
    await bench.secai("incidents --severity critical --class integrity_violation --state contained");
    expect(bench.asked[0]?.json).toEqual({ limit: 5000, severity: "critical", class: "integrity_violation", state: "contained" });
  });
  test("show tells evidence with its types", async () => {
    const { out } = await bench.secai(`incidents show ${ID}`);
    expect(out).toMatch(/^evidence\.count +3$/m);
    expect(out).toMatch(/^freeze_agent +done \(1 attempts/m);
  });
  test("what a reporter wrote cannot move the cursor", async () => {
    bench.answers["POST /api/v1/incidents/get"] = { json: { ...incident, evidence: { path: "\u001b[2J\u202e" } } };
    expect((await bench.secai(`incidents show ${ID}`)).out).toMatch(/^evidence\.path +\?\[2J\?$/m);
  });
  test("resolve changes nothing without --yes", async () => {
    const { status, out } = await bench.secai(`incidents resolve ${ID}`);
    expect([status, out.includes("nothing was done"), bench.asked]).toEqual([0, true, []]);
  });
  test("resolve with --yes asks as the operator", async () => {
    bench.answers["POST /api/v1/incidents/resolve"] = { json: { ...incident, state: "resolved" } };
    const { status, out } = await bench.secai(`incidents resolve ${ID} --yes`);
    expect([status, out]).toEqual([0, `${ID} is resolved\n`]);
    expect(bench.asked).toMatchObject([{ scope: "operator", json: { id: ID } }]);
  });
  test("a refusal names the next step", async () => {
    bench.answers["POST /api/v1/incidents/resolve"] = refusal(409, "RECOVERY_REQUIRED");
    const { status, err } = await bench.secai(`incidents resolve ${ID} --yes`);
    expect(status).toBe(1);
    expect(err).toContain("409 RECOVERY_REQUIRED\n  next: secai recover INCIDENT");
  });
  test("a recorder that is down, or answers something else", async () => {
    bench.answers["POST /api/v1/incidents/query"] = { json: [{ id: "x" }] };
    expect(await bench.secai("incidents")).toMatchObject({ status: 3, err: expect.stringContaining("PEER_ANSWER") as string });
    await bench.down("incident-recorder");
    const { status, err, out } = await bench.secai("incidents --json");
    expect([status, err.includes("PEER_UNREACHABLE"), err.includes("    at ")]).toEqual([3, true, false]);
    expect(JSON.parse(out)).toMatchObject({ error: { code: "PEER_UNREACHABLE" } });
  });
});

describe("attest", () => {
  const bundleFor = (request_nonce: string): SignedState["bundle"] => ({
    schema: 2,
    timestamp: "2026-01-01T00:00:00.000Z",
    state: "attested",
    assurance_mode: "evaluation",
    evidence_verified: false,
    request_nonce,
    boot_measurements: { secure_boot_enabled: false, pcr_values: {}, measured_at: "2026-01-01T00:00:00Z", tpm_clock: null },
    deployment_digest: `sha256:${"0".repeat(64)}`,
    deployment_verified: true,
    release_version: "1",
    release_baseline_verified: true,
    service_digests: {},
    policy_digest: "0".repeat(64),
    registry_manifest_hash: "unavailable",
    gpu_verdict: "no_device",
    kernel_cmdline: "",
    kernel_lockdown: "integrity",
    tpm_available: false,
    tpm_measurements_verified: false,
    tpm_quote_verified: false,
    tpm_ak_fingerprint: "",
    tpm_quote_pcr_selection: "",
    failures: [],
  });
  function attestorSays(
    change: (bundle: SignedState["bundle"]) => SignedState["bundle"] = (same) => same,
    signer = bench.signer,
  ): void {
    bench.answers["POST /api/v1/refresh"] = ({ json }) => {
      const bundle = change(bundleFor(String(json.request_nonce)));
      const value = signer.sign(STATE_BUNDLE_DOMAIN, bundle as unknown as JsonValue);
      return { json: { bundle, signature: { algorithm: "ed25519", key_id: signer.keyId, value } } };
    };
  }
  test("refresh checks signature and nonce", async () => {
    attestorSays();
    const { status, out } = await bench.secai("attest refresh");
    expect([status, out.includes("verified")]).toEqual([0, true]);
  });
  test("another key is refused", async () => {
    attestorSays(undefined, createSigner("1".repeat(64)));
    expect(await bench.secai("attest refresh")).toMatchObject({
      status: 1,
      err: expect.stringContaining("CLI_SIGNATURE") as string,
    });
  });
  test("an answer to another request is refused", async () => {
    attestorSays((bundle) => ({ ...bundle, request_nonce: "0".repeat(64) }));
    expect(await bench.secai("attest refresh")).toMatchObject({ status: 1, err: expect.stringContaining("CLI_NONCE") as string });
  });
  test("a failed state is exit 1, and its failures are told", async () => {
    attestorSays((bundle) => ({
      ...bundle,
      state: "failed",
      failures: [{ check: "pcr", code: "PCR_MISMATCH", expected: "a", actual: "b" }],
    }));
    expect(await bench.secai("attest refresh")).toMatchObject({
      status: 1,
      out: expect.stringContaining("PCR_MISMATCH") as string,
    });
  });
  test("status", async () => {
    const facts = {
      evidence_verified: true,
      tpm_available: true,
      tpm_quote_verified: true,
      secure_boot: true,
      deployment_verified: true,
    };
    const json = {
      attestation_state: "attested",
      assurance_mode: "hardware",
      ...facts,
      release_baseline_verified: true,
      release_version: "1",
      failures: [],
      last_attested: "2026",
      more: 1,
    };
    bench.answers["GET /api/security/status"] = { json };
    expect((await bench.secai("attest")).out).toMatch(/^state +attested$/m);
    bench.answers["GET /api/security/status"] = { json: { ...json, attestation_state: "degraded" } };
    expect((await bench.secai("attest status")).status).toBe(1);
  });
});

describe("audit verify", () => {
  const chain = (name: string, file: string) => chainOf(bench, name, file);
  beforeEach(() => beginChains(bench));
  test("all are intact", async () => {
    const { status, out } = await bench.secai("audit verify");
    expect(status).toBe(0);
    expect(out.match(/ intact /g)).toHaveLength(6);
  });
  test("an edited one is named, and the others are told", async () => {
    const { path } = chain("incident-recorder", "incident-recorder-audit");
    await writeFile(path, (await readFile(path, "utf8")).replace('"count":1', '"count":9'));
    const { status, out } = await bench.secai("audit verify");
    expect(status).toBe(1);
    expect(out).toMatch(/^incident-recorder +AUDIT_MAC /m);
    expect(out.match(/ intact /g)).toHaveLength(5);
  });
  test("a removed one, another machine's key, one that has not begun", async () => {
    await rm(chain("vault-control", "vault-audit").path);
    await writeFile(bench.path("credentials/policy-engine-audit-hmac.key"), `${"1".repeat(64)}\n`);
    for (const folder of ["runtime-attestor", "runtime-attestor-anchor"])
      await rm(bench.path(`state/${folder}`), { recursive: true });
    const { status, out } = await bench.secai("audit verify");
    expect(status).toBe(1);
    expect(out).toMatch(/^vault-control +AUDIT_MISSING /m);
    expect(out).toMatch(/^policy-engine +AUDIT_MAC /m);
    expect(out).toMatch(/^runtime-attestor +not begun /m);
  });
  test("one by name", async () => {
    const { status, out } = await bench.secai("audit verify gpu-integrity-watch --json");
    expect([status, JSON.parse(out)]).toMatchObject([0, [{ name: "gpu-integrity-watch", ok: true, head_seq: 4 }]]);
    expect(await bench.secai("audit verify nothing")).toMatchObject({
      status: 2,
      err: expect.stringContaining("CLI_CHAIN_UNKNOWN") as string,
    });
  });
});

describe("recover", () => {
  const when = "2026-01-01T00:00:01.000Z";
  let now: typeof requirement;
  beforeEach(() => {
    now = requirement;
    let opened = 0;
    bench.answers["POST /api/v1/incidents/get"] = { json: incident };
    bench.answers["GET /api/v1/recovery/status"] = () => {
      if (now.re_attested_at !== undefined && ++opened > 1) now = { ...now, held_targets: [], recovery_complete: true };
      return { json: { pending_recoveries: [now], count: 1 } };
    };
    bench.answers["POST /api/v1/recovery/ack"] = ({ json }) => {
      now = { ...now, acked_at: when, acked_by: String(json.operator) };
      return { json: now };
    };
    bench.answers["POST /api/v1/recovery/reattest"] = () => {
      now = { ...now, re_attested_at: when, assurance: "hardware" };
      return { json: now };
    };
    bench.answers["integrity-monitor GET /api/v1/status"] = { json: { ...trusted, state: "degraded", latched_since: when } };
    bench.answers["integrity-monitor POST /api/v1/release"] = { json: { status: "released", incident_id: ID, held_by: [] } };
  });
  test("without --yes the steps are named and nothing is done", async () => {
    const { status, out } = await bench.secai(`recover ${ID}`);
    expect(status).toBe(0);
    expect(out).toContain(
      "would acknowledge the recovery, then attest the machine anew, then wait until agent, vault is released",
    );
    expect(requests("recovery-admin")).toEqual(["GET /api/v1/recovery/status"]);
  });
  test("every step in order, then the monitor's own latch, bound to the incident", async () => {
    const { status, out, err } = await bench.secai(`recover ${ID} --operator Ada --yes`);
    expect(status, err).toBe(0);
    expect(requests("recovery-admin").filter((request) => request.startsWith("POST"))).toEqual([
      "POST /api/v1/recovery/ack",
      "POST /api/v1/recovery/reattest",
    ]);
    expect(bench.asked.at(-1)).toMatchObject({
      service: "integrity-monitor",
      scope: "rebaseline",
      json: { action: "release", incident_id: ID, binding: requirement.containment_binding },
    });
    expect(out).toContain("vault-ctl unlock");
    expect(out).toContain(`next: secai incidents resolve ${ID} --yes`);
  });
  test("what was done before an interruption is not done again", async () => {
    now = { ...requirement, acked_at: when, acked_by: "Ada" };
    await bench.secai(`recover ${ID} --yes`);
    expect(requests()).not.toContain("POST /api/v1/recovery/ack");
    expect(requests()).toContain("POST /api/v1/recovery/reattest");
  });
  test("nobody answers for it: nothing is done", async () => {
    const { status, err } = await bench.secai(`recover ${ID} --yes`);
    expect([status, err.includes("--operator")]).toEqual([2, true]);
    expect(requests().filter((request) => request.startsWith("POST /api/v1/recovery"))).toEqual([]);
  });
  test("a machine that is not attested stays closed", async () => {
    bench.answers["POST /api/v1/recovery/reattest"] = refusal(409, "RECOVERY_REFUSED");
    const { status, err } = await bench.secai(`recover ${ID} --operator Ada --yes`);
    expect([status, err.includes("RECOVERY_REFUSED"), err.includes("secai attest status")]).toEqual([1, true, true]);
    expect(requests()).not.toContain("POST /api/v1/release");
  });
  test("list", async () => {
    expect((await bench.secai("recover")).out).toMatch(/integrity_violation +critical +to do +to do +agent, vault/);
  });
});

describe("vault", () => {
  test("what the broker said, and what keeps it closed", async () => {
    await writeFile(bench.path("run/vault-state"), '{"state":"locked","timestamp":"x","detail":"y"}\n');
    await mkdir(bench.path("state/vault-control/vault-latches"), { recursive: true });
    await writeFile(bench.path(`state/vault-control/vault-latches/${ID}`), "");
    const { status, out } = await bench.secai("vault");
    expect([status, out]).toEqual([0, `VAULT   NEXT\nlocked  secai recover ${ID}\nkept closed by ${ID}\n`]);
  });
  test("nothing is known of a broker that has said nothing", async () => {
    const { status, out } = await bench.secai("vault");
    expect([status, out]).toEqual([3, "VAULT    NEXT\nunknown  systemctl status secure-ai-vault-broker.service\n"]);
  });
  test("a vault that is neither open nor closed is exit 1, in the broker's words", async () => {
    await writeFile(bench.path("run/vault-state"), '{"state":"error","timestamp":"x","detail":"still mounted"}\n');
    const { status, out } = await bench.secai("vault");
    expect([status, out]).toEqual([1, "VAULT  NEXT\nerror  vault-ctl lock\nthe broker says: still mounted\n"]);
  });
});

describe("wrong use is exit 2, with what to do", () => {
  const wrong = [
    "frobnicate",
    "status --force",
    "status --yes",
    "incidents delete",
    "incidents show",
    "incidents show INC-1",
    "incidents export",
    "incidents export a b",
    "incidents list --force now",
    `incidents show ${ID} ${ID}`,
    "incidents --state lost",
    "attest everything",
    "baseline forget",
    "baseline accept everything",
    "baseline accept --force",
    "baseline capture-gpu --accept x",
    "audit repair",
    "recover everything",
    "vault unlock",
  ];
  for (const words of wrong)
    test(words, async () => {
      const { status, err, out } = await bench.secai(words);
      expect([status, out]).toEqual([2, ""]);
      expect(err).toMatch(/^secai: CLI_[A-Z_]+: .*\n {2}next: .+\n$/);
    });
  test("nothing at all", async () => {
    expect((await bench.secai("--help")).status).toBe(0);
  });
  for (const name of ["status", "incidents", "attest", "baseline", "audit", "recover", "vault"])
    test(`${name} --help has an example`, async () => {
      const { status, out } = await bench.secai(`${name} --help`);
      expect([status, out.includes(`\n  secai ${name}`)]).toEqual([0, true]);
    });
});

test("credentials of others are not read by chance: one that everybody can read is refused", async () => {
  await chmod(bench.path("credentials/incident-read.token"), 0o644);
  expect(await bench.secai("incidents")).toMatchObject({
    status: 1,
    err: expect.stringContaining("CREDENTIAL_MALFORMED") as string,
  });
});
