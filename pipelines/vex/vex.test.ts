import { join } from "node:path";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { parseOpenVex } from "@secai/formats/openvex";
import { expect, test } from "vitest";
import { cycloneDxVexOf, openVexOf } from "./documents.ts";
import { judgeFindings, parseFindings, requireWaived } from "./findings.ts";
import { loadWaivers, parseWaivers, requireCurrent } from "./waivers.ts";

const waiver = {
  id: "CVE-2024-0001",
  package: "example",
  status: "not_affected",
  justification: "vulnerable_code_not_present",
  reason: "The code is not built.",
  reviewer: "maintainers",
  recorded: "2026-01-01",
  expires: "2026-12-31",
};
const yamlOf = (change: Readonly<Record<string, unknown>> = {}, waivers: readonly unknown[] = [{ ...waiver, ...change }]) =>
  JSON.stringify({ schema: 1, recipe: "small", waivers });
const packages = new Set(["example"]);
const subject = { recipe: "small", version: "1.0", packages: new Map([["example", "pkg:deb/debian/example@1.0?arch=amd64"]]) };
const parsed = parseWaivers(yamlOf(), "small");

for (const [name, change] of Object.entries({
  "an unknown member": { extra: 1 },
  "no reason": { reason: undefined },
  "no reviewer": { reviewer: undefined },
  "no date": { expires: undefined },
  "a date that is none": { expires: "2026-02-30" },
  "a date before it was recorded": { expires: "2025-12-31" },
  "not affected without a justification": { justification: undefined },
  "affected without an action": { status: "affected", justification: undefined },
  "an id that is none": { id: "lower" },
})) {
  test(`a waiver with ${name} is refused`, () => {
    expect(() => parseWaivers(yamlOf(change), "small")).toThrowError(expect.objectContaining({ code: "WAIVERS_INVALID" }));
  });
}
test("waivers of another recipe, a vulnerability twice and what is no YAML are refused", () => {
  const refused = expect.objectContaining({ code: "WAIVERS_INVALID" });
  expect(() => parseWaivers(yamlOf(), "other")).toThrowError(refused);
  expect(() => parseWaivers(yamlOf({}, [waiver, waiver]), "small")).toThrowError(refused);
  expect(() => parseWaivers("schema: [", "small")).toThrowError(refused);
  expect(() => parseWaivers("a: &a [1]\nb: *a", "small")).toThrowError(refused);
});
test("a waiver holds until the end of its last day, in a locked package", () => {
  expect(() => requireCurrent(parsed, packages, "2026-12-31")).not.toThrow();
  expect(() => requireCurrent(parsed, packages, "2027-01-01")).toThrowError(expect.objectContaining({ code: "WAIVER_EXPIRED" }));
  expect(() => requireCurrent(parsed, new Set(), "2026-06-01")).toThrowError(
    expect.objectContaining({ code: "WAIVER_UNMATCHED" }),
  );
});
test("a finding is waived by vulnerability and package together", () => {
  const findings = parseFindings(
    Buffer.from(
      JSON.stringify([
        { id: waiver.id, package: "example" },
        { id: waiver.id, package: "other" },
      ]),
    ),
  );
  const judged = judgeFindings(parsed, findings);
  expect(judged).toMatchObject({ waived: [{ package: "example" }], open: [{ package: "other" }], unused: [] });
  expect(() => requireWaived(judged)).toThrowError(expect.objectContaining({ code: "VULNERABILITY_OPEN" }));
  expect(judgeFindings(parsed, []).unused).toHaveLength(1);
});
test("OpenVEX names product, package, reason and date", () => {
  const document = parseOpenVex(openVexOf(parsed, subject));
  expect(document.statements).toEqual([
    {
      vulnerability: { name: waiver.id },
      products: [
        { "@id": "pkg:generic/secai-os-small@1.0", subcomponents: [{ "@id": "pkg:deb/debian/example@1.0?arch=amd64" }] },
      ],
      status: "not_affected",
      timestamp: "2026-01-01T00:00:00Z",
      justification: waiver.justification,
      impact_statement: waiver.reason,
      status_notes: "reviewed by maintainers; valid until 2026-12-31",
    },
  ]);
});
test("CycloneDX VEX is valid, the same for the same waivers, and says the same", async () => {
  const bytes = cycloneDxVexOf(parsed, subject).toString();
  expect(cycloneDxVexOf(parsed, subject).toString()).toBe(bytes);
  expect(await new JsonStrictValidator(Version.v1dot6).validate(bytes)).toBeNull();
  expect(JSON.parse(bytes).vulnerabilities).toMatchObject([
    { id: waiver.id, affects: [{ ref: "pkg:deb/debian/example@1.0?arch=amd64" }], analysis: { state: "not_affected" } },
  ]);
});
test("the waivers of this repository are sound", async () => {
  const { waivers } = await loadWaivers(join(import.meta.dirname, "../.."), "debian-13");
  expect(waivers.length).toBeGreaterThan(0);
});
