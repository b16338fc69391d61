import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readSoftware } from "./software.ts";

let root: string;
const write = (path: string, text: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const hash = (text: string) => createHash("sha256").update(text).digest("hex");
const BUNDLE = "/usr/lib/secure-ai/services/one.mjs";
const POLICY = "/etc/secure-ai/policy/policy.yaml";
const manifest = (services: unknown) => write("/usr/lib/secure-ai/services.json", `${JSON.stringify({ schema: 1, services })}\n`);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "secai-software-"));
  write("/usr/lib/os-release", "ID=debian\n");
  write(BUNDLE, "one");
  manifest({ one: { path: BUNDLE, sha256: hash("one") } });
  write(POLICY, "policy");
});
afterEach(() => rmSync(root, { recursive: true }));
const codes = () => readSoftware(root).findings.map(({ check, code }) => `${check} ${code}`);

test("what is sealed has no findings, and the digests are those of the files", () => {
  expect(readSoftware(root)).toEqual({
    services: { one: hash("one") },
    policyDigest: hash(`${POLICY}\0${hash("policy")}\0`),
    findings: [],
  });
});

test("a bundle that was changed, or is gone", () => {
  write(BUNDLE, "another");
  expect(codes()).toEqual(["software.services SERVICE_CHANGED"]);
  unlinkSync(join(root, BUNDLE));
  expect(readSoftware(root)).toMatchObject({ services: {}, findings: [{ code: "SERVICE_CHANGED", actual: "unreadable" }] });
});

test("no manifest, or one that is none", () => {
  write("/usr/lib/secure-ai/services.json", "{}\n");
  expect(codes()).toEqual(["software.manifest SCHEMA_MISMATCH"]);
  unlinkSync(join(root, "/usr/lib/secure-ai/services.json"));
  expect(codes()).toEqual(["software.manifest SERVICE_MANIFEST"]);
});

test("policy files that are added, renamed, changed or gone give another digest; their order on disk does not", () => {
  const before = readSoftware(root).policyDigest;
  const digests = new Set([before]);
  write("/etc/secure-ai/policy/deep/other.yaml", "policy");
  digests.add(readSoftware(root).policyDigest);
  unlinkSync(join(root, POLICY));
  digests.add(readSoftware(root).policyDigest);
  write(POLICY, "policy2");
  digests.add(readSoftware(root).policyDigest);
  expect(digests.size).toBe(4);
  rmSync(join(root, "/etc/secure-ai/policy/deep"), { recursive: true });
  write(POLICY, "policy");
  expect(readSoftware(root).policyDigest).toBe(before);
});

test("a file on another device lies over the sealed one", () => {
  // procfs is another device than any temporary folder, whatever that is.
  unlinkSync(join(root, "/etc/secure-ai/policy/policy.yaml"));
  rmSync(join(root, "/etc/secure-ai/policy"), { recursive: true });
  symlinkSync("/proc/self/net", join(root, "/etc/secure-ai/policy"));
  expect(() => readSoftware(root)).not.toThrow();
  expect(codes()).toContain("software.policies FILE_COVERED");
});

test("too many policy files are too many", () => {
  for (let index = 0; index < 257; index += 1) write(`/etc/secure-ai/policy/${index}.yaml`, "");
  expect(() => readSoftware(root)).toThrow(RangeError);
});
