import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { bundleOf, DISK_FILE, MANIFEST_FILE, UKI_FILE } from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { RELEASE_PREDICATE, TEST_RESULT_PREDICATE } from "@secai/formats/uris";
import { describe, expect, test } from "vitest";
import { loadEvidence, loadRecorded, record, requireImageOf, withReports } from "./evidence.ts";
import {
  exampleRelease,
  IMAGE,
  makeKey,
  releaseBundle,
  reportOf,
  resultBundle,
  signed,
  type TemporaryFolder,
  temporaryFolder,
} from "./example.test-data.ts";

const key = makeKey();
const stranger = makeKey();
const OTHER = sha256("another image");
const RESULT = bundleOf("tests/acceptance.json");
const report = reportOf("acceptance", {
  "boot.first": {},
  "boot.fork": { outcome: "failed" },
  "boot.slots": { outcome: "fault" },
  "gpu.truth": { outcome: "missing" },
});

interface Case {
  readonly name: string;
  readonly code: string;
  readonly spoil: (release: TemporaryFolder) => void;
}
const remove = (name: string) => (release: TemporaryFolder) => rmSync(join(release.path, name), { recursive: true });
const put = (name: string, content: () => string | Uint8Array) => (release: TemporaryFolder) => release.write(name, content());

const rejected: readonly Case[] = [
  { name: "a result that nobody signed", code: "CONTROL_STATEMENT_UNSIGNED", spoil: remove(RESULT) },
  {
    name: "a second suite's result that nobody signed",
    code: "CONTROL_STATEMENT_UNSIGNED",
    spoil: put("tests/adversarial.json", () => "{}\n"),
  },
  { name: "no results", code: "CONTROL_EVIDENCE_MISSING", spoil: remove("tests") },
  { name: "no statement of the release", code: "CONTROL_EVIDENCE_MISSING", spoil: remove(bundleOf(MANIFEST_FILE)) },
  { name: "a result by another key", code: "SIGNATURE_INVALID", spoil: put(RESULT, () => resultBundle(stranger, report)) },
  {
    name: "a release by another key",
    code: "SIGNATURE_INVALID",
    spoil: put(bundleOf(MANIFEST_FILE), () => releaseBundle(stranger)),
  },
  { name: "a bundle that is none", code: "SCHEMA_MISMATCH", spoil: put(RESULT, () => "{}\n") },
  {
    name: "a result whose subject is another image",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(RESULT, () => resultBundle(key, report, OTHER)),
  },
  {
    name: "a result of a run over another image",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(RESULT, () => resultBundle(key, reportOf("acceptance", { "boot.first": {} }, OTHER))),
  },
  {
    name: "a result about another file",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(RESULT, () => resultBundle(key, report, IMAGE, [UKI_FILE])),
  },
  {
    name: "a result about a file more",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(RESULT, () => resultBundle(key, report, IMAGE, [DISK_FILE, UKI_FILE])),
  },
  {
    name: "a release of another image",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(bundleOf(MANIFEST_FILE), () => releaseBundle(key, OTHER)),
  },
  {
    name: "a result under another suite's name",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(bundleOf("tests/adversarial.json"), () => resultBundle(key, report)),
  },
  {
    name: "another statement in a result's place",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(RESULT, () => releaseBundle(key)),
  },
  {
    name: "a result in the release's place",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(bundleOf(MANIFEST_FILE), () => resultBundle(key, report)),
  },
  {
    name: "a release statement that is not about its manifest",
    code: "CONTROL_STATEMENT_FOREIGN",
    spoil: put(bundleOf(MANIFEST_FILE), () =>
      signed(key, RELEASE_PREDICATE, [DISK_FILE], IMAGE, releasePredicate("debian-13", "0.1.0")),
    ),
  },
  {
    name: "a result that says nothing",
    code: "SCHEMA_MISMATCH",
    spoil: put(RESULT, () => signed(key, TEST_RESULT_PREDICATE, [DISK_FILE], IMAGE, { result: "PASSED" })),
  },
];
describe("loadEvidence refuses", () => {
  for (const { name, code, spoil } of rejected) {
    test(name, async () => {
      using release = exampleRelease(key, report);
      spoil(release);
      await expect(loadEvidence(release.path, key.key)).rejects.toMatchObject({ code });
    });
  }
  test("one changed byte of a signed outcome", async () => {
    using release = exampleRelease(key, report);
    const bundle = JSON.parse(readFileSync(join(release.path, RESULT), "utf8"));
    const payload = Buffer.from(bundle.dsseEnvelope.payload, "base64").toString();
    bundle.dsseEnvelope.payload = Buffer.from(payload.replace('"boot.first"', '"boot.firsu"')).toString("base64");
    release.write(RESULT, `${JSON.stringify(bundle)}\n`);
    await expect(loadEvidence(release.path, key.key)).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  });
});

