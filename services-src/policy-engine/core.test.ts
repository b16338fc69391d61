import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DecisionRequest, decide } from "./core.ts";
import { type Policy, parsePolicy } from "./policy.ts";
import type { AgentFile, PolicyFile } from "./policy-schema.ts";

const mode = { online: true, readable: true, deny_actions: [], deny_tools: [] };
const file: PolicyFile = {
  version: 1,
  defaults: { network: { runtime_egress: "deny" } },
  tools: {
    default: "deny",
    rate_limit: { requests_per_minute: 120, burst: 20 },
    allow: [
      { name: "read", paths_allowlist: ["/data/**"], paths_denylist: ["/data/secret"] },
      { name: "scan", paths_denylist: ["/etc/**"] },
      { name: "clock" },
      { name: "both" },
    ],
    deny: [{ name: "shell" }, { name: "both" }],
  },
  airlock: { enabled: true, destination_allowlist: ["example.org", "https://api.test/v1/", "https://port.test:8443"] },
  models: {
    allowed_formats: ["gguf", "bin"],
    deny_formats: ["pickle", "bin"],
    require_scan: true,
    require_yara: true,
    require_modelaudit: true,
    require_behavior_tests: true,
  },
  quarantine: { allow_diffusion_directories: true },
};
const agent: AgentFile = {
  version: 1,
  default_mode: "online_assisted",
  modes: {
    online_assisted: mode,
    standard: { ...mode, online: false },
    offline_only: { ...mode, online: false, deny_actions: ["export"] },
    sensitive: { online: false, readable: false, deny_actions: ["export"], deny_tools: ["clock", "write"] },
  },
  always_deny: ["reformat"],
  hard_approval: ["export", "reformat"],
  allowed_tools: ["write", "export"],
  workspace: { readable: ["/data/docs/**"], writable: ["/data/out"] },
};

// JSON is YAML, so the real parser makes the policies of these tests.
const compile = (policy: PolicyFile, agentFile: AgentFile | undefined = agent): Policy =>
  parsePolicy({ policy: Buffer.from(JSON.stringify(policy)), agent: Buffer.from(JSON.stringify(agentFile)) });
const policy = compile(file);
const closedAirlock = compile({ ...file, airlock: { ...file.airlock, enabled: false } });
const openEgress = compile({ ...file, defaults: { network: { runtime_egress: "allow" } } });
const noEgressKey = compile({ ...file, defaults: { network: {} }, airlock: { ...file.airlock, enabled: false } });
const noAgent = parsePolicy({ policy: Buffer.from(JSON.stringify(file)) });

type Row = readonly [expected: string, request: DecisionRequest, policy?: Policy];
const tool = (subject: string, path?: string): DecisionRequest => ({
  domain: "tool_access",
  subject,
  ...(path === undefined ? {} : { params: { path } }),
});
const path = (subject: string, action?: string): DecisionRequest => ({
  domain: "path_access",
  subject,
  ...(action === undefined ? {} : { action }),
});
const egress = (subject: string): DecisionRequest => ({ domain: "egress", subject });
const risk = (subject: string): DecisionRequest => ({ domain: "agent_risk", subject });
const level = (subject: string, ceiling: string): DecisionRequest => ({ domain: "sensitivity", subject, params: { ceiling } });
const format = (name: string): DecisionRequest => ({ domain: "model_promotion", subject: "model", params: { format: name } });

