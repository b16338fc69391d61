import { createHash } from "node:crypto";
import { parseYaml } from "@secai/kit/config";
import type { Sha256 } from "@secai/kit/digest";
import type { RateLimit } from "@secai/kit/rate-limit";
import { compileDestinations, type Destinations } from "./destinations.ts";
import { PolicyError } from "./errors.ts";
import { type PathScope, parseScope } from "./paths.ts";
import { type AgentFile, agentFile, type PolicyFile, policyFile, type SessionMode } from "./policy-schema.ts";

export interface ToolRule {
  readonly allow: PathScope;
  readonly deny: PathScope;
}

export interface ModeRule {
  readonly online: boolean;
  readonly readable: boolean;
  readonly denyActions: ReadonlySet<string>;
  readonly denyTools: ReadonlySet<string>;
}

/** Both files, compiled to what a decision looks up. */
export interface Policy {
  readonly digest: Sha256;
  /** False unless policy.yaml says "allow": an absent key is a closed door. */
  readonly egressOpen: boolean;
  readonly airlock: { readonly enabled: boolean; readonly destinations: Destinations };
  readonly toolsDenied: ReadonlySet<string>;
  readonly toolsAllowed: ReadonlyMap<string, ToolRule>;
  readonly toolRate: RateLimit;
  readonly formatsDenied: ReadonlySet<string>;
  readonly formatsAllowed: ReadonlySet<string>;
  readonly agent: AgentPolicy;
}

export interface AgentPolicy {
  readonly defaultMode: SessionMode;
  readonly modes: Readonly<Record<SessionMode, ModeRule>>;
  readonly alwaysDeny: ReadonlySet<string>;
  readonly hardApproval: ReadonlySet<string>;
  readonly allowedTools: ReadonlySet<string>;
  readonly readable: PathScope;
  readonly writable: PathScope;
}

/** The bytes of the two files. There need not be an agent.yaml: then agents may do nothing. */
export interface PolicySources {
  readonly policy: Uint8Array;
  readonly agent?: Uint8Array;
}

/** @throws KitError CONFIG_SYNTAX, CONFIG_SCHEMA; PolicyError POLICY_RULE */
export function parsePolicy(sources: PolicySources): Policy {
  const file = parseYaml("policy.yaml", sources.policy, policyFile);
  const agent = sources.agent === undefined ? emptyAgent : parseYaml("agent.yaml", sources.agent, agentFile);
  return { ...compileFile(file), agent: compileAgent(agent), digest: policyDigest(sources) };
}

/**
 * SHA-256 over "SecAI-Policy-Digest-v1" and NUL, then for each file that exists: u64be name length, name, u64be length, bytes. The
 * lengths keep bytes from moving between files unnoticed, and a missing file differs from an empty one.
 */
export function policyDigest({ policy, agent }: PolicySources): Sha256 {
  const hash = createHash("sha256").update("SecAI-Policy-Digest-v1\0");
  const files: readonly (readonly [string, Uint8Array | undefined])[] = [
    ["policy.yaml", policy],
    ["agent.yaml", agent],
  ];
  for (const [name, bytes] of files) {
    if (bytes === undefined) continue;
    hash.update(u64be(name.length)).update(name).update(u64be(bytes.length)).update(bytes);
  }
  return hash.digest("hex") as Sha256;
}

function u64be(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function compileFile({ defaults, tools, airlock, models }: PolicyFile): Omit<Policy, "agent" | "digest"> {
  return {
    egressOpen: defaults.network.runtime_egress === "allow",
    airlock: {
      enabled: airlock.enabled,
      destinations: compileDestinations(airlock.destination_allowlist, (pattern) =>
        refuse("a host name or http(s) URL", pattern),
      ),
    },
    toolsDenied: new Set(tools.deny.map(({ name }) => name)),
    toolsAllowed: compileTools(tools.allow),
    toolRate: { perMinute: tools.rate_limit.requests_per_minute, burst: tools.rate_limit.burst },
    formatsDenied: new Set(models.deny_formats),
    formatsAllowed: new Set(models.allowed_formats),
  };
}

function compileTools(rules: PolicyFile["tools"]["allow"]): ReadonlyMap<string, ToolRule> {
  const tools = new Map<string, ToolRule>();
  for (const { name, paths_allowlist = [], paths_denylist = [] } of rules) {
    if (tools.has(name)) refuse("each tool once", name);
    tools.set(name, { allow: compileScope(paths_allowlist), deny: compileScope(paths_denylist) });
  }
  return tools;
}

function compileAgent({ default_mode, modes, always_deny, hard_approval, allowed_tools, workspace }: AgentFile): AgentPolicy {
  return {
    defaultMode: default_mode,
    modes: {
      offline_only: compileMode(modes.offline_only),
      standard: compileMode(modes.standard),
      online_assisted: compileMode(modes.online_assisted),
      sensitive: compileMode(modes.sensitive),
    },
    alwaysDeny: new Set(always_deny),
    hardApproval: new Set(hard_approval),
    allowedTools: new Set(allowed_tools),
    readable: compileScope(workspace.readable),
    writable: compileScope(workspace.writable),
  };
}

function compileMode({ online, readable, deny_actions, deny_tools }: AgentFile["modes"][SessionMode]): ModeRule {
  return { online, readable, denyActions: new Set(deny_actions), denyTools: new Set(deny_tools) };
}

function compileScope(patterns: readonly string[]): PathScope {
  return new Set(
    patterns.map((pattern) => parseScope(pattern) ?? refuse('an absolute path below "/", with or without a last "/**"', pattern)),
  );
}

function refuse(expected: string, actual: string): never {
  throw new PolicyError("POLICY_RULE", { expected, actual: JSON.stringify(actual) });
}

const nothing = { online: false, readable: false, deny_actions: [], deny_tools: [] };
const emptyAgent: AgentFile = {
  version: 1,
  default_mode: "offline_only",
  modes: { offline_only: nothing, standard: nothing, online_assisted: nothing, sensitive: nothing },
  always_deny: [],
  hard_approval: [],
  allowed_tools: [],
  workspace: { readable: [], writable: [] },
};
