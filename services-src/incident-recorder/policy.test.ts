import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { incidentClasses, severities } from "@secai/kit/api/incidents";
import { test } from "vitest";
import { actionsFor, floor, parseContainment } from "./policy.ts";

const shipped = readFileSync(
  join(import.meta.dirname, "../../image/common/etc/secure-ai/policy/incident-containment.yaml"),
  "utf8",
);
const parse = (text: string) => parseContainment(Buffer.from(text));

const rejected: readonly { readonly name: string; readonly code: string; readonly text: string }[] = [
  { name: "nothing", code: "CONFIG_SCHEMA", text: "" },
  { name: "empty rules", code: "CONFIG_SCHEMA", text: shipped.replace(/classes:[\s\S]*?# Done/, "classes: {}\n# Done") },
  { name: "a missing class", code: "CONFIG_SCHEMA", text: shipped.replace(/ {2}tool_call_burst:\n(?: {4}.*\n)+/, "") },
  { name: "an unknown class", code: "CONFIG_SCHEMA", text: shipped.replace("  tool_call_burst:", "  tool_call_bursts:") },
  {
    name: "an unknown action",
    code: "CONFIG_SCHEMA",
    text: shipped.replace("quarantine_model, freeze_agent", "reboot, freeze_agent"),
  },
  { name: "an unknown key", code: "CONFIG_SCHEMA", text: `${shipped}auto_contain: false\n` },
  {
    name: "an action twice",
    code: "CONFIG_SCHEMA",
    text: shipped.replace("[quarantine_model, freeze_agent]", "[freeze_agent, freeze_agent]"),
  },
  { name: "a key twice", code: "CONFIG_SYNTAX", text: shipped.replace("version: 1", "version: 1\nversion: 1") },
  { name: "an alias", code: "CONFIG_SYNTAX", text: shipped.replace("webhooks: []", "webhooks: &a []") },
  {
    name: "a webhook without TLS",
    code: "CONFIG_SCHEMA",
    text: shipped.replace("webhooks: []", 'webhooks: [{ url: "http://example.org/", events: [] }]'),
  },
  { name: "an escalation of one report", code: "CONFIG_SCHEMA", text: shipped.replace("reports: 3", "reports: 1") },
];
for (const { name, code, text } of rejected) {
  test(`parseContainment refuses ${name}`, () => assert.throws(() => parse(text), { code }));
}

for (const [name, least] of Object.entries(floor)) {
  const rule = (severity: string, latched: boolean, actions: readonly string[]): string =>
    shipped.replace(
      new RegExp(`( {2}${name}:\\n)(?: {4}.*\\n)+`),
      `$1    severity: ${severity}\n    latched: ${latched}\n    actions: [${actions.join(", ")}]\n`,
    );
  test(`${name} keeps its latch, severity and actions, and may have more`, () => {
    assert.throws(() => parse(rule(least.severity, false, least.actions)), { code: "CONTAINMENT_POLICY" });
    assert.throws(() => parse(rule("medium", true, least.actions)), { code: "CONTAINMENT_POLICY" });
    for (const action of least.actions)
      assert.throws(
        () =>
          parse(
            rule(
              least.severity,
              true,
              least.actions.filter((each) => each !== action),
            ),
          ),
        { code: "CONTAINMENT_POLICY" },
      );
    const more = [...new Set([...least.actions, "log_alert"])];
    assert.deepEqual(parse(rule("critical", true, more)).classes[name as keyof typeof floor], {
      severity: "critical",
      latched: true,
      actions: more,
    });
  });
}

test("the shipped policy is whole, and its webhooks are off", () => {
  const policy = parse(shipped);
  assert.deepEqual(Object.keys(policy.classes).sort(), [...incidentClasses].sort());
  assert.deepEqual(policy.webhooks, []);
});

test("a worse severity never asks for less", () => {
  const policy = parse(shipped);
  for (const name of incidentClasses) {
    const asked = severities.map((severity) => actionsFor(policy, name, severity));
    for (const [index, actions] of asked.entries())
      for (const action of asked[index - 1] ?? []) assert.ok(actions.includes(action), `${name} ${action}`);
  }
  assert.deepEqual(actionsFor(policy, "forbidden_airlock_request", "medium"), []);
  assert.deepEqual(actionsFor(policy, "tool_call_burst", "critical"), ["freeze_agent", "disable_airlock", "log_alert"]);
});
