import type { Sha256 } from "@secai/formats/digest";
import { ZERO_PCR } from "@secai/measure/pcr";
import { parsePcrSignatures } from "@secai/measure/pcr-signature";
import { parsePublicArea } from "@secai/measure/public-area";
import type { Evidence } from "@secai/verify/runtime-evidence";
import { describe, expect, test } from "vitest";
import {
  addonPcr,
  type Boot,
  commandLineOf,
  eventLogOf,
  makePcrKey,
  pcrSignaturesOf,
  pcrsOf,
  testAddon,
  testRelease,
  userspaceLogOf,
} from "./boot.test-data.ts";
import { judge, type Observation, stateOf } from "./core.ts";
import { EVALUATION, type HardwareProfile } from "./profile.ts";
import { signedStatement, statementKey } from "./statement.test-data.ts";
import { createFakeTpm, firstClock } from "./tpm.test-data.ts";

const NONCE = "5a".repeat(32);
const tpm = createFakeTpm();
const pcrKey = makePcrKey();
const [owner, stranger] = [statementKey(), statementKey()];
const [first, next] = [testRelease("1"), testRelease("2")];

function evidenceOf(boot: Boot, change: Partial<Evidence> = {}, from = tpm): Evidence {
  return {
    nonce: NONCE,
    quote: from.quote(NONCE, pcrsOf(boot)),
    eventLog: eventLogOf(boot),
    userspaceLog: Buffer.from(userspaceLogOf(boot)),
    commandLine: commandLineOf(boot),
    secureBoot: boot.secureBoot === false ? "disabled" : "enabled",
    root: { verity: "verified", hash: boot.release.measurements.rootHash, readOnly: true },
    release: { imageId: "secai-os", imageVersion: "1" },
    services: undefined,
    running: undefined,
    ...change,
  };
}

const pinnedOf = (boot: Boot, ...indexes: number[]) =>
  Object.fromEntries(indexes.map((index) => [String(index), pcrsOf(boot).get(index)])) as Record<string, Sha256>;

/** Enrolled by statement, on release 1. */
const profile: HardwareProfile = {
  version: 2,
  mode: "hardware",
  ak_fingerprint: parsePublicArea(tpm.publicArea).fingerprint,
  pcr_public_key: pcrKey.pem,
  statement_keys: [owner.pem],
  pinned_pcrs: { "7": pinnedOf({ release: first }, 7)["7"] as string, "12": ZERO_PCR },
  addon: null,
  command_line: commandLineOf({ release: first }),
  enrolled_deployment: `sha256:${first.measurements.rootHash}`,
  enrolled_at: "2026-11-01T00:00:00.000Z",
  tpm_reset_count: 2,
};
/** Enrolled without any: by what was seen, and the key that signs kernel images. */
const pinnedProfile: HardwareProfile = {
  ...profile,
  statement_keys: [],
  pinned_pcrs: pinnedOf({ release: first }, 4, 7, 9, 12) as unknown as HardwareProfile["pinned_pcrs"],
};

const statements = [first, next].map(({ measurements }) => signedStatement(measurements, owner));
const signatures = (release = first, key = pcrKey) =>
  ({ state: "found", value: parsePcrSignatures(Buffer.from(pcrSignaturesOf(release, key))) }) as const;

function observe(change: Partial<Observation> = {}, boot: Boot = { release: first }): Observation {
  return {
    nonce: NONCE,
    evidence: evidenceOf(boot),
    profile,
    statements,
    pcrSignatures: signatures(boot.release),
    software: [],
    lockdown: "none integrity [confidentiality]",
    gpuVerdict: "unavailable",
    lastCounters: { resetCount: 3, restartCount: 0, clockMs: 59_000 },
    problems: [],
    ...change,
  };
}

const verified = {
  state: "attested",
  evidenceVerified: true,
  quoteVerified: true,
  measurementsVerified: true,
  deploymentVerified: true,
};

describe("accepted", () => {
  const accepted: { name: string; of: Observation }[] = [
    { name: "the enrolled release, by its statement", of: observe() },
    { name: "the next release, by a statement of the same key", of: observe({}, { release: next }) },
    { name: "the enrolled release, by what was pinned and the signature over PCR 11", of: observe({ profile: pinnedProfile }) },
    { name: "a TPM that was reset since", of: observe({ lastCounters: { resetCount: 2, restartCount: 5, clockMs: 59_000 } }) },
    {
      name: "a clock that fell back after a power cut, which the TPM says",
      of: observe({
        evidence: evidenceOf(
          { release: first },
          { quote: tpm.quote(NONCE, pcrsOf({ release: first }), { ...firstClock, safe: false }) },
        ),
        lastCounters: { resetCount: 2, restartCount: 0, clockMs: 70_000 },
      }),
    },
  ];
  for (const { name, of } of accepted) {
    test(name, () => {
      const judgement = judge(of);
      expect(judgement.findings).toEqual([]);
      expect(judgement).toMatchObject(verified);
    });
  }

  const addonProfile = {
    ...profile,
    pinned_pcrs: { "7": profile.pinned_pcrs["7"], "12": addonPcr(testAddon) },
    addon: { authenticode: testAddon.authenticode, command_line: testAddon.commandLine },
  };
  test.each([first, next])("a release with the accepted addon beside it", (release) => {
    const judgement = judge(observe({ profile: addonProfile }, { release, addon: testAddon }));
    expect(judgement.findings).toEqual([]);
    expect(judgement).toMatchObject(verified);
  });
  test("an accepted addon that is gone is another machine", () => {
    const { findings } = judge(observe({ profile: addonProfile }));
    expect(findings.map(({ code }) => code)).toContain("BOOT_ADDON");
  });
});

