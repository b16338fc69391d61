import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";

// Both files are closed: an unknown key is an error, because a rule that nobody reads is a rule that does not hold.
const closed = { additionalProperties: false } as const;

const Name = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" });
const Names = Type.Array(Name, { maxItems: 1024, uniqueItems: true });
const Patterns = Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), { maxItems: 2048, uniqueItems: true });
const Formats = Type.String({ pattern: "^[a-z0-9]{1,32}$" });

const ToolRule = Type.Object(
  { name: Name, paths_allowlist: Type.Optional(Patterns), paths_denylist: Type.Optional(Patterns) },
  closed,
);

export const PolicyFile = Type.Object(
  {
    version: Type.Literal(1),
    defaults: Type.Object(
      {
        network: Type.Object(
          { runtime_egress: Type.Optional(Type.Union([Type.Literal("deny"), Type.Literal("allow")])) },
          closed,
        ),
      },
      closed,
    ),
    tools: Type.Object(
      {
        default: Type.Literal("deny"),
        rate_limit: Type.Object(
          {
            requests_per_minute: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
            burst: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
          },
          closed,
        ),
        allow: Type.Array(ToolRule, { maxItems: 1024 }),
        deny: Type.Array(Type.Object({ name: Name }, closed), { maxItems: 1024 }),
      },
      closed,
    ),
    airlock: Type.Object({ enabled: Type.Boolean(), destination_allowlist: Patterns }, closed),
    models: Type.Object(
      {
        // An empty list would have to mean "none" or "any"; nobody shall guess.
        allowed_formats: Type.Array(Formats, { minItems: 1, maxItems: 64, uniqueItems: true }),
        deny_formats: Type.Array(Formats, { maxItems: 64, uniqueItems: true }),
        require_scan: Type.Literal(true),
        require_yara: Type.Literal(true),
        require_modelaudit: Type.Literal(true),
        require_behavior_tests: Type.Literal(true),
      },
      closed,
    ),
    quarantine: Type.Object({ allow_diffusion_directories: Type.Boolean() }, closed),
  },
  closed,
);
export type PolicyFile = Static<typeof PolicyFile>;

export const sessionModes = ["offline_only", "standard", "online_assisted", "sensitive"] as const;
export type SessionMode = (typeof sessionModes)[number];
export const SessionMode = Type.Union(sessionModes.map((mode) => Type.Literal(mode)));

/** What a session mode takes away from the rules; it never adds anything. */
const ModeRule = Type.Object(
  { online: Type.Boolean(), readable: Type.Boolean(), deny_actions: Names, deny_tools: Names },
  closed,
);

export const AgentFile = Type.Object(
  {
    version: Type.Literal(1),
    /** The mode of a request that names none. */
    default_mode: SessionMode,
    modes: Type.Object({ offline_only: ModeRule, standard: ModeRule, online_assisted: ModeRule, sensitive: ModeRule }, closed),
    always_deny: Names,
    hard_approval: Names,
    allowed_tools: Names,
    workspace: Type.Object({ readable: Patterns, writable: Patterns }, closed),
  },
  closed,
);
export type AgentFile = Static<typeof AgentFile>;

export const policyFile = shape("policy.yaml", PolicyFile);
export const agentFile = shape("agent.yaml", AgentFile);
