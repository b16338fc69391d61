import fc from "fast-check";
import { expect, test } from "vitest";
import type { Control, Controls } from "./controls.ts";
import { type Evidence, loadEvidence } from "./evidence.ts";
import { exampleRelease, IMAGE, makeKey, reportOf } from "./example.test-data.ts";
import { matrixPage, proofsOf } from "./matrix.ts";

const key = makeKey();
const report = reportOf("acceptance", {
  "boot.first": {},
  "boot.fork": { outcome: "failed" },
  "gpu.truth": { outcome: "missing" },
});
const scenarios = ["boot.first", "boot.fork", "gpu.truth", "boot.later"].map((id) => ({
  suite: "acceptance",
  id,
  title: `T | of ${id}`,
}));
const attack = { suite: "adversarial", id: "root.data", title: "One bit" };

const control = (id: string, proof: Partial<Control>): Control => ({
  id,
  control: `${id} holds.`,
  components: ["attest/verify"],
  ...proof,
});
const shownBy = (...ids: string[]): Controls => ({
  schema: 1,
  controls: [control("it", { scenarios: ids })],
  timeline: { reason: "None.", zeros: ["one"], moments: [{ name: "one", what: "It begins." }] },
});

async function evidence(): Promise<Evidence> {
  using release = exampleRelease(key, report);
  return await loadEvidence(release.path, key.key);
}
/** The last cell of the control's row. */
const shown = (page: string): string | undefined => /^\| it \| it holds\. .*\| ([^|]+) \|$/m.exec(page)?.[1];

test("a scenario that no suite has is refused by name", () => {
  const unknown = expect.objectContaining({ code: "CONTROL_SCENARIO_UNKNOWN", expected: expect.stringContaining("it") });
  expect(() => matrixPage(shownBy("boot.first", "boot.second"), scenarios, undefined)).toThrow(unknown);
});

const cases: readonly { readonly name: string; readonly ids: readonly string[]; readonly expected: string }[] = [
  { name: "all passed", ids: ["boot.first"], expected: "1 of 1 passed" },
  { name: "one failed among passed ones", ids: ["boot.first", "boot.fork"], expected: "**1 of 2 failed**" },
  { name: "one that the host could not run", ids: ["boot.first", "gpu.truth"], expected: "1 of 2 passed" },
  { name: "one that is newer than the statement", ids: ["boot.first", "boot.later"], expected: "1 of 2 passed" },
  { name: "one of a suite without a statement", ids: ["root.data"], expected: "no result of 1" },
];
for (const { name, ids, expected } of cases) {
  test(`a control with ${name} is shown as "${expected}"`, async () => {
    expect(shown(matrixPage(shownBy(...ids), [...scenarios, attack], await evidence()))).toBe(expected);
  });
}

test("without statements nothing has a result", () => {
  const page = matrixPage(shownBy("boot.first", "boot.fork"), scenarios, undefined);
  expect(shown(page)).toBe("no result of 2");
  expect(page).toContain("No signed results are recorded.");
  expect(page).not.toMatch(/\bpassed \|/);
});

test("a control without a scenario says that it is not proven, and why", async () => {
  const controls: Controls = { ...shownBy(), controls: [control("it", { reason: "Nobody has the hardware." })] };
  const page = matrixPage(controls, scenarios, await evidence());
  expect(shown(page)).toBe("not proven here");
  expect(page).toContain("| it | Nobody has the hardware. |");
});

test("a proof names its scenario, outcome and statement; the statement its image and key", async () => {
  const found = await evidence();
  const digest = found.statements[0]?.digest ?? "";
  const page = matrixPage(shownBy("boot.first", "boot.fork", "boot.later"), scenarios, found);
  const short = digest.slice(0, 16);
  expect(page).toContain(`| it | verify | \`boot.first\` T \\| of boot.first | passed | acceptance \`${short}\` |`);
  expect(page).toContain(`| it | verify | \`boot.fork\` T \\| of boot.fork | **failed** | acceptance \`${short}\` |`);
  expect(page).toContain("| it | verify | `boot.later` T \\| of boot.later | no result | acceptance |");
  for (const text of [digest, IMAGE, key.key.fingerprint, "1 passed, 1 could not run, 1 failed", "(../attest/verify)"])
    expect(page).toContain(text);
});

test("an outcome is cited only where the statement has that very id", async () => {
  const found = await evidence();
  const ids = fc.uniqueArray(fc.constantFrom("boot.first", "boot.fork", "gpu.truth", "boot.later", "root.data"));
  fc.assert(
    fc.property(ids, (chosen) => {
      for (const { scenario, cited } of proofsOf(shownBy(...chosen), [...scenarios, attack], found))
        expect(cited?.outcome).toBe(scenario.suite === "acceptance" ? found.statements[0]?.outcomes.get(scenario.id) : undefined);
    }),
  );
});
