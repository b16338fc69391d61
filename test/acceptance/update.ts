import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bundleOf, MEASUREMENTS_FILE, RELEASE_KEY_FILE, UKI_FILE } from "../../attest/formats/release-layout.ts";
import { buildStatement, subjectOf } from "../../attest/formats/statement.ts";
import { MEASURED_BOOT_PREDICATE } from "../../attest/formats/uris.ts";
import { buildMeasurements } from "../../attest/measure/measurements.ts";
import { loadSigningKey, type SigningKey, toSigningKey } from "../../attest/sign/key-file.ts";
import { signStatement } from "../../attest/sign/sign.ts";
import type { SignedState, VerifyAnswer } from "../../services-src/kit/api/attestation.ts";
import { type HardwareProfile, STATEMENT_SUFFIX } from "../../services-src/kit/api/enrolment.ts";
import { RawDisk } from "../vm/disk.ts";
import { ENROL, PROFILE } from "../vm/enrolment.ts";
import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import { askService, documentOf, unitOf } from "../vm/services.ts";
import { type BuiltUpdate, buildUpdate, placeUpdate, UPDATE_VERSION } from "../vm/slot.ts";
import type { Scenario, Test } from "../vm/suite.ts";

const STATEMENTS = "/var/lib/secure-ai/tpm-attestation/statements";
const AUDIT_LOG = "/var/lib/secure-ai/runtime-attestor/runtime-attestor-audit.jsonl";
const BOOT_ENTRIES =
  "mkdir -p /run/secai-esp && umount /dev/disk/by-partlabel/esp 2>/dev/null; mount -o ro /dev/disk/by-partlabel/esp /run/secai-esp && ls /run/secai-esp/EFI/Linux";

/** The private key that the release's statements are signed with. */
async function releaseKey(test: Test): Promise<SigningKey> {
  const path = join(test.keyring, "release.key");
  if (!existsSync(path)) test.missing(`${path}, to sign the next release's statement`);
  const key = await loadSigningKey(path);
  const isIts = key.publicPem === readFileSync(test.release.file(RELEASE_KEY_FILE), "utf8");
  return isIts ? key : test.missing(`the private half of the release's ${RELEASE_KEY_FILE} in ${test.keyring}`);
}

const strangersKey = (): SigningKey =>
  toSigningKey(generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey, "a stranger's key");

/** The release after this one. */
async function nextRelease(test: Test, tries: number): Promise<BuiltUpdate> {
  const original = join(test.keyring, "pcr.key");
  if (!existsSync(original)) test.missing(`${original}, to sign an update's PCR policy`);
  const name = test.world.uniqueName("next");
  const privateKey = join(test.bench.dir, `${name}-pcr.key`);
  await copyFile(original, privateKey);
  const pcrPolicy = { privateKey, publicKey: join(test.bench.keysDir, "pcr.pub") };
  const { bench, release } = test;
  return await buildUpdate(bench, bench.testDisk, release.read(UKI_FILE), { tries, extraArguments: "", pcrPolicy }, name);
}

/** What the release build predicts of an update's boot and says about it. */
async function statementAbout({ release }: Test, { rootHash, ukiPath }: BuiltUpdate, key: SigningKey): Promise<Buffer> {
  const { designation, secureBoot } = release.measurements();
  const measurements = buildMeasurements({
    designation,
    rootHash,
    uki: readFileSync(ukiPath),
    bootloader: release.read("bootx64.efi"),
    ownerGuid: secureBoot.ownerGuid,
    PK: release.read("keys/PK.crt"),
    KEK: release.read("keys/KEK.crt"),
    db: [release.read("keys/db.crt")],
  });
  const subjects = [subjectOf(UKI_FILE, measurements.uki.sha256)];
  return await signStatement(buildStatement(MEASURED_BOOT_PREDICATE, subjects, measurements), key);
}

/** As an owner enrols a machine by what its release says of itself; the addon is the test agent's. */
async function enrol({ release }: Test, machine: Machine): Promise<void> {
  const [statement, key] = ["/run/release.sigstore.json", "/run/release.pub"];
  await machine.pushFile(release.read(bundleOf(MEASUREMENTS_FILE)), statement);
  await machine.pushFile(release.read(RELEASE_KEY_FILE), key);
  await machine.succeeds(`${ENROL} enrol --statement ${statement} --key ${key} --accept-addon --yes`);
  await expectVerified(machine, release.rootHash);
}

const VERIFIED = { verified: true, state: "attested", assurance_mode: "hardware", evidence_verified: true } as const;

