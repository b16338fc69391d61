import { mkdir, rm, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bench, createBench, ID, stats, trusted } from "./bench.ts";

// What somebody in front of the machine reads first: what is wrong, what it means, what to do next.

let bench: Bench;
beforeEach(async () => {
  bench = await createBench();
  await allIsWell();
});
afterEach(() => bench.remove());

const requests = (scope: string) => bench.asked.filter((one) => one.scope === scope).map(({ request }) => request);
const attestorSays = (state: string, more: object = {}): void => {
  const isGood = state === "attested";
  const verdict = { verified: isGood, policy_satisfied: isGood, state, assurance_mode: "hardware", evidence_verified: isGood };
  bench.answers["runtime-attestor GET /api/v1/verify"] = { status: isGood ? 200 : 503, json: { ...verdict, ...more } };
};
const monitorSays = (more: object): void => {
  bench.answers["integrity-monitor GET /api/v1/status"] = { json: { ...trusted, ...more } };
};
const vaultIs = (state: string, detail = "seen") =>
  writeFile(bench.path("run/vault-state"), `${JSON.stringify({ state, timestamp: "x", detail })}\n`);
const gpuSays = (verdict: string): void => {
  bench.answers["GET /v1/status"] = {
    json: { latest: { timestamp: "x", verdict, composite_score: 0 }, baseline: { state: "none" } },
  };
};
const recorderSays = (counts: object, health: object = {}): void => {
  bench.answers["GET /api/v1/stats"] = { json: { ...stats, ...counts } };
  const well = { status: "ok", containment_failed: 0, latched: 0, writable: true };
  bench.answers["incident-recorder GET /health"] = { json: { ...well, ...health } };
};

async function allIsWell(): Promise<void> {
  attestorSays("attested");
  monitorSays({});
  gpuSays("no_device");
  recorderSays({});
  await vaultIs("unlocked");
}

