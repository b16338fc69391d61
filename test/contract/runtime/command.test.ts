import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseSha256, sha256 } from "../../../attest/formats/digest.ts";
import { buildStatement, subjectOf } from "../../../attest/formats/statement.ts";
import { MEASURED_BOOT_PREDICATE, PROVENANCE_PREDICATE } from "../../../attest/formats/uris.ts";
import { vector } from "../../../attest/measure/fixtures/vectors.ts";
import { parseMeasurements } from "../../../attest/measure/measurements.ts";
import { loadSigningKey } from "../../../attest/sign/key-file.ts";
import { signStatement } from "../../../attest/sign/sign.ts";
import { runVerify } from "../../../attest/verify/command.ts";
import type { Report } from "../../../attest/verify/report.ts";

// The whole command from outside the machine: signed measurements, evidence of a real boot, exit status and report.

const NONCE = "00112233445566778899aabbccddeeff";
const scratch = mkdtempSync(join(tmpdir(), "secai-runtime-"));
const at = (name: string) => join(scratch, name);
const measurements = parseMeasurements(vector("plain/measurements.json"));

async function signed(name: string, key: string, predicateType: string, predicate: unknown): Promise<void> {
  const statement = buildStatement(predicateType, [subjectOf("uki.efi", parseSha256(measurements.uki.sha256))], predicate);
  writeFileSync(at(name), await signStatement(statement, await loadSigningKey(at(`${key}.key`))));
}

beforeAll(async () => {
  for (const name of ["release", "other"]) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    writeFileSync(at(`${name}.key`), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    writeFileSync(at(`${name}.pub`), publicKey.export({ type: "spki", format: "pem" }));
  }
  mkdirSync(at("empty"));
  writeFileSync(at("plain.json"), vector("plain/evidence.json"));
  writeFileSync(at("addon.json"), vector("addon/evidence.json"));
  writeFileSync(at("site.json"), vector("addon/policy.json"));
  await signed("measurements", "release", MEASURED_BOOT_PREDICATE, measurements);
  await signed("forged", "other", MEASURED_BOOT_PREDICATE, measurements);
  await signed("provenance", "release", PROVENANCE_PREDICATE, measurements);
  await signed("changed", "release", MEASURED_BOOT_PREDICATE, { ...measurements, rootHash: sha256("other") });
});
afterAll(() => rmSync(scratch, { recursive: true }));

async function ask(...args: string[]) {
  let stdout = "";
  let stderr = "";
  const io = {
    stdout: (text: string) => (stdout += text),
    stderr: (text: string) => (stderr += text),
    env: { SECAI_KEYS: at("none") },
  };
  const exit = await runVerify(["runtime", ...args], {
    ...io,
    stdout: (text) => void io.stdout(text),
    stderr: (text) => void io.stderr(text),
  });
  return { exit, stdout, stderr };
}
const trust = () => ["--key", at("release.pub"), "--designation", "dev"];
const evidence = (name = "plain") => ["--evidence", at(`${name}.json`), "--nonce", NONCE];
const promise = (name = "measurements") => ["--measurements", at(name)];