const rows: readonly Row[] = [
  ["deny tools.deny.shell", tool("shell")],
  ["deny tools.deny.both", tool("both")],
  ["deny tools.default_deny", tool("nothing")],
  ["deny tools.default_deny", tool("clock; rm -rf /")],
  ["deny tools.default_deny", tool("__proto__")],
  ["deny tools.allow.read.paths_allowlist", tool("read")],
  ["deny tools.allow.read.paths_allowlist", tool("read", "/other")],
  ["deny tools.allow.read.paths_allowlist", tool("read", "/database")],
  ["deny tools.allow.read.paths_allowlist", tool("read", "/data/../etc/shadow")],
  ["deny tools.allow.read.paths_allowlist", tool("read", "/data/%2e%2e/x")],
  ["deny tools.allow.read.paths_allowlist", tool("read", "/data/\0")],
  ["deny tools.allow.read.paths_allowlist", tool("read", "data/x")],
  ["deny tools.allow.read.paths_allowlist", tool("read", "\\data\\x")],
  ["deny tools.allow.read.paths_denylist", tool("read", "/data/secret/x")],
  ["deny tools.allow.read.paths_denylist", tool("read", "/data/.//secret")],
  ["deny tools.allow.scan.paths_denylist", tool("scan")],
  ["deny tools.allow.scan.paths_denylist", tool("scan", "/etc")],
  ["allow tools.allow.scan", tool("scan", "/srv")],
  ["allow tools.allow.read", tool("read", "/data")],
  ["allow tools.allow.read", tool("read", "/data//./a b")],
  ["allow tools.allow.clock", tool("clock")],

  ["deny agent.workspace.readable_miss", path("/data/docs/a")],
  ["deny agent.workspace.readable_miss", path("/data/docs/a", "append")],
  ["deny agent.workspace.readable_miss", path("/data/docs/a", "Write")],
  ["deny agent.workspace.readable_miss", path("/data/out/a", "read")],
  ["deny agent.workspace.readable_miss", path("/data/docs/../out", "read")],
  ["deny agent.workspace.writable_miss", path("/data/docs/a", "write")],
  ["deny agent.workspace.writable_miss", path("/data/outside", "write")],
  ["deny agent.workspace.writable_miss", path("/data/out/a", "write"), noAgent],
  ["allow agent.workspace.readable", path("/data/docs/a", "read")],
  ["allow agent.workspace.writable", path("/data/out/a", "write")],

  ["deny airlock.destination_miss", egress("https://example.org.evil.test/")],
  ["deny airlock.destination_miss", egress("https://evil.test/example.org")],
  ["deny airlock.destination_miss", egress("https://example.org@evil.test/")],
  ["deny airlock.destination_miss", egress("https://user@example.org/")],
  ["deny airlock.destination_miss", egress("https://example.org./")],
  ["deny airlock.destination_miss", egress("https:\\\\example.org")],
  ["deny airlock.destination_miss", egress("https://exa\tmple.org/")],
  ["deny airlock.destination_miss", egress("ftp://example.org/")],
  ["deny airlock.destination_miss", egress("example.org")],
  ["deny airlock.destination_miss", egress("http://api.test/v1/x")],
  ["deny airlock.destination_miss", egress("https://api.test:444/v1/x")],
  ["deny airlock.destination_miss", egress("https://api.test/v10")],
  ["deny airlock.destination_miss", egress("https://api.test/v1/../v2")],
  ["deny airlock.destination_miss", egress("https://api.test/v1/%2e%2e/v2")],
  ["deny airlock.destination_miss", egress("https://port.test/")],
  ["deny defaults.network.egress_deny", egress("https://example.org/"), closedAirlock],
  ["deny defaults.network.egress_deny", egress("https://example.org/"), noEgressKey],
  ["allow airlock.destination_allowlist", egress("http://EXAMPLE.org:8080/x?y")],
  ["allow airlock.destination_allowlist", egress("https://api.test/v1")],
  ["allow airlock.destination_allowlist", egress("https://api.test:443/v1/models")],
  ["allow airlock.destination_allowlist", egress("https://port.test:8443/any")],
  ["allow defaults.network.egress_open", egress("https://anywhere.test/"), openEgress],

  ["deny agent.always_deny.reformat", risk("reformat")],
  ["deny agent.default_deny", risk("fly")],
  ["deny agent.default_deny", risk("write"), noAgent],
  ["deny agent.default_deny", { ...risk("fly"), params: { approved: "true" } }],
  ["ask agent.hard_approval.export", risk("export")],
  ["ask agent.hard_approval.export", { ...risk("export"), params: { approved: "true" } }],
  ["allow agent.allowed_tools.write", risk("write")],

  ["deny sensitivity.invalid", { domain: "sensitivity", subject: "low" }],
  ["deny sensitivity.invalid", level("LOW", "high")],
  ["deny sensitivity.invalid", level("low", "top")],
  ["deny sensitivity.exceeded", level("high", "medium")],
  ["allow sensitivity.ok", level("medium", "medium")],

  ["deny models.deny_formats.pickle", format("PICKLE")],
  ["deny models.deny_formats.bin", format("bin")],
  ["deny models.allowed_formats_miss", format("")],
  ["deny models.allowed_formats_miss", format("gguf ")],
  ["deny models.allowed_formats_miss", { domain: "model_promotion", subject: "model.gguf" }],
  ["allow models.allowed_formats.gguf", format("GGUF")],

  ["deny unknown_domain", { domain: "Egress", subject: "https://example.org/" }],
  ["deny unknown_domain", { domain: "constructor", subject: "x" }],

  ["deny session_mode.standard.online", { ...egress("https://example.org/"), session_mode: "standard" }],
  ["deny session_mode.offline_only.deny_actions.export", { ...risk("export"), session_mode: "offline_only" }],
  ["deny session_mode.sensitive.readable", { ...path("/data/docs/a", "read"), session_mode: "sensitive" }],
  ["deny session_mode.sensitive.deny_tools.clock", { ...tool("clock"), session_mode: "sensitive" }],
  ["deny session_mode.sensitive.deny_tools.write", { ...risk("write"), session_mode: "sensitive" }],
  ["allow agent.workspace.writable", { ...path("/data/out/a", "write"), session_mode: "sensitive" }],
  ["deny tools.deny.shell", { ...tool("shell"), session_mode: "sensitive" }],
];

