import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { testRelease } from "../../../services-src/runtime-attestor/boot.test-data.ts";
import { Appliance, codesOf } from "./attestor.ts";
import { Machine } from "./machine.ts";

// The attestor with no more of the file system than its unit gives it, by the launcher that the unit uses.

const release = testRelease("1");
let appliance: Appliance;
beforeEach(async () => {
  appliance = new Appliance(await Machine.booted({ release }));
  mkdirSync(appliance.at("secret"));
});
afterEach(() => appliance.remove());

const READ = "read-file,read-dir";
const PROGRAM = "execute,read-file";
const STATE = `${READ},write-file,make-reg,make-dir,remove-file,truncate`;

function setpriv(): string[] {
  const at = (name: string) => appliance.at(name);
  const root = (name: string) => join(appliance.machine.root, name);
  const rules: [string, string][] = [
    ...["/usr/bin/node", "/usr/bin/tpm2"].map((path): [string, string] => [PROGRAM, path]),
    [`${PROGRAM},read-dir`, "/usr/lib"],
    ...["/usr/share/nodejs", "/proc", at("credentials"), at("profile"), at("attestor.mjs")].map((path): [string, string] => [
      READ,
      path,
    ]),
    ...["proc", "sys/kernel/security", "sys/firmware/efi/efivars", "sys/dev/block", "run/log/systemd", "run/systemd"].map(
      (path): [string, string] => [READ, root(path)],
    ),
    ...["usr/lib", "etc/secure-ai"].map((path): [string, string] => [READ, root(path)]),
    ["read-file", "/etc/ld.so.cache"],
    ["read-file", "/etc/ssl/openssl.cnf"],
    ["read-file", "/dev/urandom"],
    ["read-file,write-file", "/dev/null"],
    [STATE, at("state")],
    [STATE, at("audit")],
    [`${STATE},remove-dir`, at("scratch")],
  ];
  const words = rules.flatMap(([access, path]) => {
    const fits = path.endsWith(".mjs") ? "read-file" : access;
    return ["--landlock-rule", `path-beneath:${fits}:${path}`];
  });
  return ["/usr/bin/setpriv", "--no-new-privs", "--landlock-access", "fs", ...words];
}

test("it attests, records, remembers and reports", async () => {
  expect(appliance.enrol(["enrol", "--yes"])).toMatchObject({ status: 0 });
  await appliance.start({}, setpriv());
  const bundle = await appliance.refresh();
  expect(codesOf(bundle)).toEqual([]);
  expect(bundle).toMatchObject({ state: "attested", evidence_verified: true });
  appliance.machine.write("etc/secure-ai/policy/policy.yaml", "version: 2\n");
  expect(codesOf(await appliance.refresh())).toEqual(["software.policies POLICY_DIGEST"]);
  expect(await appliance.stop()).toBe(0);
  await appliance.verifyAudit();
});

test("it can open nothing else", async () => {
  await expect(appliance.start({ STATE_DIR: appliance.at("secret") }, setpriv())).rejects.toThrow(/EACCES/);
});
