import type { StateBundle } from "@secai/kit/api/attestation";
import { KitError } from "@secai/kit/errors";
import { createMetrics } from "@secai/kit/metrics";
import type { Report } from "@secai/kit/reporting";
import { createSigner } from "@secai/kit/signing";
import { describe, expect, test } from "vitest";
import { type AttestorParts, createAttestor, verdictOf } from "./attestor.ts";
import type { Finding } from "./finding.ts";
import type { Seen } from "./machine.ts";
import { EMPTY_MEMORY, type Memory } from "./memory.ts";
import { EVALUATION } from "./profile.ts";

const ROOT = "aa".repeat(32);
const finding = (check: string, code: string): Finding => ({ check, code, expected: "", actual: "" });

/** An attestor over a machine without a TPM, of which a test changes what it likes. */
function bench(change: Partial<AttestorParts> = {}) {
  const written: Memory[] = [];
  const reports: Report[] = [];
  const records: { type: string; data: Record<string, unknown> }[] = [];
  const time = { wallMs: Date.UTC(2026, 0, 1), monotonicMs: 0 };
  const seen = {
    evidence: {
      ...{
        nonce: "",
        quote: undefined,
        eventLog: undefined,
        userspaceLog: undefined,
        commandLine: "",
        services: undefined,
        running: undefined,
      },
      ...{
        secureBoot: "enabled",
        root: { verity: "verified", hash: ROOT, readOnly: true },
        release: { imageId: "", imageVersion: "" },
      },
    },
    ...{
      profile: EVALUATION,
      statements: [],
      pcrSignatures: { state: "absent", code: "", detail: "" },
      lockdown: "",
      gpuVerdict: "unavailable",
    },
    ...{
      software: { services: {}, policyDigest: "11".repeat(32), findings: [] },
      problems: [],
      registryManifestHash: "unavailable",
    },
  } as unknown as { -readonly [K in keyof Seen]: Seen[K] };
  const attestor = createAttestor({
    observe: async (nonce) => ({ ...seen, nonce }),
    memory: EMPTY_MEMORY,
    memoryLost: false,
    writeMemory: async (memory) => void written.push(memory),
    audit: {
      append: async (type, data) => {
        records.push({ type, data: data as Record<string, unknown> });
        return { seq: records.length, mac: "" };
      },
    },
    signer: createSigner("01".repeat(32)),
    legacyKey: undefined,
    reporter: {
      put: async (report) => {
        reports.push(report);
        return "key";
      },
    },
    clock: { nowMs: () => time.wallMs, monotonicMs: () => time.monotonicMs },
    log: () => {},
    metrics: createMetrics("test"),
    refreshIntervalMs: 300_000,
    ...change,
  });
  return { attestor, seen, written, reports, records, time };
}
const never = new AbortController().signal;

test("what is published was recorded and remembered before", async () => {
  const { attestor, written, records } = bench();
  expect(attestor.verdict()).toMatchObject({ state: "pending", policy_satisfied: false });
  const { bundle } = await attestor.attest();
  expect(bundle.state).toBe("attested");
  expect(records).toMatchObject([{ type: "attestation", data: { state: "attested", request_nonce: bundle.request_nonce } }]);
  expect(written[0]).toMatchObject({ attest_count: 1, policies: [{ root: ROOT }] });
});

const full = new KitError("AUDIT_UNAVAILABLE");
const cannot: { name: string; parts: Partial<AttestorParts> }[] = [
  { name: "recorded", parts: { audit: { append: () => Promise.reject(full) } } },
  { name: "remembered", parts: { writeMemory: () => Promise.reject(full) } },
];
for (const { name, parts } of cannot)
  test(`what cannot be ${name} is failed, and its own bundle is never seen`, async () => {
    const { attestor } = bench(parts);
    await expect(attestor.refresh("ab".repeat(32), never)).rejects.toThrow(
      expect.objectContaining({ code: "AUDIT_UNAVAILABLE" }),
    );
    expect(attestor.current()?.bundle).toMatchObject({ state: "failed", failures: [{ code: "AUDIT_FAILED" }] });
    expect(attestor.verdict()).toMatchObject({ policy_satisfied: false, verified: false });
  });

test("a fault is reported when it appears, once, and again after it was gone", async () => {
  const { attestor, seen, reports } = bench();
  const faulty = { services: {}, policyDigest: "11".repeat(32), findings: [finding("software.services", "SERVICE_CHANGED")] };
  const { software } = seen;
  for (const now of [software, faulty, faulty, software, faulty]) {
    seen.software = now;
    await attestor.attest();
  }
  expect(reports).toHaveLength(2);
  expect(attestor.memory()).toMatchObject({
    attest_count: 2,
    degrade_count: 3,
    last_fault: { state: "degraded", codes: ["SERVICE_CHANGED"] },
  });
});

