import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exampleForensic, exampleIncident, pemOf, signForensic } from "@secai/formats/forensic.test-data";
import { parseShape } from "@secai/formats/shape";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runVerify } from "./command.ts";
import { forensicReportShape } from "./forensic-report.ts";

const folder = mkdtempSync(join(tmpdir(), "secai-forensic-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const keys = generateKeyPairSync("ed25519");
const other = generateKeyPairSync("ed25519");
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content, { mode: 0o600 });
  return at(name);
};
const printed = (content: object, pair: { publicKey: KeyObject; privateKey: KeyObject } = keys): string =>
  `${JSON.stringify(signForensic(content, pair))}\n`;

async function ask(...args: readonly string[]) {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const io = { stdout: (text: string) => void stdout.push(text), stderr: (text: string) => void stderr.push(text), env: {} };
  const status = await runVerify(["forensic", ...args], io);
  return { status, stdout: stdout.join(""), stderr: stderr.join("") };
}

const good = at("good.json");
const key = ["--key", at("key.pub")];
const hostile = {
  ...exampleForensic,
  incidents: [{ ...exampleIncident, description: "\u009b31m red \u202e evil \u{e0041} end" }],
};
beforeAll(() => {
  write("key.pub", pemOf(keys.publicKey));
  write("other.pub", pemOf(other.publicKey));
  write("good.json", printed(exampleForensic));
});

describe("rejected, with status 1 and a name", () => {
  const rows: readonly { readonly name: string; readonly code: string; readonly make: () => string }[] = [
    {
      name: "a bundle that somebody else signed",
      code: "FORENSIC_KEY",
      make: () => write("stranger.json", printed(exampleForensic, other)),
    },
    {
      name: "a changed byte",
      code: "FORENSIC_SIGNATURE",
      make: () => write("changed.json", printed(exampleForensic).replace("a file changed", "a file_changed")),
    },
    { name: "an empty file", code: "JSON_MALFORMED", make: () => write("empty.json", "") },
    {
      name: "half a file",
      code: "JSON_MALFORMED",
      make: () => write("half.json", printed(exampleForensic).slice(0, 700)),
    },
    {
      name: "65 MiB",
      code: "JSON_TOO_LARGE",
      make: () => {
        write("large.json", "");
        truncateSync(at("large.json"), 65 << 20);
        return at("large.json");
      },
    },
  ];
  for (const { name, code, make } of rows)
    test(name, async () => {
      const file = make();
      const { status, stdout } = await ask(file, ...key);
      expect(status).toBe(1);
      expect(stdout).toMatch(new RegExp(`^FAIL ${code}: expected .*, got .*\\n  fix: .+\\nREJECTED `, "m"));
      expect(stdout).not.toContain("INCIDENT ");
      const json = await ask(file, ...key, "--json");
      expect(parseShape(forensicReportShape, JSON.parse(json.stdout), "the report")).toMatchObject({
        verdict: "rejected",
        refusal: { code },
      });
      expect(json.stderr).toBe(`rejected ${code}\n`);
    });
});

