import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type SignedState, STATE_BUNDLE_DOMAIN } from "@secai/kit/api/attestation";
import { openAudit } from "@secai/kit/audit";
import type { JsonValue } from "@secai/kit/digest";
import { createSigner } from "@secai/kit/signing";
import { systemClock } from "@secai/kit/sources";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bench, createBench, ID, incident, requirement, stats } from "./bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await createBench();
});
afterEach(() => bench.remove());

const refusal = (status: number, code: string) => ({ status, json: { code, message: "no", requestId: "x" } });
const requests = (scope?: string) =>
  bench.asked.filter((one) => scope === undefined || one.scope === scope).map(({ request }) => request);

function allIsWell(): void {
  const verdict = {
    verified: true,
    policy_satisfied: true,
    state: "attested",
    assurance_mode: "hardware",
    evidence_verified: true,
  };
  bench.answers["runtime-attestor GET /api/v1/verify"] = { json: verdict };
  bench.answers["GET /api/v1/status"] = {
    json: { state: "trusted", latched_since: null, violation_count: 0, last_scan_at: null, baseline: null },
  };
  bench.answers["GET /v1/status"] = {
    json: { latest: { timestamp: "x", verdict: "no_device", composite_score: 0 }, baseline: { state: "none" } },
  };
  bench.answers["GET /api/v1/stats"] = { json: stats };
}

describe("status", () => {
  beforeEach(allIsWell);
  test("all is well", async () => {
    const { status, out, err } = await bench.secai("status");
    expect([status, err]).toEqual([0, ""]);
    for (const words of ["policy-engine", "attested, hardware", "trusted", "no_device", "no open incident"])
      expect(out).toContain(words);
    expect(out).not.toContain("\u001b");
  });
  test("a service that is down is said so, with what to do, and the rest is told", async () => {
    await bench.down("integrity-monitor");
    const { status, out, err } = await bench.secai("status");
    expect([status, err]).toEqual([3, ""]);
    expect(out).toMatch(/^integrity-monitor +down +systemctl status secure-ai-integrity-monitor\.service$/m);
    expect(out).toMatch(/^runtime-attestor says +attested, hardware/m);
  });
  test("all services down is no stack", async () => {
    for (const name of [
      "policy-engine",
      "runtime-attestor",
      "integrity-monitor",
      "incident-recorder",
      "gpu-integrity-watch",
    ] as const)
      await bench.down(name);
    const { status, out, err } = await bench.secai("status --json");
    expect([status, err]).toEqual([3, ""]);
    expect((JSON.parse(out) as { ok: boolean }).ok).toBe(false);
  });
  const bad: readonly { name: string; do: () => void; says: string }[] = [
    {
      name: "a failed attestation",
      do: () => {
        const json = {
          verified: false,
          policy_satisfied: false,
          state: "failed",
          assurance_mode: "hardware",
          evidence_verified: false,
        };
        bench.answers["runtime-attestor GET /api/v1/verify"] = { status: 503, json };
      },
      says: "failed, hardware",
    },
    {
      name: "open incidents",
      do: () => {
        bench.answers["GET /api/v1/stats"] = { json: { ...stats, open_incidents: 2 } };
      },
      says: "2 open incidents",
    },
    {
      name: "a GPU that is critical",
      do: () => {
        bench.answers["GET /v1/status"] = {
          json: { latest: { timestamp: "x", verdict: "critical", composite_score: 1 }, baseline: { state: "held" } },
        };
      },
      says: "critical",
    },
  ];
  for (const row of bad)
    test(`${row.name} is exit 1`, async () => {
      row.do();
      const { status, out } = await bench.secai("status");
      expect(status).toBe(1);
      expect(out).toContain(row.says);
    });
  test("liveness is asked without a credential, everything else with the one for it", async () => {
    await bench.secai("status");
    expect(requests("foreign")).toEqual([]);
    expect(new Set(requests("none"))).toEqual(new Set(["GET /health"]));
  });
  test("a missing credential is named", async () => {
    await rm(bench.path("credentials/incident-read.token"));
    const { status, out } = await bench.secai("status");
    expect([status, out.includes("CREDENTIAL_MISSING")]).toEqual([3, true]);
  });
});

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

describe("baseline", () => {
  test("verify says what is not as it should be", async () => {
    bench.answers["POST /api/v1/scan"] = {
      json: { state: "degraded", violation_count: 1, violations: [{ path: "/etc/x", kind: "changed" }] },
    };
    bench.answers["POST /v1/check"] = { json: { verdict: "no_device", probes: [] } };
    const { status, out } = await bench.secai("baseline verify");
    expect([status, out]).toEqual([1, "integrity: degraded, 1 violations\n  path=/etc/x kind=changed\ngpu: no_device\n"]);
  });
  test("a service that is down is said, and the other is told", async () => {
    bench.answers["POST /v1/check"] = { json: { verdict: "healthy", probes: [] } };
    await bench.down("integrity-monitor");
    const { status, out } = await bench.secai("baseline verify");
    expect(status).toBe(3);
    expect(out).toContain("PEER_UNREACHABLE");
    expect(out).toContain("gpu: healthy");
  });
  test("capture-gpu counts, and captures with --yes only", async () => {
    const counts = { content_digest: "b".repeat(64), files: 1, sentinels: null, drivers: 0, devices: 0 };
    bench.answers["POST /v1/baseline"] = ({ json }) => ({
      json: { status: json.dry_run === true ? "candidate" : "captured", ...counts },
    });
    expect((await bench.secai("baseline capture-gpu --replace")).out).toContain("nothing was captured");
    await bench.secai(`baseline capture-gpu --replace --accept ${"b".repeat(64)} --yes`);
    expect(bench.asked.map(({ json }) => json)).toEqual([{ dry_run: true }, { replace: true, accept_digest: "b".repeat(64) }]);
  });
});

describe("audit verify", () => {
  const chain = (name: string, file: string) => ({
    path: bench.path(`state/${name}/${file}.jsonl`),
    anchorPath: bench.path(`state/${name}-anchor/${file}.head`),
  });
  const all = [
    ["policy-engine", "policy-engine-audit", "policy-engine-audit-hmac.key"],
    ["runtime-attestor", "runtime-attestor-audit", "runtime-attestor-audit-hmac.key"],
    ["integrity-monitor", "integrity-monitor-audit", "integrity-monitor-audit-hmac.key"],
    ["incident-recorder", "incident-recorder-audit", "incident-recorder-audit-hmac.key"],
    ["gpu-integrity-watch", "gpu-integrity-watch-audit", "gpu-integrity-watch-audit-hmac.key"],
    ["vault-control", "vault-audit", "vault-relock-audit-hmac.key"],
  ] as const;
  beforeEach(async () => {
    for (const [name, file, key] of all) {
      const { path, anchorPath } = chain(name, file);
      for (const folder of [dirname(path), dirname(anchorPath)]) await mkdir(folder, { recursive: true });
      const log = await openAudit({ path, anchorPath, key: bench.key(key), clock: systemClock });
      for (let count = 0; count < 3; count += 1) await log.append("something", { count });
      await log.close();
    }
  });
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
    bench.answers["integrity-monitor GET /api/v1/status"] = {
      json: { state: "degraded", latched_since: when, violation_count: 0, last_scan_at: null, baseline: null },
    };
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
  test("nothing is known before the broker was asked for something", async () => {
    expect((await bench.secai("vault --json")).status).toBe(3);
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
    `incidents show ${ID} ${ID}`,
    "incidents --state lost",
    "attest everything",
    "baseline forget",
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
