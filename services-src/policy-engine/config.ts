import { type Environment, readEnvironment } from "@secai/kit/config";
import { type Credential, exists, readBounded, readCredential } from "@secai/kit/files";
import { type Address, parseAddress } from "@secai/kit/listen";
import { type Policy, parsePolicy } from "./policy.ts";

const MAX_POLICY_BYTES = 1 << 20;

export interface Config {
  readonly address: Address;
  readonly token: Credential;
  readonly audit: { readonly path: string; readonly anchorPath: string; readonly key: Uint8Array };
  readonly policyPaths: PolicyPaths;
}

export interface PolicyPaths {
  readonly policy: string;
  readonly agent: string;
}

const LOG = "/var/lib/secure-ai/logs/policy-engine-audit.jsonl";

/** @throws KitError CONFIG_MISSING, ADDRESS_NOT_LOCAL, CREDENTIAL_MISSING, CREDENTIAL_MALFORMED */
export async function loadConfig(environment: Environment): Promise<Config> {
  const env = readEnvironment(environment, {
    BIND_ADDR: "127.0.0.1:8500",
    POLICY_PATH: "/etc/secure-ai/policy/policy.yaml",
    AGENT_POLICY_PATH: "/etc/secure-ai/policy/agent.yaml",
    SERVICE_TOKEN_PATH: "/run/secure-ai/service-token",
    AUDIT_HMAC_KEY_PATH: undefined,
    AUDIT_LOG_PATH: LOG,
    AUDIT_ANCHOR_PATH: `${environment.AUDIT_LOG_PATH ?? LOG}.head`,
  });
  return Object.freeze({
    address: parseAddress(env.BIND_ADDR),
    token: await readCredential(env.SERVICE_TOKEN_PATH),
    audit: {
      path: env.AUDIT_LOG_PATH,
      anchorPath: env.AUDIT_ANCHOR_PATH,
      key: Buffer.from(await readCredential(env.AUDIT_HMAC_KEY_PATH), "hex"),
    },
    policyPaths: { policy: env.POLICY_PATH, agent: env.AGENT_POLICY_PATH },
  });
}

/** Reads and compiles both files; a missing agent.yaml leaves agents without any right. */
export async function loadPolicy({ policy, agent }: PolicyPaths): Promise<Policy> {
  const bytes = await readBounded(policy, MAX_POLICY_BYTES);
  if (!(await exists(agent))) return parsePolicy({ policy: bytes });
  return parsePolicy({ policy: bytes, agent: await readBounded(agent, MAX_POLICY_BYTES) });
}
