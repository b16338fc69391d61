import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runVerify } from "@secai/verify/command";
import { afterAll, expect, test } from "vitest";
import { makeKeys, makeRelease, temporaryDirectory } from "./fixture.ts";
import { flip, remove } from "./forge.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);
const policy = makeKeys(at("keys"));
const fingerprint = policy.keys[0]?.fingerprint ?? "";
await makeRelease(at("release"), at("keys"));
await makeRelease(at("flipped"), at("keys"));
flip(at("flipped"), "uki.efi", 0);
await makeRelease(at("light"), at("keys"));
remove(at("light"), "disk.qcow2");
await makeRelease(at("without"), at("keys"), {
  files: { "disk.qcow2": undefined },
  options: { absent: [{ name: "disk.qcow2", reason: "not built" }] },
});
makeKeys(at("other-keys"));
writeFileSync(at("not-a-key"), "hello\n");

async function run(...args: string[]) {
  const said = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => {
      said.stdout += text;
    },
    stderr: (text: string) => {
      said.stderr += text;
    },
    env: { SECAI_KEYS: at("keys") },
  };
  return { exit: await runVerify(args, io), ...said };
}

const DEV = ["--designation", "dev"];
const cases: readonly {
  readonly name: string;
  readonly args: readonly string[];
  readonly exit: number;
  readonly says?: RegExp;
}[] = [
  { name: "one's own release", args: ["release", at("release")], exit: 0, says: /ACCEPTED/ },
  {
    name: "a release under a key that was handed out",
    args: ["release", at("release"), "--key", at("keys/release.pub"), ...DEV],
    exit: 0,
  },
  { name: "a release under a fingerprint", args: ["release", at("release"), "--fingerprint", fingerprint, ...DEV], exit: 0 },
  { name: "the version that was asked for", args: ["release", at("release"), "--release", "0.1.0"], exit: 0 },
  {
    name: "a release without a medium it declares absent",
    args: ["release", at("without")],
    exit: 0,
    says: /-- +layout.closed-world:disk.qcow2/,
  },
  {
    name: "a release of which a medium was not fetched",
    args: ["release", at("light"), "--without", "disk.qcow2"],
    exit: 0,
    says: /left out by the caller/,
  },
  { name: "a medium that is missing unasked", args: ["release", at("light")], exit: 1, says: /layout.closed-world:disk.qcow2/ },
  { name: "a kernel image cannot be left out", args: ["release", at("light"), "--without", "uki.efi"], exit: 1 },
  { name: "a flipped byte", args: ["release", at("flipped")], exit: 1, says: /FAIL files.digest:uki.efi/ },
  {
    name: "a dev release under a handed-out key",
    args: ["release", at("release"), "--key", at("keys/release.pub")],
    exit: 1,
    says: /release.designation/,
  },
  {
    name: "another version than asked for",
    args: ["release", at("release"), "--release", "0.2.0"],
    exit: 1,
    says: /release.identity/,
  },
  {
    name: "another builder than asked for",
    args: ["release", at("release"), "--builder", "urn:x:y"],
    exit: 1,
    says: /provenance.builder/,
  },
  {
    name: "another key",
    args: ["release", at("release"), "--key", at("other-keys/release.pub"), ...DEV],
    exit: 1,
    says: /keys.release/,
  },
  {
    name: "another fingerprint",
    args: ["release", at("release"), "--fingerprint", "0".repeat(64), ...DEV],
    exit: 1,
    says: /keys.release/,
  },
  { name: "nothing", args: [], exit: 2 },
  { name: "an unknown subject", args: ["everything"], exit: 2 },
  { name: "no directory", args: ["release"], exit: 2 },
  { name: "two directories", args: ["release", at("release"), at("flipped")], exit: 2 },
  { name: "a directory that is not there", args: ["release", at("none")], exit: 2 },
  { name: "a file for a directory", args: ["release", at("not-a-key")], exit: 2 },
  { name: "an unknown flag", args: ["release", at("release"), "--insecure"], exit: 2 },
  { name: "an unknown designation", args: ["release", at("release"), "--designation", "Dev"], exit: 2 },
  { name: "a fingerprint in upper case", args: ["release", at("release"), "--fingerprint", fingerprint.toUpperCase()], exit: 2 },
  { name: "half a fingerprint", args: ["release", at("release"), "--fingerprint", fingerprint.slice(0, 32)], exit: 2 },
  { name: "a key file that is none", args: ["release", at("release"), "--key", at("not-a-key")], exit: 2 },
  { name: "a private key for a public one", args: ["release", at("release"), "--key", at("keys/release.key")], exit: 2 },
  { name: "a key file that is not there", args: ["release", at("release"), "--key", at("none")], exit: 2 },
  { name: "help", args: ["release", "--help"], exit: 0, says: /--fingerprint HEX/ },
];
for (const { name, args, exit, says } of cases) {
  test(`${name}: exit ${exit}`, async () => {
    const result = await run(...args);
    expect(result.exit).toBe(exit);
    expect(result.stdout + result.stderr).toMatch(says ?? /./);
    if (exit === 2) expect(result).toMatchObject({ stdout: "", stderr: expect.stringContaining("fix:") });
  });
}

test("--json puts the report alone on standard output", async () => {
  const { stdout, stderr, exit } = await run("release", at("flipped"), "--json");
  const report = JSON.parse(stdout) as { verdict: string; kind: string; checks: { id: string; status: string }[] };
  expect({ exit, verdict: report.verdict, kind: report.kind }).toEqual({ exit: 1, verdict: "rejected", kind: "release" });
  expect(report.checks.filter(({ status }) => status === "fail").map(({ id }) => id)).toContain("files.digest");
  expect(stderr).toBe(`rejected ${at("flipped")}\n`);
});

test("without any key to trust there is no answer", async () => {
  const io = { stdout: () => {}, stderr: () => {}, env: { SECAI_KEYS: at("no-keys") } };
  expect(await runVerify(["release", at("release")], io)).toBe(2);
});

test("the designation is shown, whatever the verdict", async () => {
  expect((await run("release", at("release"))).stdout).toMatch(/designation +dev/);
  expect((await run("release", at("flipped"))).stdout).toMatch(/designation +dev/);
});