const answers: { name: string; args: () => string[]; exit: number; says: RegExp }[] = [
  { name: "the release", args: () => [...evidence(), ...promise(), ...trust()], exit: 0, says: /ACCEPTED/ },
  {
    name: "a machine under test, by the site's policy",
    args: () => [...evidence("addon"), ...promise(), ...trust(), "--policy", at("site.json")],
    exit: 0,
    says: /test-agent/,
  },
  {
    name: "a machine under test, by the release's",
    args: () => [...evidence("addon"), ...promise(), ...trust()],
    exit: 1,
    says: /BOOT_ADDON_PRESENT/,
  },
  {
    name: "another nonce",
    args: () => ["--evidence", at("plain.json"), "--nonce", "00".repeat(16), ...promise(), ...trust()],
    exit: 1,
    says: /QUOTE_NONCE/,
  },
  {
    name: "measurements that another key signed",
    args: () => [...evidence(), ...promise("forged"), ...trust()],
    exit: 1,
    says: /SIGNATURE_INVALID/,
  },
  {
    name: "a statement of another kind",
    args: () => [...evidence(), ...promise("provenance"), ...trust()],
    exit: 1,
    says: /SCHEMA_MISMATCH/,
  },
  {
    name: "signed measurements that contradict themselves",
    args: () => [...evidence(), ...promise("changed"), ...trust()],
    exit: 1,
    says: /MEASUREMENTS_MALFORMED/,
  },
  {
    name: "a release for somebody else",
    args: () => [...evidence(), ...promise(), "--key", at("release.pub")],
    exit: 1,
    says: /DESIGNATION/,
  },
  {
    name: "an empty release directory",
    args: () => [...evidence(), "--release", at("empty"), ...trust()],
    exit: 1,
    says: /DIRECTORY_EMPTY/,
  },
];
for (const { name, args, exit, says } of answers) {
  test(`exit ${exit}: ${name}`, async () => {
    const answer = await ask(...args());
    expect(answer.stdout).toMatch(says);
    expect(answer.exit).toBe(exit);
  });
}

const misuse: { name: string; args: () => string[]; code: RegExp }[] = [
  { name: "no promise to hold the machine to", args: () => [...evidence(), ...trust()], code: /^VERIFY_USAGE/ },
  {
    name: "two promises",
    args: () => [...evidence(), ...promise(), "--release", at("empty"), ...trust()],
    code: /^VERIFY_USAGE/,
  },
  {
    name: "evidence without a nonce",
    args: () => ["--evidence", at("plain.json"), ...promise(), ...trust()],
    code: /^VERIFY_USAGE/,
  },
  {
    name: "a short nonce",
    args: () => ["--evidence", at("plain.json"), "--nonce", "00", ...promise(), ...trust()],
    code: /^VERIFY_USAGE/,
  },
  { name: "a remote command that is not named", args: () => [...promise(), ...trust(), "--remote"], code: /^VERIFY_USAGE/ },
  {
    name: "a remote command and evidence",
    args: () => [...evidence(), ...promise(), ...trust(), "--remote", "true"],
    code: /^VERIFY_USAGE/,
  },
  {
    name: "a deadline for nobody",
    args: () => [...evidence(), ...promise(), ...trust(), "--deadline", "5"],
    code: /^VERIFY_USAGE/,
  },
  {
    name: "no time at all",
    args: () => [...promise(), ...trust(), "--deadline", "0", "--remote", "true"],
    code: /^VERIFY_USAGE/,
  },
  { name: "an unknown option", args: () => ["--allow-addons"], code: /^VERIFY_USAGE/ },
  { name: "no key at all", args: () => [...evidence(), ...promise()], code: /^TRUST_ROOT_MISSING/ },
  {
    name: "evidence that is not there",
    args: () => ["--evidence", at("no.json"), "--nonce", NONCE, ...promise(), ...trust()],
    code: /^RUNTIME_FILE_UNREADABLE/,
  },
  {
    name: "evidence as a policy",
    args: () => [...evidence(), ...promise(), ...trust(), "--policy", at("plain.json")],
    code: /^RUNTIME_POLICY_MALFORMED/,
  },
];
for (const { name, args, code } of misuse) {
  test(`exit 2: ${name}`, async () => {
    const answer = await ask(...args());
    expect(answer.stderr).toMatch(code);
    expect(answer).toMatchObject({ exit: 2, stdout: "" });
  });
}