/** One thing wrong: the state that follows, and every finding that names it. */
const wrong: { name: string; of: Observation; state: string; findings: readonly string[] }[] = [
  {
    name: "no TPM",
    of: observe({ evidence: evidenceOf({ release: first }, { quote: undefined }) }),
    state: "failed",
    findings: [
      ...[
        "quote.signature",
        "quote.nonce",
        "quote.pcrs",
        "quote.ak-attributes",
        "quote.ak-enrolled",
        "boot.secure-boot",
        "boot.chain",
      ],
      ...["boot.uki", "boot.command-line", "boot.initrd", "event-log.replay"],
    ].map((id) => `${id} TPM_ABSENT`),
  },
  {
    name: "an older quote",
    of: observe({ nonce: "5b".repeat(32) }),
    state: "failed",
    findings: ["quote.nonce QUOTE_NONCE"],
  },
  {
    name: "another machine's TPM",
    of: observe({ evidence: evidenceOf({ release: first }, {}, createFakeTpm()) }),
    state: "failed",
    findings: ["quote.ak-enrolled AK_UNKNOWN"],
  },
  {
    name: "fewer resets than at enrolment",
    of: observe({ profile: { ...profile, tpm_reset_count: 4 } }),
    state: "failed",
    findings: ["tpm.clock TPM_CLOCK_BACK"],
  },
  {
    name: "fewer restarts than before",
    of: observe({ lastCounters: { resetCount: 3, restartCount: 1, clockMs: 1 } }),
    state: "failed",
    findings: ["tpm.clock TPM_CLOCK_BACK"],
  },
  {
    name: "an earlier clock than before",
    of: observe({ lastCounters: { resetCount: 3, restartCount: 0, clockMs: 60_001 } }),
    state: "failed",
    findings: ["tpm.clock TPM_CLOCK_BACK"],
  },
  {
    name: "an earlier clock after a reset, which the TPM calls safe",
    of: observe({ lastCounters: { resetCount: 2, restartCount: 0, clockMs: 60_001 } }),
    state: "failed",
    findings: ["tpm.clock TPM_CLOCK_BACK"],
  },
  {
    name: "Secure Boot off",
    of: observe({}, { release: first, secureBoot: false }),
    state: "failed",
    findings: ["boot.secure-boot SECURE_BOOT_OFF", "boot.secure-boot-variable SECURE_BOOT"],
  },
  {
    name: "an addon that nobody accepted",
    of: observe({}, { release: first, addon: testAddon }),
    state: "failed",
    findings: ["boot.chain BOOT_CHAIN", "boot.command-line BOOT_ADDON_PRESENT", "boot.initrd BOOT_INITRD"],
  },
  {
    name: "a command line that was not measured",
    of: observe({
      evidence: evidenceOf({ release: first }, { commandLine: `${commandLineOf({ release: first })} init=/bin/sh` }),
    }),
    state: "failed",
    findings: ["boot.command-line COMMAND_LINE"],
  },
  {
    name: "a machine that is still starting",
    of: observe({}, { release: first, phases: 3 }),
    state: "failed",
    findings: ["boot.uki BOOT_NOT_COMPLETE"],
  },
  {
    name: "a log that does not lead to the quote",
    of: observe({ evidence: evidenceOf({ release: first }, { userspaceLog: Buffer.from("") }) }),
    state: "failed",
    findings: ["event-log.replay EVENT_LOG_REPLAY"],
  },
  {
    name: "a root that is not verified",
    of: observe({
      evidence: evidenceOf({ release: first }, { root: { verity: "absent", hash: first.measurements.rootHash, readOnly: true } }),
    }),
    state: "failed",
    findings: ["root.verity ROOT_UNVERIFIED"],
  },
  {
    name: "a writable root",
    of: observe({
      evidence: evidenceOf(
        { release: first },
        { root: { verity: "verified", hash: first.measurements.rootHash, readOnly: false } },
      ),
    }),
    state: "failed",
    findings: ["root.verity ROOT_WRITABLE"],
  },
  {
    name: "no statement about what runs",
    of: observe({ statements: statements.slice(1) }),
    state: "failed",
    findings: ["statement.present STATEMENT_MISSING", "boot.chain BOOT_CHAIN"],
  },
  {
    name: "a statement by another key",
    of: observe({ statements: [signedStatement(first.measurements, stranger)] }),
    state: "failed",
    findings: ["statement.signature STATEMENT_UNTRUSTED", "boot.chain BOOT_CHAIN"],
  },
  {
    name: "a statement that is none",
    of: observe({ statements: [Buffer.from("{}")] }),
    state: "failed",
    findings: ["statement.signature STATEMENT_UNTRUSTED", "boot.chain BOOT_CHAIN"],
  },
  {
    name: "another release than the enrolled one, without statements",
    of: observe({ profile: pinnedProfile }, { release: next }),
    state: "failed",
    findings: ["boot.chain BOOT_CHAIN", "boot.command-line COMMAND_LINE", "boot.initrd BOOT_INITRD", "root.verity ROOT_HASH"],
  },
  {
    name: "PCR 11 signed by another key",
    of: observe({ profile: pinnedProfile, pcrSignatures: signatures(first, makePcrKey()) }),
    state: "failed",
    findings: ["boot.pcr-signature PCR_SIGNATURE", "boot.uki BOOT_UKI"],
  },
  {
    name: "no signature over PCR 11",
    of: observe({ profile: pinnedProfile, pcrSignatures: { state: "absent", code: "none", detail: "" } }),
    state: "failed",
    findings: ["boot.pcr-signature PCR_SIGNATURE", "boot.uki BOOT_UKI"],
  },
  {
    name: "a kernel that is not locked down",
    of: observe({ lockdown: "[none] integrity" }),
    state: "degraded",
    findings: ["kernel.lockdown LOCKDOWN_OFF"],
  },
  {
    name: "a critical GPU",
    of: observe({ gpuVerdict: "critical" }),
    state: "degraded",
    findings: ["gpu.integrity GPU_CRITICAL"],
  },
  {
    name: "a changed bundle",
    of: observe({ software: [{ check: "software.services", code: "SERVICE_CHANGED", expected: "", actual: "" }] }),
    state: "degraded",
    findings: ["software.services SERVICE_CHANGED"],
  },
  {
    name: "a machine that cannot be read",
    of: observe({
      evidence: undefined,
      problems: [{ check: "attestation.evidence", code: "OBSERVATION_FAILED", expected: "", actual: "" }],
    }),
    state: "failed",
    findings: ["attestation.evidence OBSERVATION_FAILED"],
  },
];
describe("refused", () => {
  for (const { name, of, state, findings } of wrong) {
    test(`${name}: ${state}`, () => {
      const judgement = judge(of);
      expect(judgement.findings.map(({ check, code }) => `${check} ${code}`).sort()).toEqual([...findings].sort());
      expect(judgement).toMatchObject({ state, evidenceVerified: false });
    });
  }
});