describe("wrong use, with status 2 and a name", () => {
  const rows: readonly { readonly name: string; readonly code: string; readonly args: () => readonly string[] }[] = [
    { name: "no file named", code: "VERIFY_USAGE", args: () => key },
    { name: "two files", code: "VERIFY_USAGE", args: () => [good, good, ...key] },
    { name: "an unknown option", code: "VERIFY_USAGE", args: () => [good, ...key, "--force"] },
    { name: "no key", code: "TRUST_ROOT_MISSING", args: () => [good] },
    { name: "two keys", code: "VERIFY_USAGE", args: () => [good, ...key, ...key] },
    { name: "a key that is not there", code: "VERIFY_USAGE", args: () => [good, "--key", at("none.pub")] },
    { name: "no key in the key's file", code: "TRUST_KEY_UNUSABLE", args: () => [good, "--key", good] },
    {
      name: "a private key",
      code: "TRUST_KEY_UNUSABLE",
      args: () => [good, "--key", write("private.pem", keys.privateKey.export({ format: "pem", type: "pkcs8" }).toString())],
    },
    {
      name: "a release key",
      code: "TRUST_KEY_UNUSABLE",
      args: () => [good, "--key", write("release.pub", pemOf(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey))],
    },
    { name: "no such file", code: "TARGET_MISSING", args: () => [at("none.json"), ...key] },
    {
      name: "a symbolic link to a good bundle",
      code: "TARGET_MISSING",
      args: () => {
        symlinkSync(good, at("link.json"));
        return [at("link.json"), ...key];
      },
    },
    {
      name: "a folder",
      code: "TARGET_MISSING",
      args: () => {
        mkdirSync(at("folder.json"));
        return [at("folder.json"), ...key];
      },
    },
    { name: "a device", code: "TARGET_MISSING", args: () => ["/dev/null", ...key] },
  ];
  for (const { name, code, args } of rows)
    test(name, async () => {
      const { status, stdout, stderr } = await ask(...args());
      expect({ status, stdout, named: stderr.startsWith(`${code}: `) && /\n {2}fix: .+\n$/.test(stderr) }).toEqual({
        status: 2,
        stdout: "",
        named: true,
      });
    });
});

test("a file of the kernel that says it is empty and is not is no answer", async () => {
  const { status, stdout } = await ask("/proc/self/status", ...key);
  expect([status, stdout.includes("ACCEPTED")]).toEqual([1, false]);
});

test("no name steers the terminal", async () => {
  const { status, stderr } = await ask(at("\u001b[2Jx.json"), ...key);
  expect([status, stderr.includes("\u001b"), stderr.includes("\\u{1b}")]).toEqual([2, false, true]);
});

test("no description steers the terminal, in either form", async () => {
  const file = write("hostile.json", printed(hostile));
  const { status, stdout } = await ask(file, ...key, "--verbose");
  expect(status).toBe(0);
  expect(stdout).toMatch(/integrity-monitor, latched: \\u\{9b\}31m red \\u\{202e\} evil \\u\{e0041\} end$/m);
  const json = (await ask(file, ...key, "--json")).stdout;
  expect(json).not.toMatch(/[\u0080-\u009f\u202e]|\u{e0041}/u);
  expect(JSON.parse(json).summary.incidents[0].description).toBe(hostile.incidents[0]?.description);
});

test("an accepted bundle is summed up for people", async () => {
  const { status, stdout, stderr } = await ask(good, ...key);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^ {2}incidents {4}1, 1 unresolved$/m);
  expect(stdout).toMatch(/^ {2}audit log {4}records 4 to 5, head 5{64}$/m);
  expect(stdout).toMatch(/^INC-20260101-000000-0001 {2}integrity_violation {2}critical {2}contained {2}2 {6}2026-01-01T/m);
  expect(stdout).toMatch(/^ACCEPTED /m);
  expect(stdout).not.toContain("a file changed");
});

test("an accepted bundle is summed up for programs, as the schema has it", async () => {
  const { status, stdout, stderr } = await ask(good, ...key, "--json");
  expect([status, stderr]).toEqual([0, "accepted\n"]);
  expect(parseShape(forensicReportShape, JSON.parse(stdout), "the report")).toMatchObject({
    verdict: "accepted",
    summary: { incidents: [{ id: "INC-20260101-000000-0001", count: 2 }], audit: { records: 2, first: 4 } },
  });
});

test("it explains itself, with examples", async () => {
  const { status, stdout } = await ask("--help");
  expect([status, stdout.match(/^ {2}secai verify forensic /gm)?.length]).toEqual([0, 3]);
});

test("a file that may not be read leaves the question open", async () => {
  if (process.geteuid?.() === 0) {
    // Nobody keeps root from reading a file; a path component that is too long is an error of another kind.
    const { status, stderr } = await ask(at("x".repeat(300)), ...key);
    expect([status, stderr.startsWith("TARGET_UNREADABLE")]).toEqual([3, true]);
    return;
  }
  chmodSync(write("secret.json", printed(exampleForensic)), 0);
  expect((await ask(at("secret.json"), ...key)).status).toBe(3);
});
