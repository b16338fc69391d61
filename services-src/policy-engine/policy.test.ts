import { readFile } from "node:fs/promises";
import { KitError } from "@secai/kit/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "./core.ts";
import { PolicyError } from "./errors.ts";
import { parsePolicy, policyDigest } from "./policy.ts";

const shipped = async (name: string): Promise<Buffer> =>
  readFile(new URL(`../../image/common/etc/secure-ai/policy/${name}`, import.meta.url));
const [policy, agent] = [await shipped("policy.yaml"), await shipped("agent.yaml")];
const docs = "/var/lib/secure-ai/vault/user_docs";

test("the shipped files are what this parser accepts, and mean what they should", () => {
  const parsed = parsePolicy({ policy, agent });
  const answer = (request: Parameters<typeof decide>[0]): string => {
    const { decision, ruleId } = decide(request, parsed);
    return `${decision} ${ruleId}`;
  };
  expect(answer({ domain: "tool_access", subject: "shell.exec" })).toBe("deny tools.deny.shell.exec");
  expect(answer({ domain: "tool_access", subject: "filesystem.read", params: { path: `${docs}/a.txt` } })).toBe(
    "allow tools.allow.filesystem.read",
  );
  expect(answer({ domain: "path_access", subject: `${docs}/a.txt`, action: "read" })).toBe("allow agent.workspace.readable");
  expect(answer({ domain: "path_access", subject: `${docs}/a.txt`, action: "write" })).toBe("deny agent.workspace.writable_miss");
  expect(answer({ domain: "egress", subject: "https://example.org/" })).toBe("deny defaults.network.egress_deny");
  expect(answer({ domain: "agent_risk", subject: "change_security" })).toBe("deny agent.always_deny.change_security");
  for (const action of ["outbound_request", "export_data", "trust_change", "batch_delete", "widen_scope", "enable_tool"]) {
    expect(answer({ domain: "agent_risk", subject: action })).toBe(`ask agent.hard_approval.${action}`);
  }
  expect(answer({ domain: "model_promotion", subject: "m", params: { format: "safetensors" } })).toBe(
    "allow models.allowed_formats.safetensors",
  );
  expect(parsed.toolRate).toEqual({ perMinute: 120, burst: 20 });
});

const replace = (from: string | RegExp, to: string): Buffer => Buffer.from(policy.toString().replace(from, to));
const refused: readonly { name: string; code: string; policy?: Buffer; agent?: Buffer }[] = [
  { name: "an unknown key", code: "CONFIG_SCHEMA", policy: replace("version: 1", "version: 1\nextra: 1") },
  { name: "an unknown key deep inside", code: "CONFIG_SCHEMA", policy: replace("destination_allowlist", "allowed_destinations") },
  { name: "another version", code: "CONFIG_SCHEMA", policy: replace("version: 1", "version: 2") },
  { name: "a version of another type", code: "CONFIG_SCHEMA", policy: replace("version: 1", 'version: "1"') },
  { name: "an open default", code: "CONFIG_SCHEMA", policy: replace("default: deny", "default: allow") },
  { name: "a gate switched off", code: "CONFIG_SCHEMA", policy: replace("require_yara: true", "require_yara: false") },
  { name: "no allowed format", code: "CONFIG_SCHEMA", policy: replace("[gguf, safetensors]", "[]") },
  { name: "a missing section", code: "CONFIG_SCHEMA", policy: replace(/airlock:[\s\S]*?\n\n/, "") },
  { name: "an agent wrapper", code: "CONFIG_SCHEMA", agent: Buffer.from(`agent:\n${agent.toString().replaceAll(/^/gm, "  ")}`) },
  {
    name: "an unknown session mode",
    code: "CONFIG_SCHEMA",
    agent: Buffer.from(agent.toString().replace("default_mode: standard", "default_mode: free")),
  },
  { name: "an empty file", code: "CONFIG_SCHEMA", policy: Buffer.alloc(0) },
  { name: "a duplicate key", code: "CONFIG_SYNTAX", policy: replace("version: 1", "version: 1\nversion: 1") },
  { name: "an anchor", code: "CONFIG_SYNTAX", policy: replace("version: 1", "version: &a 1") },
  { name: "a merge key", code: "CONFIG_SCHEMA", policy: replace("version: 1", "version: 1\n<<: {}") },
  { name: "a tag", code: "CONFIG_SYNTAX", policy: replace("version: 1", "version: !!int 1") },
  { name: "two documents", code: "CONFIG_SYNTAX", policy: Buffer.concat([policy, Buffer.from("---\nversion: 1\n")]) },
  { name: "bytes that are no UTF-8", code: "CONFIG_SYNTAX", policy: Buffer.from([0xff, 0xfe]) },
  { name: "a scope with .. in it", code: "POLICY_RULE", policy: replace("user_docs/**", "../etc/**") },
  { name: "the root as a scope", code: "POLICY_RULE", policy: replace("/var/lib/secure-ai/vault/user_docs/**", "/**") },
  { name: "a glob inside a scope", code: "POLICY_RULE", policy: replace("vault/user_docs/**", "*/user_docs") },
  { name: "a relative scope", code: "POLICY_RULE", policy: replace("- /etc/shadow", "- etc/shadow") },
  {
    name: "a destination that is no host",
    code: "POLICY_RULE",
    policy: replace("destination_allowlist: []", 'destination_allowlist: ["*.example.org"]'),
  },
  {
    name: "a destination with credentials",
    code: "POLICY_RULE",
    policy: replace("destination_allowlist: []", "destination_allowlist: [https://a@b.test/]"),
  },
  { name: "a tool twice", code: "POLICY_RULE", policy: replace("name: filesystem.list", "name: filesystem.read") },
];

describe("parsePolicy refuses", () => {
  for (const { name, code, ...files } of refused) {
    test(name, () => expect(() => parsePolicy({ policy, agent, ...files })).toThrow(expect.objectContaining({ code })));
  }

  test("by naming every place in the file", () => {
    const wrong = replace("version: 1", "version: 7").toString().replace("burst: 20", "burst: 0");
    expect(() => parsePolicy({ policy: Buffer.from(wrong), agent })).toThrow(
      /policy\.yaml:2:10 \/version.*policy\.yaml:\d+:\d+ \/tools\/rate_limit\/burst/,
    );
  });

  test("anything else by name, never with another error", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.json()), (text) => {
        try {
          parsePolicy({ policy: Buffer.from(text), agent });
        } catch (error) {
          expect(error instanceof KitError || error instanceof PolicyError).toBe(true);
        }
      }),
    );
  });
});

describe("policyDigest", () => {
  test("tells apart files whose concatenation is the same", () => {
    const text = Buffer.from("abcdef");
    const digests = [0, 3, 6].map((cut) => policyDigest({ policy: text.subarray(0, cut), agent: text.subarray(cut) }));
    expect(new Set([...digests, policyDigest({ policy: text })]).size).toBe(4);
  });

  test("has the documented form", () => {
    // printf 'SecAI-Policy-Digest-v1\0\0\0\0\0\0\0\0\013policy.yaml\0\0\0\0\0\0\0\001a' | sha256sum
    expect(policyDigest({ policy: Buffer.from("a") })).toBe("f67378d16a0b8af7227eb715df7686ff8656e5fbe94b321989e9004f11587bc0");
  });
});
