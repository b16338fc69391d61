import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseManifest } from "@secai/formats/manifest";
import { parseTestResult } from "@secai/formats/test-result";
import { runAttest } from "@secai/release/commands/attest";
import { runCheck } from "@secai/release/commands/check";
import { runPromote } from "@secai/release/commands/promote";
import { runSign } from "@secai/release/commands/sign";
import type { ReleaseIo } from "@secai/release/gate/io";
import { runVerify } from "@secai/verify/command";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { factsOf, makeKeys, makeRelease, temporaryDirectory } from "./fixture.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);
makeKeys(at("keys"));
makeKeys(at("others"));
const dir = at("release");

type Verb = (args: readonly string[], io: ReleaseIo) => Promise<number>;
async function run(verb: Verb, ...args: string[]) {
  const said = { out: "", err: "" };
  const io: ReleaseIo = {
    stdout: (text) => {
      said.out += text;
    },
    stderr: (text) => {
      said.err += text;
    },
    env: { SECAI_KEYS: at("keys"), NO_COLOR: "1" },
  };
  return { exit: await verb(args, io), ...said };
}
const manifest = (of = dir) => parseManifest(readFileSync(join(of, "RELEASE_MANIFEST.json")));
const snapshot = () =>
  readdirSync(dir, { recursive: true }).toSorted().join("\n") + readFileSync(join(dir, "SHA256SUMS"), "utf8");
const code = (name: string) => expect.objectContaining({ code: name });

const designation = "candidate" as const;
await makeRelease(at("made"), at("keys"), {
  facts: {
    designation,
    dependencies: [...factsOf().dependencies, { name: "repository", digest: { gitCommit: "a".repeat(40) } }],
  },
  measurements: { designation },
  options: {
    commitSha: "a".repeat(40),
    absent: ["disk.ova", "installer.iso", "oci"].map((name) => ({ name, reason: "not an output" })),
  },
});
beforeEach(() => {
  rmSync(dir, { recursive: true, force: true });
  cpSync(at("made"), dir, { recursive: true });
});

function suiteReport(suite: string, change: Readonly<Record<string, unknown>> = {}): string {
  const scenario = { id: "boot.ok", title: "It boots", outcome: "passed", durationMs: 12.5, measures: {} };
  const report = {
    ...{
      schema: 1,
      suite,
      startedOn: "2026-01-01T00:00:00.000Z",
      durationMs: 1000.5,
      accelerator: "tcg",
      imageDigest: manifest().image.digest,
    },
    ...{ passed: 1, failed: [], skipped: [], scenarios: [scenario], ...change },
  };
  const path = at(`${suite}.json`);
  writeFileSync(path, JSON.stringify(report));
  return path;
}

describe("attest", () => {
  test("says what it would add and changes nothing", async () => {
    const before = snapshot();
    const { exit, out } = await run(runAttest, dir, suiteReport("acceptance"));
    expect({ exit, out }).toEqual({
      exit: 0,
      out: "would add (run with --apply) acceptance: 1 passed, 0 warned, 0 failed (tcg)\n",
    });
    expect(snapshot()).toBe(before);
  });
  test("adds a signed result, bound to image and accelerator, and the release verifies", async () => {
    expect((await run(runAttest, dir, suiteReport("acceptance"), "--apply")).exit).toBe(0);
    const result = parseTestResult(readFileSync(join(dir, "tests/acceptance.json")));
    expect(result.configuration[0]?.annotations).toMatchObject({ accelerator: "tcg", imageDigest: manifest().image.digest });
    expect(manifest().tests.map(({ name }) => name)).toEqual(["tests/acceptance.json"]);
    expect((await run((args, io) => runVerify(args, io), "release", dir)).exit).toBe(0);
  });
  test("replaces the result of the same suite", async () => {
    await run(runAttest, dir, suiteReport("acceptance"), "--apply");
    const failed = { id: "boot.bad", title: "It fails", outcome: "fault", durationMs: 1, measures: {}, message: "gone" };
    await run(runAttest, dir, suiteReport("acceptance", { scenarios: [failed] }), "--apply");
    expect(parseTestResult(readFileSync(join(dir, "tests/acceptance.json")))).toMatchObject({
      result: "FAILED",
      failedTests: ["boot.bad"],
    });
  });
  test("a run over another image is refused", async () => {
    const foreign = suiteReport("acceptance", { imageDigest: `sha256:${"0".repeat(64)}` });
    await expect(run(runAttest, dir, foreign, "--apply")).rejects.toEqual(code("TEST_RESULT_FOREIGN"));
  });
  test("what is no report, and a release that does not verify, are refused", async () => {
    writeFileSync(at("x.json"), "{}");
    await expect(run(runAttest, dir, at("x.json"))).rejects.toEqual(code("SCHEMA_MISMATCH"));
    writeFileSync(join(dir, "ROOT_HASH"), "x\n");
    await expect(run(runAttest, dir, suiteReport("acceptance"), "--apply")).rejects.toEqual(code("GATE_REJECTED"));
    expect(existsSync(join(dir, "tests"))).toBe(false);
  });
});

