import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { formatErrors } from "@secai/formats/errors";
import { measureErrors } from "@secai/measure/errors";
import { loadSigningKey, type SigningKey } from "@secai/sign/key-file";
import { releaseChecks } from "@secai/verify/release-checks";
import type { Report } from "@secai/verify/report";
import { labelOf } from "@secai/verify/report-text";
import { verifyRelease } from "@secai/verify/verify-release";
import { afterAll, beforeAll, expect, test } from "vitest";
import { factsOf, makeKeys, makeRelease, suiteResults, temporaryDirectory } from "./fixture.ts";
import { namesIn } from "./forge.ts";
import { mutationsOf } from "./mutations.ts";
import { contentMutations } from "./mutations-contents.ts";
import { trustMutations } from "./mutations-trust.ts";

const scratch = temporaryDirectory();
const at = (name: string) => join(scratch.path, name);
const policy = makeKeys(at("keys"));
await makeRelease(at("release"), at("keys"), { files: suiteResults });
await makeRelease(at("older"), at("keys"), {
  facts: { version: "0.0.9" },
  files: { "uki.efi": { content: "an older kernel image\n" } },
});
makeKeys(at("stranger"));
let key: SigningKey;
let stranger: SigningKey;

beforeAll(async () => {
  key = await loadSigningKey(at("keys/release.key"));
  stranger = await loadSigningKey(at("stranger/release.key"));
});
afterAll(() => scratch[Symbol.dispose]());

/** What the corpus brought about, each as "check CODE". */
const given = new Set<string>();

/** Failures of a check: "id" stands for any of its subjects. */
const failuresOf = (report: Report, wanted: string) =>
  report.checks.filter(
    (check) => check.status === "fail" && [check.id, `${check.id}:${check.subject}`].includes(wanted),
  ) as readonly Extract<Report["checks"][number], { readonly status: "fail" }>[];
const mutations = [...mutationsOf(namesIn(at("release"))), ...contentMutations, ...trustMutations];

test("the release itself is accepted", async () => {
  const report = await verifyRelease(at("release"), { ...policy, version: "0.1.0" });
  expect(report.checks.filter(({ status }) => status !== "pass").map(labelOf)).toEqual([
    "bundle.signer",
    "provenance.workflow",
    "tests.required",
  ]);
  expect(report.verdict).toBe("accepted");
});

test("the corpus is as large as promised, and every mutation has its own name", () => {
  expect(mutations.length).toBeGreaterThanOrEqual(100);
  expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length);
});

for (const { name, fails, code, policy: change, trust, apply } of mutations) {
  test(`${name} fails ${fails.join(" and ")}`, async () => {
    const dir = at("case");
    cpSync(at("release"), dir, { recursive: true });
    try {
      await apply({ dir, older: at("older"), key, stranger });
      const trusted = trust === "stranger" ? { keys: [stranger] } : {};
      const report = await verifyRelease(dir, { ...policy, version: factsOf().version, ...change, ...trusted });
      for (const check of report.checks) if (check.status === "fail") given.add(`${check.id} ${check.code}`);
      expect(fails.filter((wanted) => failuresOf(report, wanted).length === 0)).toEqual([]);
      if (code !== undefined) expect(failuresOf(report, fails[0] ?? "").map((check) => check.code)).toContain(code);
      expect(report.verdict).toBe("rejected");
    } finally {
      rmSync(dir, { recursive: true, force: true });
      rmSync(at("gone"), { recursive: true, force: true });
    }
  });
}

/** Ends of other tests: of trust.test.ts and oci.test.ts, which have a case for each, and of directories too large to make here. */
const ELSEWHERE = new Set([
  ...["TRUST_CHAIN_BROKEN", "TRUST_ROLLBACK", "TRUST_FORK", "TRUST_UNREVOKED", "TRUST_LINK_NAME", "TRUST_STATEMENT"],
  ...["OCI_UNREADABLE", "OCI_BUNDLE_MISSING", "OCI_LEGACY_MISSING", "OCI_LEGACY_INVALID", "OCI_ATTACHMENT_STRAY"],
  ...["TOO_MANY_FILES", "FILE_UNREADABLE"],
]);
/** These leave a check undecided; they fail none. */
const UNDECIDED = new Set(["EVIDENCE_UNUSABLE", "BUNDLE_MISSING", "KEY_UNAVAILABLE", "FILE_MISSING"]);

test("every check fails somewhere in the corpus, and every code that a check can give is given", () => {
  const failed = new Set([...given].map((one) => one.split(" ")[0]));
  expect(releaseChecks.filter(({ id }) => !failed.has(id)).map(({ id }) => id)).toEqual([]);
  const codes = new Set([...given].map((one) => one.split(" ")[1]));
  const declared = releaseChecks.flatMap(({ codes: own = [] }) => own);
  expect([...new Set(declared)].filter((code) => !codes.has(code) && !UNDECIDED.has(code) && !ELSEWHERE.has(code))).toEqual([]);
});

test("a check gives no code but its own and those of parsers", () => {
  const parsers = new Set([...Object.keys(formatErrors), ...Object.keys(measureErrors)]);
  const own = new Set(releaseChecks.flatMap(({ id, codes = [] }) => codes.map((code) => `${id} ${code}`)));
  expect([...given].filter((one) => !own.has(one) && !parsers.has(one.split(" ")[1] ?? ""))).toEqual([]);
});
