import { cpSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Boot, testAddon, testRelease } from "../../../services-src/runtime-attestor/boot.test-data.ts";
import { type StatementKey, signedStatement, statementKey } from "../../../services-src/runtime-attestor/statement.test-data.ts";
import { Appliance, codesOf } from "./attestor.ts";
import { BUNDLE_PATH, Machine, POLICY_PATH } from "./machine.ts";

// The attestor against a real software TPM that measured a boot, through tpm2-tools.

const [first, next] = [testRelease("1"), testRelease("2")];
const [owner, stranger] = [statementKey(), statementKey()];
let appliance: Appliance;
let machine: Machine;
async function begin(boot: Boot = { release: first }): Promise<void> {
  await appliance?.remove();
  machine = await Machine.booted(boot);
  appliance = new Appliance(machine);
}
beforeEach(() => begin());
afterEach(() => appliance.remove());

/** Enrols by the owner's statement about the first release. */
function enrol(...more: string[]): void {
  writeFileSync(appliance.at("statement"), signedStatement(first.measurements, owner));
  writeFileSync(appliance.at("owner.pub"), owner.pem);
  const given = ["--statement", appliance.at("statement"), "--key", appliance.at("owner.pub")];
  expect(appliance.enrol(["enrol", ...given, ...more, "--yes"])).toMatchObject({ status: 0 });
}
function giveStatement(release: typeof first, key: StatementKey): void {
  writeFileSync(
    appliance.at(`profile/statements/${release.measurements.rootHash}.sigstore.json`),
    signedStatement(release.measurements, key),
  );
}
const verdict = () => appliance.call("/api/v1/verify");

/** A fresh attestation: its state and codes, and that the gate's question is answered accordingly. */
async function attested(): Promise<{ state: string; codes: readonly string[] }> {
  const bundle = await appliance.refresh();
  const isGood = bundle.state === "attested";
  expect(await verdict()).toMatchObject({ status: isGood ? 200 : 503, json: { policy_satisfied: isGood, state: bundle.state } });
  expect(bundle.evidence_verified && !isGood).toBe(false);
  return { state: bundle.state, codes: codesOf(bundle) };
}
const good = { state: "attested", codes: [] };

describe("accepted", () => {
  test("a machine that nobody enrolled, for evaluation, and verified never", async () => {
    await appliance.start();
    expect(await verdict()).toMatchObject({
      status: 200,
      json: {
        verified: false,
        policy_satisfied: true,
        state: "attested",
        assurance_mode: "evaluation",
        evidence_verified: false,
      },
    });
    expect(await appliance.refresh("ab".repeat(32))).toMatchObject({ request_nonce: "ab".repeat(32), tpm_quote_verified: true });
    expect(appliance.gate()).toMatchObject({ status: 0 });
  });

  test("an evaluation machine without a TPM", async () => {
    await machine.stopTpm();
    await appliance.start();
    expect(await appliance.refresh()).toMatchObject({ state: "attested", tpm_available: false, evidence_verified: false });
  });

  test("an enrolled machine", async () => {
    enrol();
    await appliance.start();
    expect(await verdict()).toMatchObject({
      status: 200,
      json: { verified: true, policy_satisfied: true, assurance_mode: "hardware" },
    });
    const bundle = await appliance.refresh();
    expect(codesOf(bundle)).toEqual([]);
    expect(bundle).toMatchObject({ evidence_verified: true, deployment_digest: `sha256:${first.measurements.rootHash}` });
    expect(appliance.gate()).toMatchObject({ status: 0 });
  });

  test("the next release, by a statement of the enrolled key, without enrolling again", async () => {
    enrol();
    await appliance.start();
    expect(await attested()).toEqual(good);
    await appliance.stop();
    await machine.boot({ release: next });
    giveStatement(next, owner);
    await appliance.start();
    expect(await attested()).toEqual(good);
    expect(await verdict()).toMatchObject({ json: { verified: true } });
  });

  test("the release before, after its update was rolled back", async () => {
    enrol();
    giveStatement(next, owner);
    await machine.boot({ release: next });
    await appliance.start();
    expect(await attested()).toEqual(good);
    await appliance.stop();
    await machine.boot({ release: first });
    await appliance.start();
    expect(await attested()).toEqual(good);
  });

  test("a machine under test, whose owner accepted the addon, and its update", async () => {
    await begin({ release: first, addon: testAddon });
    enrol("--accept-addon");
    await appliance.start();
    expect(await attested()).toEqual(good);
    await appliance.stop();
    giveStatement(next, owner);
    await machine.boot({ release: next, addon: testAddon });
    await appliance.start();
    expect(await attested()).toEqual(good);
  });

  test("a machine that was enrolled without a statement, as long as it runs what it ran", async () => {
    expect(appliance.enrol(["enrol", "--yes"])).toMatchObject({ status: 0 });
    await appliance.start();
    expect(await attested()).toEqual(good);
    await appliance.stop();
    await machine.boot({ release: next });
    await appliance.start();
    expect(await attested()).toMatchObject({ state: "failed", codes: expect.arrayContaining(["root.verity ROOT_HASH"]) });
  });
});

