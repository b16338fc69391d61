import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseYaml } from "@secai/kit/config";
import { expect, test } from "vitest";
import { categoryOf, parsePolicy } from "./policy.ts";
import { monitorPolicyFile } from "./policy-schema.ts";

const shipped = readFileSync(join(import.meta.dirname, "../../image/common/etc/secure-ai/policy/integrity-monitor.yaml"), "utf8");
const parse = (text: string) => parsePolicy(Buffer.from(text));

const rejected: readonly { name: string; text: string; code: string }[] = [
  { name: "an unknown key", text: `${shipped}\nextra: 1\n`, code: "CONFIG_SCHEMA" },
  { name: "a key twice", text: `${shipped}\nversion: 1\n`, code: "CONFIG_SYNTAX" },
  { name: "another version", text: shipped.replace("version: 1", "version: 2"), code: "CONFIG_SCHEMA" },
  { name: "a relative path", text: shipped.replace("- /usr/bin/node", "- usr/bin/node"), code: "CONFIG_SCHEMA" },
  { name: "a pattern in the middle", text: shipped.replace("- /usr/bin/node", "- /usr/*/node"), code: "CONFIG_SCHEMA" },
  { name: "a path with dots", text: shipped.replace("- /usr/bin/node", "- /usr/bin/../node"), code: "MONITOR_POLICY" },
  { name: "a path in two categories", text: shipped.replace("- /usr/bin/node", "- /etc/nftables.conf"), code: "MONITOR_POLICY" },
  {
    name: "a path of the root and of the machine",
    text: shipped.replace("- /var/lib/secure-ai/keys/**", "- /etc/nftables.conf"),
    code: "MONITOR_POLICY",
  },
  { name: "users in the wrong order", text: shipped.replace("[1, 999]", "[999, 1]"), code: "MONITOR_POLICY" },
  { name: "a sweep of an hour", text: shipped.replace("scan_interval: 30", "scan_interval: 3600"), code: "CONFIG_SCHEMA" },
  { name: "no hook that drops", text: shipped.replace("[input, output, forward]", "[]"), code: "CONFIG_SCHEMA" },
];
for (const { name, text, code } of rejected)
  test(`a policy with ${name} is refused`, () => {
    expect(text).not.toBe(shipped);
    expect(() => parse(text)).toThrow(expect.objectContaining({ code }));
  });

test("the shipped policy is accepted and watches what decides over the machine", () => {
  const policy = parse(shipped);
  const watched = [...policy.sealed, ...policy.state];
  expect(categoryOf("/etc/secure-ai/policy/policy.yaml", watched)).toBe("policy_file");
  expect(categoryOf("/usr/lib/secure-ai/services/incident-recorder.mjs", watched)).toBe("service_binary");
  expect(categoryOf("/usr/lib/systemd/system/secure-ai-incident-recorder.service", watched)).toBe("systemd_unit");
  expect(categoryOf("/etc/secure-aix", watched)).toBeUndefined();
});

test("the target that names a path most closely gives its category", () => {
  const { sealed } = parse(shipped);
  expect(categoryOf("/usr/lib/secure-ai/trust/release.pub", sealed)).toBe("trust_material");
  expect(categoryOf("/usr/lib/secure-ai/services.json", sealed)).toBe("service_binary");
});

test("the shape of the shipped file is that of the schema", () => {
  expect(() => parseYaml("integrity-monitor.yaml", Buffer.from(shipped), monitorPolicyFile)).not.toThrow();
});
