import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Boot,
  makePcrKey,
  pcrSignaturesOf,
  testAddon,
  testRelease,
} from "../../../services-src/runtime-attestor/boot.test-data.ts";
import { parseProfile } from "../../../services-src/runtime-attestor/profile.ts";
import { signedStatement, statementKey } from "../../../services-src/runtime-attestor/statement.test-data.ts";
import { Appliance, type Ended } from "./attestor.ts";
import { Machine } from "./machine.ts";

// Enrolment, against a real software TPM: what is pinned, and what is not enrolled at all.

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

const profilePath = () => appliance.at("profile/profile.json");
const profile = () => parseProfile(readFileSync(profilePath()));
function statement(release = first, key = owner): string[] {
  writeFileSync(appliance.at("statement"), signedStatement(release.measurements, key));
  writeFileSync(appliance.at("owner.pub"), owner.pem);
  return ["--statement", appliance.at("statement"), "--key", appliance.at("owner.pub")];
}
const enrol = (...args: string[]): Ended => appliance.enrol(["enrol", ...args]);

describe("enrols", () => {
  test("nothing without --yes", () => {
    expect(enrol()).toMatchObject({ status: 0, stdout: expect.stringContaining("Nothing was written") });
    expect(existsSync(profilePath())).toBe(false);
    expect(appliance.enrol(["status"])).toMatchObject({ status: 1, stdout: expect.stringContaining("evaluation") });
  });

  test("a machine as it is: what it shows is pinned", () => {
    expect(enrol("--yes")).toMatchObject({ status: 0 });
    expect(statSync(profilePath()).mode & 0o777).toBe(0o600);
    expect(profile()).toMatchObject({
      mode: "hardware",
      statement_keys: [],
      pinned_pcrs: first.measurements.pcrs.sha256["9"] && {
        "4": first.measurements.pcrs.sha256["4"],
        "9": first.measurements.pcrs.sha256["9"],
      },
      enrolled_deployment: `sha256:${first.measurements.rootHash}`,
      addon: null,
    });
    expect(appliance.enrol(["status"])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(first.measurements.rootHash),
    });
  });

  test("a machine by its release's statement, which is kept", () => {
    expect(enrol(...statement(), "--yes")).toMatchObject({ status: 0 });
    expect(profile()).toMatchObject({ statement_keys: [owner.pem] });
    expect(Object.keys((profile() as { pinned_pcrs: object }).pinned_pcrs)).toEqual(["7", "12"]);
    expect(existsSync(appliance.at(`profile/statements/${first.measurements.rootHash}.sigstore.json`))).toBe(true);
  });

  test("an addon, once its owner accepts it", async () => {
    await begin({ release: first, addon: testAddon });
    expect(enrol("--accept-addon", ...statement(), "--yes")).toMatchObject({ status: 0 });
    expect(profile()).toMatchObject({ addon: { authenticode: testAddon.authenticode, command_line: testAddon.commandLine } });
  });
});

describe("does not enrol", () => {
  const refuses = ({ status, stderr }: Ended, code: string, exit = 1) => {
    expect({ status, stderr }).toEqual({ status: exit, stderr: expect.stringMatching(new RegExp(`^${code}: `)) });
    expect(existsSync(profilePath())).toBe(false);
  };

  test("without a TPM", async () => {
    await machine.stopTpm();
    refuses(enrol("--yes"), "ENROL_MACHINE");
  });
  test("without Secure Boot", async () => {
    await begin({ release: first, secureBoot: false });
    refuses(enrol("--yes"), "ENROL_MACHINE");
  });
  test("where firmware only claims Secure Boot", async () => {
    machine.write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", Buffer.from([6, 0, 0, 0, 0]));
    refuses(enrol("--yes"), "ENROL_MACHINE");
  });
  test("without a sealed root", () => {
    machine.write("sys/dev/block/254:0/dm/uuid", "CRYPT-PLAIN-root\n");
    refuses(enrol("--yes"), "ENROL_MACHINE");
  });
  test("without signed PCR 11 values, or with another key's", () => {
    machine.write("run/systemd/tpm2-pcr-signature.json", pcrSignaturesOf(first, makePcrKey()));
    refuses(enrol("--yes"), "ENROL_MACHINE");
    machine.write("run/systemd/tpm2-pcr-signature.json", pcrSignaturesOf(next, machine.pcrKey));
    refuses(enrol("--yes"), "ENROL_MACHINE");
    rmSync(machine.at("run/systemd/tpm2-pcr-signature.json"));
    refuses(enrol("--yes"), "ENROL_MACHINE");
  });
  test("with an addon that nobody accepted, or that the command line does not show", async () => {
    await begin({ release: first, addon: testAddon });
    refuses(enrol("--yes"), "ENROL_ADDON");
    machine.write("proc/cmdline", `${first.measurements.commandLine} quiet\n`);
    refuses(enrol("--accept-addon", "--yes"), "ENROL_ADDON");
  });
  test("whose logs do not lead to its TPM's values", () => {
    machine.write("run/log/systemd/tpm2-measure.log", "");
    refuses(enrol("--yes"), "ENROL_MACHINE");
  });
  test("a changed bundle", () => {
    machine.write("usr/lib/secure-ai/services/policy-engine.mjs", "// another\n");
    refuses(enrol("--yes"), "ENROL_MACHINE");
  });
  test("by a statement about another release, or by a stranger's", () => {
    refuses(enrol(...statement(next), "--yes"), "ENROL_MACHINE");
    refuses(enrol(...statement(first, stranger), "--yes"), "ENROL_MACHINE");
  });
  test("twice; and again only at the console", () => {
    expect(enrol("--yes")).toMatchObject({ status: 0 });
    const before = readFileSync(profilePath());
    expect(enrol("--yes")).toMatchObject({ status: 1, stderr: expect.stringContaining("ENROL_EXISTS") });
    expect(appliance.enrol(["reenrol", "--yes"])).toMatchObject({ status: 2, stderr: expect.stringContaining("ENROL_USAGE") });
    const again = ["reenrol", "--confirm", "ENROLL-ATTESTATION", "--yes"];
    expect(appliance.enrol(again)).toMatchObject({ status: 1, stderr: expect.stringContaining("ENROL_CONSOLE") });
    expect(readFileSync(profilePath())).toEqual(before);
  });
  test.each([[], ["enrol", "now"], ["enroll"], ["enrol", "--force"], ["enrol", "--statement", "x"]])("%j", (...args) => {
    refuses(appliance.enrol(args.flat()), "ENROL_USAGE", 2);
  });
});