test("a report that cannot be queued is tried with the next attestation", async () => {
  let tries = 0;
  const put = () => (++tries === 1 ? Promise.reject(new Error("full")) : Promise.resolve("key"));
  const { attestor, seen } = bench({ reporter: { put } });
  seen.problems = [finding("profile.read", "PROFILE_MALFORMED")];
  for (const _ of [1, 2, 3]) expect((await attestor.attest()).bundle.state).toBe("failed");
  expect(tries).toBe(2);
});

test("the same root cannot have other policies, another root may", async () => {
  const { attestor, seen } = bench();
  await attestor.attest();
  seen.software = { ...seen.software, policyDigest: "22".repeat(32) };
  expect((await attestor.attest()).bundle.failures).toMatchObject([{ check: "software.policies", code: "POLICY_DIGEST" }]);
  seen.evidence = seen.evidence && { ...seen.evidence, root: { verity: "verified", hash: "bb".repeat(32), readOnly: true } };
  expect((await attestor.attest()).bundle.failures).toEqual([]);
});

test("lost memory is a finding of the first attestation; a lost enrolment of every one", async () => {
  const lost = bench({ memoryLost: true });
  expect((await lost.attestor.attest()).bundle.failures).toMatchObject([{ code: "STATE_LOST" }]);
  expect((await lost.attestor.attest()).bundle.failures).toEqual([]);
  const { attestor } = bench({ memory: { ...EMPTY_MEMORY, enrolled: "cc".repeat(32) } });
  for (const _ of [1, 2])
    expect((await attestor.attest()).bundle).toMatchObject({ state: "failed", failures: [{ code: "PROFILE_DOWNGRADE" }] });
});

describe("time", () => {
  test("an attestation is due after its interval, whatever happens to the wall clock", async () => {
    const { attestor, time } = bench();
    await attestor.attest();
    for (const wallMs of [0, Date.UTC(2100, 0, 1)]) {
      time.wallMs = wallMs;
      expect(attestor.dueMs()).toBe(300_000);
      expect(attestor.alive()).toBe(true);
    }
    time.monotonicMs = 299_000;
    expect(attestor.dueMs()).toBe(1000);
  });
  test("a machine that is still starting is looked at again soon", async () => {
    const { attestor, seen } = bench();
    seen.problems = [finding("boot.uki", "BOOT_NOT_COMPLETE")];
    await attestor.attest();
    expect(attestor.dueMs()).toBe(5000);
  });
  test("an attestation of long ago opens nothing", async () => {
    const { attestor, time } = bench();
    await attestor.attest();
    expect(attestor.verdict().policy_satisfied).toBe(true);
    time.monotonicMs = 660_001;
    expect(attestor.verdict()).toMatchObject({ state: "attested", policy_satisfied: false });
    expect(attestor.alive()).toBe(false);
  });
  test("thirty quotes a minute and no more, but the regular one always", async () => {
    const { attestor } = bench();
    for (let asked = 0; asked < 10; asked += 1) await attestor.refresh(undefined, never);
    await expect(attestor.refresh(undefined, never)).rejects.toThrow(expect.objectContaining({ code: "REFRESH_RATE_LIMITED" }));
    await attestor.attest();
  });
});

test("whoever is gone before their turn is not quoted for", async () => {
  const { attestor, records } = bench();
  const gone = AbortSignal.abort();
  await expect(attestor.refresh("ab".repeat(32), gone)).rejects.toThrow();
  expect(records).toEqual([]);
});

test("only hardware with evidence is verified; both modes can satisfy", () => {
  const bundle = (change: Partial<StateBundle>) =>
    ({ state: "attested", assurance_mode: "hardware", evidence_verified: true, ...change }) as StateBundle;
  expect(verdictOf(bundle({}), false)).toMatchObject({ verified: true, policy_satisfied: true });
  expect(verdictOf(bundle({ evidence_verified: false }), false)).toMatchObject({ verified: false, policy_satisfied: false });
  expect(verdictOf(bundle({ assurance_mode: "evaluation" }), false)).toMatchObject({ verified: false, policy_satisfied: true });
  for (const state of ["pending", "degraded", "failed"] as const)
    expect(verdictOf(bundle({ state }), false)).toMatchObject({ verified: false, policy_satisfied: false });
  expect(verdictOf(undefined, false)).toMatchObject({ state: "pending", policy_satisfied: false });
});
