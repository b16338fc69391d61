import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { loadSigningKey, type SigningKey } from "@secai/sign/key-file";
import type { Report } from "@secai/verify/report";
import { labelOf } from "@secai/verify/report-text";
import { verifyRelease } from "@secai/verify/verify-release";
import { afterAll, beforeAll, expect, test } from "vitest";
import { factsOf, makeKeys, makeRelease, suiteResults, temporaryDirectory } from "./fixture.ts";
import { namesIn } from "./forge.ts";
import { mutationsOf } from "./mutations.ts";

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

/** Failures of a check: "id" stands for any of its subjects. */
const failuresOf = (report: Report, wanted: string) =>
  report.checks.filter(
    (check) => check.status === "fail" && [check.id, `${check.id}:${check.subject}`].includes(wanted),
  ) as readonly Extract<Report["checks"][number], { readonly status: "fail" }>[];
const mutations = mutationsOf(namesIn(at("release")));

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

for (const { name, fails, code, apply } of mutations) {
  test(`${name} fails ${fails.join(" and ")}`, async () => {
    const dir = at("case");
    cpSync(at("release"), dir, { recursive: true });
    try {
      await apply({ dir, older: at("older"), key, stranger });
      const report = await verifyRelease(dir, { ...policy, version: factsOf().version });
      expect(fails.filter((wanted) => failuresOf(report, wanted).length === 0)).toEqual([]);
      if (code !== undefined) expect(failuresOf(report, fails[0] ?? "").map((check) => check.code)).toContain(code);
      expect(report.verdict).toBe("rejected");
    } finally {
      rmSync(dir, { recursive: true, force: true });
      rmSync(at("gone"), { recursive: true, force: true });
    }
  });
}