/** A transport that answers like a machine: it checks that it got the collector's command, and prints what it is told to. */
function transport(name: string, body: string): string[] {
  writeFileSync(
    at(name),
    `const [node, collector, flag, nonce] = process.argv.slice(2);
if (node !== "/usr/bin/node" || !collector.endsWith("/secai-evidence.mjs") || flag !== "--nonce" || !/^[0-9a-f]{64}$/.test(nonce)) process.exit(9);
${body}`,
  );
  return ["--remote", process.execPath, at(name)];
}
const asked = (name: string, body: string, ...options: string[]) => [
  ...promise(),
  ...trust(),
  ...options,
  ...transport(name, body),
];

const remote: { name: string; args: () => string[]; exit: number; says: RegExp }[] = [
  {
    name: "a machine that repeats an old answer",
    args: () => asked("old.cjs", `process.stdout.write(require("node:fs").readFileSync(${JSON.stringify(at("plain.json"))}));`),
    exit: 1,
    says: /QUOTE_NONCE/,
  },
  { name: "no answer", args: () => asked("none.cjs", ""), exit: 1, says: /^EVIDENCE_MALFORMED/ },
  {
    name: "an endless answer",
    args: () => asked("endless.cjs", `setInterval(() => process.stdout.write("x".repeat(1 << 20)), 1);`),
    exit: 1,
    says: /^EVIDENCE_TOO_LARGE/,
  },
  {
    name: "silence past the deadline, and a child that holds on",
    args: () =>
      asked(
        "silent.cjs",
        `require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" }); setInterval(() => {}, 1000);`,
        ...["--deadline", "1"],
      ),
    exit: 3,
    says: /^REMOTE_FAILED: .*1000 ms/,
  },
  {
    name: "a refusal, with control characters in it",
    args: () => asked("refusal.cjs", `process.stderr.write("no\u001b[31m such host"); process.exit(255);`),
    exit: 3,
    says: /^REMOTE_FAILED: .*255: no\\u\{1b\}\[31m such host/,
  },
  {
    name: "a command that is not there",
    args: () => [...promise(), ...trust(), "--remote", at("no-such-command")],
    exit: 3,
    says: /^REMOTE_FAILED/,
  },
];
for (const { name, args, exit, says } of remote) {
  test(`--remote, exit ${exit}: ${name}`, async () => {
    const answer = await ask(...args());
    expect(answer.stdout + answer.stderr).toMatch(says);
    expect(answer.exit).toBe(exit);
  });
}

test("--remote, exit 0: a machine that answers the nonce it was given", async () => {
  const machine = join(import.meta.dirname, "machine-transport.ts");
  const answer = await ask(...promise(), ...trust(), "--remote", process.execPath, machine, "--", "root@machine");
  expect(answer.stdout).toMatch(/ACCEPTED/);
  expect(answer.exit).toBe(0);
});

test("exit 1: something else instead of evidence", async () => {
  const answer = await ask("--evidence", at("site.json"), "--nonce", NONCE, ...promise(), ...trust());
  expect(answer.stderr).toMatch(/^EVIDENCE_MALFORMED/);
  expect(answer.exit).toBe(1);
});

test("the JSON report has the schema of the release's", async () => {
  const { stdout } = await ask(...evidence(), ...promise(), ...trust(), "--json");
  const report = JSON.parse(stdout) as Report;
  expect(report).toMatchObject({ schema: 1, kind: "runtime", verdict: "accepted", claims: { policy: "release" } });
  expect(report.checks.filter(({ id }) => id.startsWith("boot."))).toHaveLength(5);
  expect(report.counts).toMatchObject({ fail: 0, undecided: 0 });
  // Without a release there is nothing to compare the running system with; the report says so, check by check.
  const notAsked = report.checks.filter(({ status }) => status === "not_present").map(({ id }) => id);
  expect(notAsked).toEqual(expect.arrayContaining(["release.version", "release.services", "runtime.baseline", "runtime.units"]));
});

test("--help has examples", async () =>
  expect(await ask("--help")).toMatchObject({ exit: 0, stdout: expect.stringContaining("Examples:") }));