/** By hardware, now, and without a single finding: of the release with this root hash. */
async function expectVerified(machine: Machine, rootHash: string): Promise<void> {
  const nonce = randomBytes(32).toString("hex");
  const question = { path: "/api/v1/refresh", body: { request_nonce: nonce } };
  const { bundle } = documentOf<SignedState>(await askService(machine, "runtime-attestor", question));
  expectEqual(JSON.stringify(bundle.failures), "[]", "failures");
  expectEqual(bundle.request_nonce, nonce, "nonce");
  expectEqual(bundle.deployment_digest, `sha256:${rootHash}`, "deployment");
  const answer = documentOf<VerifyAnswer>(await askService(machine, "runtime-attestor", { path: "/api/v1/verify" }));
  for (const [member, value] of Object.entries(VERIFIED)) expectEqual(answer[member as keyof VerifyAnswer], value, member);
}

/**
 * The same machine with an update in its empty slot, off: enrolled by the release that it ran, with a statement about the update where its
 * updater puts one.
 */
async function updatedMachine(test: Test, update: BuiltUpdate, statement: Uint8Array): Promise<Machine> {
  const before = await test.fork();
  await enrol(test, before);
  await before.pushFile(statement, `${STATEMENTS}/${update.rootHash}${STATEMENT_SUFFIX}`);
  await before.succeeds("sync");
  await before.shutdown();
  const { tools, dir } = test.bench;
  const path = join(dir, `${test.world.uniqueName("updated")}.raw`);
  await tools.run(["qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", join(before.dir, "disk.qcow2"), path]);
  const disk = await RawDisk.open(tools, path);
  await placeUpdate(test.bench, disk, update);
  return await test.machine(disk, {}, { tpmState: join(before.dir, "tpm"), variables: join(before.dir, "vars.fd") });
}

const runningRoot = async (machine: Machine) =>
  (await machine.run("tr ' ' '\\n' < /proc/cmdline | sed -n 's/^roothash=//p'", { timeoutMs: 20_000 })).stdout.trim();

/** Waits for the release before, which the machine goes back to by itself. */
async function waitForOldSlot(test: Test, machine: Machine): Promise<void> {
  const { boot, settle } = test.bench.limits;
  const until = performance.now() + boot + settle;
  for (let root = ""; root !== test.release.rootHash; root = await runningRoot(machine).catch(() => "")) {
    expectTrue(machine.isRunning && performance.now() < until, `slot ${test.release.rootHash}`, machine.serial.tail(10));
    await sleep(1_000);
  }
  await machine.waitForRunning();
}

export const updateScenarios: readonly Scenario[] = [
  {
    id: "enforcement.update",
    title:
      "A machine that was enrolled by its release's signed statement is updated to the next one, and still attested by hardware, without enrolling again",
    needs: "boot",
    long: true,
    async run(test) {
      const key = await releaseKey(test);
      const update = await nextRelease(test, 3);
      const machine = await updatedMachine(test, update, await statementAbout(test, update, key));
      test.measure("agentMs", await machine.boot());
      await machine.waitForRunning();
      test.measure("runningMs", machine.uptimeMs);
      expectEqual(await runningRoot(machine), update.rootHash, "root hash that runs");
      await expectVerified(machine, update.rootHash);
      const { enrolled_deployment } = JSON.parse((await machine.pullFile(PROFILE)).toString("utf8")) as HardwareProfile;
      expectEqual(enrolled_deployment, `sha256:${test.release.rootHash}`, "enrolled deployment");
      for (const unit of ["secure-ai-health-check.service", "secure-ai-attestation-gate.service", unitOf("policy-engine")])
        expectEqual((await machine.run(`systemctl is-active ${unit}`)).stdout.trim(), "active", unit);
      const blessed = new RegExp(`^secai_${UPDATE_VERSION.replaceAll(".", "\\.")}\\.efi$`, "m");
      expectMatch(await machine.succeeds(BOOT_ENTRIES), blessed, "an entry that is not on trial any more");
    },
  },
  {
    id: "enforcement.update-foreign",
    title:
      "An update for which an enrolled machine has but a stranger's statement fails its attestation on trial, and gives way to the release before",
    needs: "boot",
    long: true,
    async run(test) {
      const update = await nextRelease(test, 1);
      const machine = await updatedMachine(test, update, await statementAbout(test, update, strangersKey()));
      await machine.powerOn();
      const { boot, settle } = test.bench.limits;
      const why = /SECAI-HEALTH-FAILED: failed units:.*secure-ai-attestation-gate\.service/;
      await machine.waitForSerial(why, boot + 2 * settle);
      expectMatch(machine.serial.recent(), /SECAI-HEALTH-FAILED: policy-engine does not answer/, "what the gate holds back");
      await waitForOldSlot(test, machine);
      test.measure("recoveredMs", machine.uptimeMs);
      await expectVerified(machine, test.release.rootHash);
      expectMatch(await machine.succeeds(`cat ${AUDIT_LOG}`), /STATEMENT_UNTRUSTED/, "what the attestor recorded");
    },
  },
];