test("loadEvidence reads what a suite found, of that image", async () => {
  using release = exampleRelease(key, report);
  const evidence = await loadEvidence(release.path, key.key);
  expect(evidence.release).toMatchObject({ release: "debian-13 0.1.0", image: IMAGE });
  const [statement] = evidence.statements;
  expect(statement).toMatchObject({ suite: "acceptance", image: IMAGE, accelerator: "tcg", report: sha256(report) });
  expect(statement?.finishedOn).toBe("2026-01-01T00:01:00.000Z");
  expect(Object.fromEntries(statement?.outcomes ?? [])).toEqual({
    "boot.first": "passed",
    "boot.fork": "failed",
    "boot.slots": "failed",
    "gpu.truth": "missing",
  });
  const { payload } = JSON.parse(readFileSync(join(release.path, RESULT), "utf8")).dsseEnvelope;
  expect(statement?.digest).toBe(sha256(Buffer.from(payload, "base64")));
});

describe("requireImageOf", () => {
  test("refuses another image beside the statements", async () => {
    using release = exampleRelease(key, report);
    const evidence = await loadEvidence(release.path, key.key);
    await expect(requireImageOf(release.path, evidence)).resolves.toBeUndefined();
    release.write(DISK_FILE, "another disk\n");
    await expect(requireImageOf(release.path, evidence)).rejects.toMatchObject({ code: "CONTROL_STATEMENT_FOREIGN" });
  });
  test("refuses statements without an image", async () => {
    using release = exampleRelease(key, report);
    const evidence = await loadEvidence(release.path, key.key);
    remove(DISK_FILE)(release);
    await expect(requireImageOf(release.path, evidence)).rejects.toMatchObject({ code: "CONTROL_EVIDENCE_MISSING" });
  });
});

test("a report of another run is refused", async () => {
  using release = exampleRelease(key, report);
  const evidence = await loadEvidence(release.path, key.key);
  const foreign = expect.objectContaining({ code: "CONTROL_REPORT_FOREIGN" });
  expect(() => withReports(evidence, [Buffer.concat([report, Buffer.from("\n")])])).toThrow(foreign);
  expect([...withReports(evidence, [report]).reports.keys()]).toEqual(["acceptance"]);
});

describe("what is recorded", () => {
  test("is nothing where nothing is", async () => {
    using folder = temporaryFolder();
    await expect(loadRecorded(folder.path)).resolves.toBeUndefined();
  });
  test("reads back the same, and takes the place of what was there", async () => {
    using release = exampleRelease(key, report);
    using folder = temporaryFolder();
    folder.write("reports/old.json", "{}");
    folder.write("README.md", "stays");
    const evidence = withReports(await loadEvidence(release.path, key.key), [report]);
    await record(folder.path, evidence, key.pem);
    await expect(loadRecorded(folder.path)).resolves.toEqual(evidence);
    expect(readdirSync(folder.path).sort()).toEqual(["README.md", "release", "release.pub", "reports"]);
    expect(readdirSync(join(folder.path, "reports"))).toEqual(["acceptance.json"]);
  });
  const spoilt = [
    { name: "without its key", code: "CONTROL_EVIDENCE_MISSING", spoil: remove("release.pub") },
    { name: "with another key", code: "SIGNATURE_INVALID", spoil: put("release.pub", () => stranger.pem) },
    { name: "with a key that is none", code: "KEY_MALFORMED", spoil: put("release.pub", () => "a key\n") },
    { name: "without its statements", code: "CONTROL_EVIDENCE_MISSING", spoil: remove("release") },
    { name: "with an edited report", code: "CONTROL_REPORT_FOREIGN", spoil: put("reports/acceptance.json", () => "{}") },
    { name: "with a report more", code: "CONTROL_REPORT_FOREIGN", spoil: put("reports/adversarial.json", () => "{}") },
  ];
  for (const { name, code, spoil } of spoilt) {
    test(`is refused ${name}`, async () => {
      using release = exampleRelease(key, report);
      using folder = temporaryFolder();
      await record(folder.path, withReports(await loadEvidence(release.path, key.key), [report]), key.pem);
      spoil(folder);
      await expect(loadRecorded(folder.path)).rejects.toMatchObject({ code });
    });
  }
});