test("all is well", async () => {
  const { status, out, err } = await bench.secai("status");
  expect([status, err]).toEqual([0, ""]);
  for (const words of ["policy-engine", "attested, hardware", "trusted", "no_device", "no open incident", "unlocked"])
    expect(out).toContain(words);
  expect(out).not.toContain("\u001b");
  expect(out.trimEnd().split("\n")).toHaveLength(11);
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

const profile = { category: "state_file", path: "/p/profile.json", kind: "changed", expected: "a", actual: "b" };
const policy = { category: "policy_file", path: "/etc/p.yaml", kind: "covered", expected: "a", actual: "b" };
interface Row {
  readonly name: string;
  readonly exit: 0 | 1 | 3;
  readonly make: () => void | Promise<void>;
  /** What its line says, and the next step there. */
  readonly what: string;
  readonly says: string;
  readonly next: string;
  /** The sentence below the table; absent: there is none. */
  readonly why?: string;
}
const rows: readonly Row[] = [
  {
    name: "a failed attestation, with what was found",
    exit: 1,
    make() {
      attestorSays("failed");
      const failures = ["PCR_MISMATCH", "B", "C", "D"].map((code) => ({ check: "boot.pcr4", code, expected: "a", actual: "b" }));
      const facts = { evidence_verified: false, tpm_available: true, tpm_quote_verified: true, secure_boot: true };
      const more = { deployment_verified: true, release_baseline_verified: false, release_version: "1", last_attested: null };
      const json = { attestation_state: "failed", assurance_mode: "hardware", ...facts, ...more, failures };
      bench.answers["runtime-attestor GET /api/security/status"] = { json };
    },
    what: "runtime-attestor says",
    says: "failed, hardware",
    next: "secai attest status",
    why: "what booted, or the TPM, is not what was enrolled: boot.pcr4 PCR_MISMATCH, boot.pcr4 B, boot.pcr4 C, …",
  },
  {
    name: "a degraded one of which no more can be said",
    exit: 1,
    make: () => attestorSays("degraded"),
    what: "runtime-attestor says",
    says: "degraded, hardware",
    next: "secai attest status",
    why: "what runs is not what was released",
  },
  {
    name: "an attestation that is too old",
    exit: 1,
    make: () => attestorSays("attested", { verified: false, policy_satisfied: false }),
    what: "runtime-attestor says",
    says: "attested, hardware",
    next: "secai attest status",
    why: "its last attestation is too old",
  },
  {
    name: "a machine that nobody enrolled works, and is told to prove nothing",
    exit: 0,
    make: () => attestorSays("attested", { verified: false, evidence_verified: false, assurance_mode: "evaluation" }),
    what: "runtime-attestor says",
    says: "attested, evaluation",
    next: "secai-attestation-enrol enrol",
    why: "nobody enrolled this machine: it works, and proves nothing about itself",
  },
  {
    name: "something of the release that is wrong",
    exit: 1,
    make: () =>
      monitorSays({ state: "degraded", latched_since: "2026", violation_count: 2, active_violations: [policy, profile] }),
    what: "integrity-monitor says",
    says: "degraded, 2 wrong now",
    next: "secai baseline verify",
    why: "policy_file /etc/p.yaml covered, state_file /p/profile.json changed",
  },
  {
    name: "something of this machine's own",
    exit: 1,
    make: () => monitorSays({ state: "degraded", latched_since: "2026", violation_count: 1, active_violations: [profile] }),
    what: "integrity-monitor says",
    says: "degraded, 1 wrong now",
    next: "secai baseline accept, if that was you",
    why: "state_file /p/profile.json changed",
  },
  {
    name: "a latch for something that is right again",
    exit: 1,
    make: () => monitorSays({ state: "recovery_required", latched_since: "2026", latch_reasons: [policy] }),
    what: "integrity-monitor says",
    says: "recovery_required, latched",
    next: "secai recover",
    why: "nothing is wrong now; since 2026 there was: policy_file /etc/p.yaml covered",
  },
  {
    name: "a monitor that has not looked yet",
    exit: 3,
    make: () => monitorSays({ scanned: false }),
    what: "integrity-monitor says",
    says: "looking",
    next: "secai status, in a minute",
    why: "it has not seen everything yet",
  },
  {
    name: "a GPU that is critical",
    exit: 1,
    make: () => gpuSays("critical"),
    what: "gpu-integrity-watch says",
    says: "critical",
    next: "secai baseline verify",
  },
  {
    name: "incidents that closed nothing",
    exit: 1,
    make: () => recorderSays({ open_incidents: 2, contained_count: 1 }),
    what: "incident-recorder says",
    says: "2 unresolved: 1 open, 1 contained",
    next: "secai incidents",
  },
  {
    name: "incidents that keep something closed",
    exit: 1,
    make: () => recorderSays({ open_incidents: 1, contained_count: 1 }, { latched: 1 }),
    what: "incident-recorder says",
    says: "1 unresolved: 1 contained",
    next: "secai recover",
    why: "what was closed stays closed until the recovery",
  },
  {
    name: "an incident that could not be contained comes first",
    exit: 1,
    make: () =>
      recorderSays({ open_incidents: 2, contained_count: 1 }, { status: "degraded", containment_failed: 1, latched: 2 }),
    what: "incident-recorder says",
    says: "2 unresolved: 1 contained, 1 not contained",
    next: "secai incidents --state containment_failed",
    why: "something that should have been closed may be open; it is tried again",
  },
  {
    name: "a recorder that cannot write",
    exit: 1,
    make: () => recorderSays({}, { status: "degraded", writable: false }),
    what: "incident-recorder says",
    says: "nothing can be recorded",
    next: "df /var",
    why: "full or broken storage; what is reported waits",
  },
  {
    name: "a locked vault is no fault",
    exit: 0,
    make: () => vaultIs("locked"),
    what: "vault",
    says: "locked",
    next: "vault-ctl unlock",
  },
  {
    name: "a vault that an incident keeps closed",
    exit: 0,
    async make() {
      await vaultIs("locked");
      await mkdir(bench.path("state/vault-control/vault-latches"), { recursive: true });
      await writeFile(bench.path(`state/vault-control/vault-latches/${ID}`), "");
    },
    what: "vault",
    says: "locked",
    next: `secai recover ${ID}`,
    why: `kept closed by ${ID}`,
  },
  {
    name: "a vault that is neither open nor closed",
    exit: 1,
    make: () => vaultIs("error", "still mounted"),
    what: "vault",
    says: "error",
    next: "vault-ctl lock",
    why: "still mounted",
  },
  {
    name: "a broker that has said nothing",
    exit: 3,
    make: () => rm(bench.path("run/vault-state")),
    what: "vault",
    says: "unknown",
    next: "systemctl status secure-ai-vault-broker.service",
    why: "its broker has not said anything since the start",
  },
];
describe("what is wrong, what it means and what to do", () => {
  for (const { name, exit, make, what, says, next, why } of rows)
    test(name, async () => {
      await make();
      const { status, out } = await bench.secai("status");
      expect(status).toBe(exit);
      const lines = out.split("\n");
      expect(lines.map((line) => line.trimEnd().split(/ {2,}/))).toContainEqual([what, says, next]);
      expect(lines.filter((line) => line.startsWith(`${what}: `))).toEqual(why === undefined ? [] : [`${what}: ${why}`]);
    });
});

describe("the start gate", () => {
  test("what waits behind it is told to wait for the attestation", async () => {
    attestorSays("failed");
    await bench.down("policy-engine");
    await bench.down("incident-recorder");
    const { status, out } = await bench.secai("status");
    expect(status).toBe(1);
    expect(out).toMatch(/^policy-engine +down +secai attest status$/m);
    expect(out).toContain("policy-engine: the start gate lets it start on an attested machine only");
    expect(out).toMatch(/^incident-recorder +down +systemctl status secure-ai-incident-recorder\.service$/m);
  });
  test("on an attested machine it is simply down", async () => {
    await bench.down("policy-engine");
    expect((await bench.secai("status")).out).toMatch(
      /^policy-engine +down +systemctl status secure-ai-policy-engine\.service$/m,
    );
  });
});

test("the same as JSON", async () => {
  attestorSays("degraded");
  const { out } = await bench.secai("status --json");
  const { ok, checks } = JSON.parse(out) as { ok: boolean; checks: unknown[] };
  expect([ok, checks.length]).toEqual([false, 10]);
  expect(checks).toContainEqual({
    what: "runtime-attestor says",
    says: "degraded, hardware",
    ok: false,
    next: "secai attest status",
    why: "what runs is not what was released",
  });
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

test("what a file is called cannot move the cursor", async () => {
  monitorSays({ state: "degraded", violation_count: 1, active_violations: [{ ...policy, path: "\u001b[2J\u202e" }] });
  expect((await bench.secai("status")).out).toContain("policy_file ?[2J? covered");
});