describe("evaluation", () => {
  const unenrolled = (change: Partial<Observation> = {}, boot?: Boot) => judge(observe({ profile: EVALUATION, ...change }, boot));

  test("is attested at its best, and never verified", () => {
    for (const judgement of [
      unenrolled(),
      unenrolled({}, { release: next, secureBoot: false, addon: testAddon }),
      unenrolled({ lockdown: "" }),
    ]) {
      expect(judgement).toMatchObject({ state: "attested", mode: "evaluation", quoteVerified: true, findings: [] });
      expect(judgement).toMatchObject({ evidenceVerified: false, measurementsVerified: false, deploymentVerified: false });
    }
  });
  test("needs no TPM", () => {
    const evidence = evidenceOf({ release: first }, { quote: undefined, eventLog: undefined, userspaceLog: undefined });
    expect(unenrolled({ evidence })).toMatchObject({ state: "attested", quoteVerified: false, attestationKey: "" });
  });
  test("is degraded by what contradicts itself", () => {
    expect(unenrolled({ nonce: "00".repeat(32) })).toMatchObject({ state: "degraded", quoteVerified: false });
    const evidence = evidenceOf({ release: first }, { eventLog: eventLogOf({ release: next }) });
    expect(unenrolled({ evidence })).toMatchObject({ state: "degraded", findings: [{ code: "EVENT_LOG_REPLAY" }] });
  });
  test("fails when it was enrolled before", () => {
    const problems = [{ check: "profile.mode", code: "PROFILE_DOWNGRADE", expected: "", actual: "" }];
    expect(unenrolled({ problems })).toMatchObject({ state: "failed" });
  });
});

test("no finding ever makes a better state than the same findings without it", () => {
  const rank = ["failed", "degraded", "attested"];
  const checks = ["quote.nonce", "boot.uki", "software.services", "gpu.integrity", "profile.mode", "attestation.record"];
  for (const mode of ["hardware", "evaluation"] as const)
    for (let bits = 0; bits < 1 << checks.length; bits += 1) {
      const some = checks.filter((_, index) => ((bits >> index) & 1) === 1).map((check) => ({ check }));
      for (const more of checks) {
        const [before, after] = [stateOf(mode, some), stateOf(mode, [...some, { check: more }])];
        expect(rank.indexOf(after)).toBeLessThanOrEqual(rank.indexOf(before));
      }
    }
});