describe("refused", () => {
  beforeEach(async () => {
    enrol();
    await appliance.start();
    expect(await attested()).toEqual(good);
  });
  async function restarted(boot: Boot, tpm?: string): Promise<ReturnType<typeof attested>> {
    await appliance.stop();
    await machine.boot(boot, tpm);
    await appliance.start();
    return attested();
  }

  test("another TPM in the place of the enrolled one", async () => {
    const { state, codes } = await restarted({ release: first }, "another");
    expect({ state, codes }).toEqual({ state: "failed", codes: expect.arrayContaining(["quote.ak-enrolled AK_UNKNOWN"]) });
  });

  test("a TPM that was cleared", async () => {
    machine.tools("tpm2_clear -c p");
    expect(await attested()).toEqual({ state: "failed", codes: ["tpm.clock TPM_CLOCK_BACK"] });
    expect(await restarted({ release: first })).toEqual({ state: "failed", codes: ["tpm.clock TPM_CLOCK_BACK"] });
  });

  test("a TPM that was put back to an earlier state", async () => {
    await appliance.stop();
    await machine.stopTpm();
    cpSync(appliance.at("tpm"), appliance.at("kept"), { recursive: true });
    for (const _ of [1, 2]) await machine.boot({ release: first });
    await appliance.start();
    expect(await attested()).toEqual(good);
    rmSync(appliance.at("tpm"), { recursive: true });
    cpSync(appliance.at("kept"), appliance.at("tpm"), { recursive: true });
    expect(await restarted({ release: first })).toEqual({ state: "failed", codes: ["tpm.clock TPM_CLOCK_BACK"] });
  });

  test("no TPM any more; it is back, and so is the attestation, but the fault stays on record", async () => {
    await machine.stopTpm();
    const { state, codes } = await attested();
    expect(state).toBe("failed");
    expect(codes).toContain("quote.signature TPM_ABSENT");
    await machine.boot({ release: first });
    expect(await attested()).toEqual(good);
    const { json } = await appliance.call("/api/security/status");
    expect(json).toMatchObject({ attestation_state: "attested", fail_count: 1, last_fault: { state: "failed" } });
    expect(appliance.audit().filter(({ data }) => data.state === "failed")).toHaveLength(1);
  });

  test("a TPM that does not answer", async () => {
    await machine.stopTpm();
    writeFileSync(machine.socket, "");
    expect(await attested()).toMatchObject({ state: "failed", codes: expect.arrayContaining(["tpm.quote TPM_COMMAND_FAILED"]) });
    rmSync(machine.socket);
  });

  test("another release without a statement, or with a stranger's", async () => {
    const { state, codes } = await restarted({ release: next });
    expect(state).toBe("failed");
    expect(codes).toEqual(expect.arrayContaining(["statement.present STATEMENT_MISSING", "root.verity ROOT_HASH"]));
    giveStatement(next, stranger);
    expect((await attested()).codes).toContain("statement.signature STATEMENT_UNTRUSTED");
    giveStatement(next, owner);
    expect(await attested()).toEqual(good);
  });

  test("a statement that was changed", async () => {
    const other = signedStatement(first.measurements, owner).toString("latin1");
    const payload = /"payload":"([^"]+)"/.exec(other)?.[1] ?? "";
    const changed = Buffer.from(payload, "base64").toString("latin1").replace(/quiet/g, "debug");
    writeFileSync(
      appliance.at(`profile/statements/${first.measurements.rootHash}.sigstore.json`),
      other.replace(payload, Buffer.from(changed, "latin1").toString("base64")),
    );
    expect((await attested()).codes).toContain("statement.signature STATEMENT_UNTRUSTED");
  });

  test("Secure Boot off", async () => {
    const { state, codes } = await restarted({ release: first, secureBoot: false });
    expect(state).toBe("failed");
    expect(codes).toEqual(["boot.secure-boot SECURE_BOOT_OFF", "boot.secure-boot-variable SECURE_BOOT"]);
  });

  test("an addon in the ESP", async () => {
    expect((await restarted({ release: first, addon: testAddon })).codes).toContain("boot.command-line BOOT_ADDON_PRESENT");
  });

  test("a changed policy file; that it was changed stays on record when it is put back", async () => {
    const before = machine.read(POLICY_PATH);
    machine.write(POLICY_PATH, `${before}# more\n`);
    expect(await attested()).toEqual({ state: "degraded", codes: ["software.policies POLICY_DIGEST"] });
    machine.write(POLICY_PATH, before);
    expect(await attested()).toEqual(good);
    const { json } = await appliance.call("/api/security/status");
    expect(json).toMatchObject({ degrade_count: 1, last_fault: { state: "degraded", codes: ["POLICY_DIGEST"] } });
  });

  test("a policy file that was added, also over a restart", async () => {
    await appliance.stop();
    machine.write("etc/secure-ai/policy/later.yaml", "version: 1\n");
    await appliance.start();
    expect(await attested()).toEqual({ state: "degraded", codes: ["software.policies POLICY_DIGEST"] });
  });

  test("a changed service bundle", async () => {
    machine.write(BUNDLE_PATH, "// another\n");
    expect(await attested()).toEqual({ state: "degraded", codes: ["software.services SERVICE_CHANGED"] });
  });

  test("a profile that was taken away, or replaced by a weaker one", async () => {
    rmSync(appliance.at("profile/profile.json"));
    expect(await attested()).toEqual({ state: "failed", codes: ["profile.mode PROFILE_DOWNGRADE"] });
    writeFileSync(appliance.at("profile/profile.json"), '{"version":2,"mode":"evaluation"}');
    await appliance.stop();
    await appliance.start();
    expect(await attested()).toEqual({ state: "failed", codes: ["profile.mode PROFILE_DOWNGRADE"] });
  });

  test("a profile that is none", async () => {
    writeFileSync(appliance.at("profile/profile.json"), '{"version":2,"mode":"hardware"}');
    expect(await attested()).toMatchObject({
      state: "failed",
      codes: expect.arrayContaining(["profile.read PROFILE_MALFORMED"]),
    });
  });

  test("an attestor that lost its memory says so, once; one whose memory was edited does not start", async () => {
    await appliance.stop();
    rmSync(appliance.at("state/state.json"));
    await appliance.start();
    expect(await appliance.call("/api/v1/attest")).toMatchObject({ json: { bundle: { failures: [{ code: "STATE_LOST" }] } } });
    expect(await attested()).toEqual(good);
    await appliance.stop();
    writeFileSync(appliance.at("state/state.json"), '{"schema":1}');
    await expect(appliance.start()).rejects.toThrow("STATE_MALFORMED");
  });

  const tricks: { name: string; script: string; codes: readonly string[] }[] = [
    {
      name: "an earlier quote of the same TPM",
      script: 'if [ -e "$SAVED/message" ]; then cp "$SAVED"/* .; else cp message signature pcrs "$SAVED"; fi',
      codes: ["quote.nonce QUOTE_NONCE"],
    },
    {
      name: "a quote that was cut off",
      script: "truncate -s -1 message",
      codes: ["quote.nonce QUOTE_MALFORMED", "quote.pcrs QUOTE_MALFORMED", "quote.signature QUOTE_MALFORMED"],
    },
    {
      name: "a quote with a changed byte",
      script: "printf x | dd of=message bs=1 seek=20 conv=notrunc status=none",
      codes: ["quote.signature QUOTE_SIGNATURE"],
    },
    {
      name: "other PCR values than the quoted ones",
      script: "head -c 32 /dev/zero | tr '\\0' x | dd of=pcrs conv=notrunc status=none",
      codes: ["quote.pcrs QUOTE_PCRS"],
    },
    { name: "a quote without a signature", script: ": > signature", codes: ["quote.signature QUOTE_SIGNATURE_MALFORMED"] },
    { name: "a quote of a gigabyte", script: "truncate -s 1G message", codes: ["tpm.quote TPM_COMMAND_FAILED"] },
  ];
  test.each(tricks)("somebody between the service and its TPM: $name", async ({ script, codes }) => {
    await appliance.stop();
    machine.interpose(script);
    await appliance.start();
    const found = await attested();
    expect(found.state).toBe("failed");
    expect(found.codes).toEqual(expect.arrayContaining([...codes]));
  });

  test("a quote of another machine, whatever its nonce", async () => {
    const other = await Machine.booted({ release: first });
    try {
      await appliance.stop();
      const elsewhere = `TPM2TOOLS_TCTI=swtpm:path=${other.socket} ${appliance.at("real/tpm2")}`;
      // Both TPMs' sockets must be seen by the service's sandbox: the other one's folder is a bind of its own.
      machine.alsoSees(other);
      machine.interpose(
        `${elsewhere} createprimary -Q -C e -G ecc256:ecdsa-sha256:null -g sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign' -c other.ctx; ` +
          `${elsewhere} quote -Q -c other.ctx -l "$5" -q "$7" -g sha256 -F values -m message -s signature -o pcrs; ${elsewhere} flushcontext -t`,
      );
      await appliance.start();
      const { state, codes } = await attested();
      expect(state).toBe("failed");
      expect(codes).toContain("quote.signature QUOTE_SIGNATURE");
    } finally {
      await other.remove();
    }
  });
});

test("nothing is left behind by a quote", async () => {
  await appliance.start();
  await appliance.refresh();
  await appliance.stop();
  expect(existsSync(appliance.at("scratch"))).toBe(true);
  expect(machine.tools("ls scratch | wc -l").trim()).toBe("0");
});