describe("check and promote", () => {
  const obstacles = async (target: string) => {
    const { exit, out } = await run(runCheck, dir, "--for", target, "--json");
    return { exit, codes: (JSON.parse(out).obstacles as { code: string }[]).map((one) => one.code) };
  };
  test("a candidate is ready to be one, and needs both suites to be stable", async () => {
    expect(await obstacles("candidate")).toEqual({ exit: 0, codes: [] });
    expect(await obstacles("stable")).toEqual({ exit: 1, codes: ["TESTS_MISSING", "TESTS_MISSING"] });
    expect(await obstacles("dev")).toEqual({ exit: 1, codes: ["DESIGNATION_BACKWARDS"] });
  });
  test("a failed test stands in the way", async () => {
    const failed = { id: "boot.bad", title: "It fails", outcome: "failed", durationMs: 1, measures: {} };
    const results = [suiteReport("acceptance", { scenarios: [failed] }), suiteReport("adversarial")];
    await run(runAttest, dir, ...results, "--apply");
    expect(await obstacles("stable")).toEqual({ exit: 1, codes: ["TESTS_NOT_PASSED"] });
    await expect(run(runPromote, dir, "--to", "stable", "--apply")).rejects.toEqual(code("RELEASE_NOT_READY"));
    expect(manifest().designation).toBe("candidate");
  });
  test("with both suites passed it becomes stable, and not a bit of the image changes", async () => {
    await run(runAttest, dir, suiteReport("acceptance"), suiteReport("adversarial"), "--apply");
    const before = snapshot();
    expect((await run(runPromote, dir, "--to", "stable")).out).toContain("would promote");
    expect(snapshot()).toBe(before);
    expect((await run(runPromote, dir, "--to", "stable", "--out", at("stable"), "--apply")).exit).toBe(0);
    expect(snapshot()).toBe(before);
    expect(manifest(at("stable"))).toMatchObject({ designation: "stable", image: manifest().image });
    expect((await run((args, io) => runVerify(args, io), "release", at("stable"))).exit).toBe(0);
  });
  test("a development build becomes nothing", async () => {
    await makeRelease(at("dev"), at("keys"));
    const { exit, out } = await run(runCheck, at("dev"), "--for", "candidate", "--json");
    expect(exit).toBe(1);
    expect((JSON.parse(out).obstacles as { code: string }[]).map((one) => one.code)).toEqual(
      expect.arrayContaining(["BUILT_FOR_DEVELOPMENT", "SOURCES_UNCOMMITTED"]),
    );
  });
});

describe("sign", () => {
  test("a stranger's signatures do not count, and the verifier says so", async () => {
    const { exit, out } = await run(runSign, dir, "--signing-key", at("others/release.key"), "--apply", "--json");
    expect(exit).toBe(0);
    expect((JSON.parse(out).bundles as string[]).length).toBeGreaterThan(4);
    expect((await run((args, io) => runVerify(args, io), "release", dir)).exit).toBe(1);
  });
  test("nothing is written without --apply", async () => {
    const before = snapshot();
    expect((await run(runSign, dir, "--signing-key", at("others/release.key"))).out).toContain("would add");
    expect(snapshot()).toBe(before);
  });
});

for (const verb of [runAttest, runCheck, runPromote, runSign]) {
  test(`${verb.name} --help explains itself, and wrong use has a name`, async () => {
    const { exit, out } = await run(verb, "--help");
    expect(exit).toBe(0);
    expect(out).toContain("Examples:");
    await expect(run(verb, "--no-such-option")).rejects.toEqual(code("RELEASE_USAGE"));
    await expect(run(verb)).rejects.toEqual(code("RELEASE_USAGE"));
  });
}
