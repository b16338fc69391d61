import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseProfile } from "./profile.ts";

const shipped = readFileSync(
  join(import.meta.dirname, "../../image/common/etc/secure-ai/gpu-integrity/default-profile.yaml"),
  "utf8",
);

const refused = [
  { name: "an unknown trigger", from: "trigger: critical", to: "trigger: always" },
  { name: "an unknown action", from: "type: quarantine", to: "type: fail_closed" },
  { name: "a command", from: "    trigger: critical", to: "    trigger: critical\n    command: /bin/true" },
  { name: "a webhook", from: "    trigger: critical", to: "    trigger: critical\n    webhook: http://x" },
  { name: "an unknown key", from: "version: 2", to: "version: 2\nfail_open: true" },
  { name: "an earlier version", from: "version: 2", to: "version: 1" },
  { name: "a setting of another probe", from: "threshold: 0.85", to: "max_celsius: 90" },
  { name: "a threshold above 1", from: "threshold: 0.85", to: "threshold: 1.5" },
  { name: "a relative model folder", from: "/var/lib/secure-ai/vault/models", to: "models" },
  { name: "an inference runtime elsewhere", from: "127.0.0.1:8465", to: "192.0.2.1:8465", code: "ADDRESS_NOT_LOCAL" },
  { name: "no time between checks", from: "interval_seconds: 300", to: "interval_seconds: 0" },
  { name: "a probe twice", from: "name: thermal", to: "name: ecc_status" },
];
for (const { name, from, to, code } of refused)
  test(`a profile is refused with ${name}`, () => {
    expect(shipped).toContain(from);
    expect(() => parseProfile(Buffer.from(shipped.replace(from, to)))).toThrow(
      expect.objectContaining({ code: code ?? "CONFIG_SCHEMA" }),
    );
  });

test("the shipped profile is accepted", () => {
  expect(parseProfile(Buffer.from(shipped)).probes).toHaveLength(8);
});
test("a kind of probe that nobody knows is kept, so that it can err", () => {
  const probes = parseProfile(
    Buffer.from(
      shipped.replace(
        "type: thermal\n    enabled: true\n    settings:\n      max_celsius: 95",
        "type: thermals\n    enabled: true",
      ),
    ),
  ).probes;
  expect(probes.map(({ type }) => type)).toContain("thermals");
});
