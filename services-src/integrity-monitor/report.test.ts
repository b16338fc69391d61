import { incidentReport } from "@secai/kit/api/incidents";
import fc from "fast-check";
import { expect, test } from "vitest";
import { buildReport, MAX_EVIDENCE_BYTES } from "./report.ts";
import { categories, kinds, type Violation, violation } from "./violation.ts";

const occasion = (violations: readonly Violation[]) => ({
  state: "degraded" as const,
  violations,
  observedAt: "2026-01-01T00:00:00.000Z",
  scanCount: 7,
});

test("a model's violation makes a manifest mismatch that names the model", () => {
  const model = violation("model_file", "/models/m.gguf", "changed", "a", "b", "m");
  const report = buildReport(occasion([violation("mount", "/usr", "unexpected", "none", "tmpfs"), model]));
  expect(report).toMatchObject({
    class: "manifest_mismatch",
    severity: "high",
    evidence: { model_path: "/models/m.gguf", model_name: "m", violation_count: 2, scan_count: 7, state: "degraded" },
  });
});

test("a manifest or an unregistered file is never given out as a model", () => {
  const manifest = violation("model_file", "/registry/manifest.json", "manifest", "a manifest", "none");
  const { class: name, evidence } = buildReport(occasion([manifest]));
  expect(name).toBe("manifest_mismatch");
  expect(Object.keys(evidence ?? {})).not.toContain("model_path");
});

test("10 000 violations with the longest values are still one report that can be delivered", () => {
  const many = Array.from({ length: 10_000 }, (_, index) =>
    violation("state_file", `/${index}/${"é".repeat(5000)}`, "changed", "\\".repeat(9999), '"'.repeat(9999)),
  );
  const report = buildReport({ ...occasion(many), state: "recovery_required" });
  expect(report).toMatchObject({ class: "integrity_violation", severity: "critical", evidence: { violation_count: 10_000 } });
  expect(Buffer.byteLength(JSON.stringify(report.evidence))).toBeLessThanOrEqual(MAX_EVIDENCE_BYTES);
  expect(Buffer.byteLength(JSON.stringify(report))).toBeLessThan(64 * 1024);
  expect(Number(report.evidence?.named)).toBeGreaterThan(10);
});

test("whatever the violations are, the report has the shape that the recorder demands", () => {
  const any = fc.record({
    category: fc.constantFrom(...categories),
    kind: fc.constantFrom(...kinds),
    path: fc.string({ unit: "binary", maxLength: 700 }),
    expected: fc.string({ unit: "binary", maxLength: 400 }),
    actual: fc.string({ unit: "binary", maxLength: 400 }),
    model: fc.option(fc.string({ unit: "binary", maxLength: 300 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(any, { minLength: 1, maxLength: 80 }), (all) => {
      const list = all.map(({ category, path, kind, expected, actual, model }) =>
        violation(category, path, kind, expected, actual, model),
      );
      const report = { ...buildReport(occasion(list)), source: "integrity-monitor" };
      expect(incidentReport.problems(report, 1)).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

test("the digest binds the whole list, not only what is named", () => {
  const many = (last: string) =>
    Array.from({ length: 200 }, (_, index) =>
      violation("mount", `/${String(index).padStart(3, "0")}`, "unexpected", "a", index === 199 ? last : "b"),
    );
  const digest = (last: string) => buildReport(occasion(many(last))).evidence?.violations_sha256;
  expect(digest("b")).not.toBe(digest("c"));
});
