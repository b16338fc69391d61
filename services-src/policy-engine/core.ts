import { isListed, parseDestination } from "./destinations.ts";
import { cleanPath, isInScope, type PathScope } from "./paths.ts";
import type { ModeRule, Policy, ToolRule } from "./policy.ts";
import type { SessionMode } from "./policy-schema.ts";

export interface DecisionRequest {
  readonly domain: string;
  readonly subject: string;
  readonly action?: string;
  readonly session_mode?: SessionMode;
  readonly params?: Readonly<Record<string, string>>;
}

export interface Decision {
  readonly decision: "allow" | "deny" | "ask";
  readonly reason: string;
  /** Which rule decided, by its place in the policy files. */
  readonly ruleId: string;
}

type Rule = (request: DecisionRequest, policy: Policy) => Decision;

const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["tool_access", toolAccess],
  ["path_access", pathAccess],
  ["egress", egress],
  ["agent_risk", agentRisk],
  ["sensitivity", sensitivity],
  ["model_promotion", modelPromotion],
]);

/** Whether `request` may happen. Pure and total: no clock, no I/O, an answer for every request, and "deny" where no rule speaks. */
export function decide(request: DecisionRequest, policy: Policy): Decision {
  const rule = rules.get(request.domain);
  if (rule === undefined) return deny("unknown_domain", "no such domain");
  const decision = rule(request, policy);
  return decision.decision === "deny" ? decision : (narrow(request, policy) ?? decision);
}

const allow = (ruleId: string, reason: string): Decision => ({ decision: "allow", reason, ruleId });
const deny = (ruleId: string, reason: string): Decision => ({ decision: "deny", reason, ruleId });
const ask = (ruleId: string, reason: string): Decision => ({ decision: "ask", reason, ruleId });

/** What the session's mode takes away from a decision that was not "deny" already. */
function narrow({ domain, subject, action, session_mode }: DecisionRequest, { agent }: Policy): Decision | undefined {
  const mode = session_mode ?? agent.defaultMode;
  const { online, readable, denyActions, denyTools }: ModeRule = agent.modes[mode];
  const refuse = (rule: string): Decision => deny(`session_mode.${mode}.${rule}`, "not in this session mode");
  if (domain === "egress" && !online) return refuse("online");
  if (domain === "path_access" && action === "read" && !readable) return refuse("readable");
  if (domain === "agent_risk" && denyActions.has(subject)) return refuse(`deny_actions.${subject}`);
  if ((domain === "agent_risk" || domain === "tool_access") && denyTools.has(subject)) return refuse(`deny_tools.${subject}`);
  return undefined;
}

function toolAccess({ subject, params }: DecisionRequest, { toolsDenied, toolsAllowed }: Policy): Decision {
  if (toolsDenied.has(subject)) return deny(`tools.deny.${subject}`, "tool is denied");
  const tool = toolsAllowed.get(subject);
  if (tool === undefined) return deny("tools.default_deny", "tool is not listed");
  return toolPath(`tools.allow.${subject}`, tool, params?.path) ?? allow(`tools.allow.${subject}`, "tool is listed");
}

/** Why a path-scoped tool may not touch `text`. Leaving the path out would leave its rules out, so that is a refusal too. */
function toolPath(ruleId: string, tool: ToolRule, text: string | undefined): Decision | undefined {
  const scoped = tool.allow.size > 0 || tool.deny.size > 0;
  if (!scoped) return undefined;
  const path = text === undefined ? undefined : cleanPath(text);
  if (path === undefined) {
    const list = tool.allow.size > 0 ? "paths_allowlist" : "paths_denylist";
    return deny(`${ruleId}.${list}`, text === undefined ? "the tool needs params.path" : "not a plain absolute path");
  }
  if (isInScope(tool.deny, path)) return deny(`${ruleId}.paths_denylist`, "path is denied");
  if (tool.allow.size > 0 && !isInScope(tool.allow, path)) return deny(`${ruleId}.paths_allowlist`, "path is not listed");
  return undefined;
}

function pathAccess({ subject, action }: DecisionRequest, { agent }: Policy): Decision {
  if (action === "write") return scopeAccess("agent.workspace.writable", agent.writable, subject);
  if (action === "read") return scopeAccess("agent.workspace.readable", agent.readable, subject);
  return deny("agent.workspace.readable_miss", 'action is neither "read" nor "write"');
}

function scopeAccess(ruleId: string, scope: PathScope, subject: string): Decision {
  const path = cleanPath(subject);
  if (path === undefined) return deny(`${ruleId}_miss`, "not a plain absolute path");
  return isInScope(scope, path)
    ? allow(ruleId, "path is in the workspace")
    : deny(`${ruleId}_miss`, "path is outside the workspace");
}

function egress({ subject }: DecisionRequest, { egressOpen, airlock }: Policy): Decision {
  const url = parseDestination(subject);
  if (url === undefined) return deny("airlock.destination_miss", "not a plain http(s) URL");
  if (egressOpen) return allow("defaults.network.egress_open", "egress is open");
  if (!airlock.enabled) return deny("defaults.network.egress_deny", "egress is closed and the airlock is off");
  return isListed(airlock.destinations, url)
    ? allow("airlock.destination_allowlist", "destination is listed")
    : deny("airlock.destination_miss", "destination is not listed");
}

function agentRisk({ subject }: DecisionRequest, { agent }: Policy): Decision {
  if (agent.alwaysDeny.has(subject)) return deny(`agent.always_deny.${subject}`, "action is never allowed");
  if (agent.hardApproval.has(subject)) return ask(`agent.hard_approval.${subject}`, "action needs a person's approval");
  if (agent.allowedTools.has(subject)) return allow(`agent.allowed_tools.${subject}`, "tool is listed");
  return deny("agent.default_deny", "action is not listed");
}

const levels: ReadonlyMap<string, number> = new Map([
  ["low", 0],
  ["medium", 1],
  ["high", 2],
]);

function sensitivity({ subject, params }: DecisionRequest): Decision {
  const level = levels.get(subject);
  const ceiling = levels.get(params?.ceiling ?? "");
  if (level === undefined || ceiling === undefined)
    return deny("sensitivity.invalid", "level and params.ceiling must be low, medium or high");
  return level > ceiling
    ? deny("sensitivity.exceeded", "level is above the ceiling")
    : allow("sensitivity.ok", "level is within the ceiling");
}

function modelPromotion({ params }: DecisionRequest, { formatsDenied, formatsAllowed }: Policy): Decision {
  const format = (params?.format ?? "").toLowerCase();
  if (formatsDenied.has(format)) return deny(`models.deny_formats.${format}`, "format is denied");
  if (formatsAllowed.has(format)) return allow(`models.allowed_formats.${format}`, "format is listed");
  return deny("models.allowed_formats_miss", "format is not listed");
}