describe("decide", () => {
  for (const [expected, request, under] of rows) {
    test(`${expected} for ${JSON.stringify(request).slice(0, 120)}`, () => {
      const { decision, ruleId } = decide(request, under ?? policy);
      expect(`${decision} ${ruleId}`).toBe(expected);
    });
  }
});

const words = [
  "read",
  "scan",
  "clock",
  "shell",
  "write",
  "export",
  "reformat",
  "low",
  "high",
  "gguf",
  "bin",
  "/data/docs/a",
  "/data/out",
  "/etc/x",
  "https://example.org/",
  "https://api.test/v1/x",
];
const requests: fc.Arbitrary<DecisionRequest> = fc
  .record(
    {
      domain: fc.constantFrom("tool_access", "path_access", "egress", "agent_risk", "sensitivity", "model_promotion", "else"),
      subject: fc.oneof(fc.constantFrom(...words), fc.string({ unit: "binary", minLength: 1 })),
      action: fc.constantFrom("read", "write", "x"),
      session_mode: fc.constantFrom("offline_only", "standard", "online_assisted", "sensitive"),
      params: fc.dictionary(fc.constantFrom("path", "ceiling", "format"), fc.oneof(fc.constantFrom(...words), fc.string())),
    },
    { requiredKeys: ["domain", "subject"] },
  )
  .map((request) => request as DecisionRequest);

/** Every way to take one permission out of the two files. */
const narrowed: readonly { readonly name: string; readonly policy: Policy }[] = [
  ...file.tools.allow.map(({ name }, index) => ({
    name: `tool ${name}`,
    policy: compile({ ...file, tools: { ...file.tools, allow: file.tools.allow.toSpliced(index, 1) } }),
  })),
  ...file.airlock.destination_allowlist.map((name, index) => ({
    name: `destination ${name}`,
    policy: compile({
      ...file,
      airlock: { ...file.airlock, destination_allowlist: file.airlock.destination_allowlist.toSpliced(index, 1) },
    }),
  })),
  ...file.models.allowed_formats.map((name, index) => ({
    name: `format ${name}`,
    policy: compile({ ...file, models: { ...file.models, allowed_formats: file.models.allowed_formats.toSpliced(index, 1) } }),
  })),
  ...agent.allowed_tools.map((name, index) => ({
    name: `agent ${name}`,
    policy: compile(file, { ...agent, allowed_tools: agent.allowed_tools.toSpliced(index, 1) }),
  })),
  { name: "the workspace", policy: compile(file, { ...agent, workspace: { readable: [], writable: [] } }) },
  { name: "the airlock", policy: closedAirlock },
  { name: "every mode", policy: compile(file, { ...agent, default_mode: "sensitive" }) },
];

describe("properties", () => {
  test("every request gets an answer with a rule", () => {
    fc.assert(fc.property(requests, (request) => decide(request, policy).ruleId.length > 0));
  });

  for (const { name, policy: less } of narrowed) {
    test(`without ${name}, nothing is allowed that was denied before`, () => {
      fc.assert(
        fc.property(
          requests,
          (request) => decide(request, less).decision === "deny" || decide(request, policy).decision !== "deny",
        ),
        { numRuns: 200 },
      );
    });
  }

  test("what is allowed under a path rule stays allowed only inside it, however the path is dressed", () => {
    const dressed = fc.array(fc.constantFrom("..", ".", "", "docs", "a", "%2e%2e", "\0", "\\"), { maxLength: 8 });
    fc.assert(
      fc.property(dressed, (parts) => {
        const request = path(`/data/docs/${parts.join("/")}`, "read");
        const escapes = parts.some((part) => ["..", "%2e%2e", "\0", "\\"].includes(part));
        return (decide(request, policy).decision === "deny") === escapes;
      }),
    );
  });
});
