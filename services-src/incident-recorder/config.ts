import type { KeyObject } from "node:crypto";
import { VAULT_REQUESTS, VAULT_RESULTS } from "@secai/kit/api/containment";
import { type Reporter, reporters } from "@secai/kit/api/incidents";
import type { Peer } from "@secai/kit/client";
import { type Environment, readEnvironment } from "@secai/kit/config";
import { reporterScope } from "@secai/kit/credential-names";
import { KitError } from "@secai/kit/errors";
import { type Credential, readBounded, readCredential } from "@secai/kit/files";
import { type Address, parseAddress } from "@secai/kit/listen";
import { createSigner, readPublicKey, type Signer } from "@secai/kit/signing";
import { type ContainmentPolicy, parseContainment } from "./policy.ts";
import type { VaultDirectories } from "./vault.ts";

const MAX_POLICY_BYTES = 1 << 18;

export interface Config {
  readonly address: Address;
  /** By scope. */
  readonly tokens: Readonly<Record<string, Credential>>;
  readonly audit: { readonly path: string; readonly anchorPath: string; readonly key: Uint8Array };
  readonly store: { readonly directory: string; readonly anchorPath: string };
  readonly webhookDirectory: string;
  readonly policyPath: string;
  readonly signer: Signer;
  readonly attestor: { readonly peer: Peer; readonly publicKey: KeyObject };
  readonly targets: { readonly agent: Peer; readonly airlock: Peer; readonly registry: Peer; readonly vault: VaultDirectories };
}

const STATE = "/var/lib/secure-ai/incident-recorder";
const ANCHORS = "/var/lib/secure-ai/incident-recorder-anchor";

/** Each has its credential: without one the recorder does not start. */
const scopeNames: Readonly<Record<string, string>> = {
  read: "INCIDENT_READ_TOKEN_PATH",
  operator: "INCIDENT_OPERATOR_TOKEN_PATH",
  "recovery-admin": "INCIDENT_RECOVERY_ADMIN_TOKEN_PATH",
  forensic: "INCIDENT_FORENSIC_TOKEN_PATH",
  ...Object.fromEntries(
    (Object.keys(reporters) as Reporter[]).map((name) => [
      reporterScope(name),
      `INCIDENT_REPORTER_${name.toUpperCase().replaceAll("-", "_")}_TOKEN_PATH`,
    ]),
  ),
};

/** @throws KitError CONFIG_MISSING, ADDRESS_NOT_LOCAL, CREDENTIAL_MISSING, CREDENTIAL_MALFORMED, PUBLIC_KEY_MALFORMED */
export async function loadConfig(environment: Environment): Promise<Config> {
  const env = readEnvironment(environment, {
    BIND_ADDR: "127.0.0.1:8515",
    CONTAINMENT_POLICY_PATH: "/etc/secure-ai/policy/incident-containment.yaml",
    INCIDENT_STORE_DIR: `${STATE}/store`,
    INCIDENT_STORE_ANCHOR_PATH: `${ANCHORS}/store.head`,
    INCIDENT_WEBHOOK_DIR: `${STATE}/webhooks`,
    AUDIT_LOG_PATH: `${STATE}/incident-recorder-audit.jsonl`,
    AUDIT_ANCHOR_PATH: `${ANCHORS}/incident-recorder-audit.head`,
    AUDIT_HMAC_KEY_PATH: undefined,
    INCIDENT_SIGNING_KEY_PATH: undefined,
    RUNTIME_ATTESTOR_URL: "http://127.0.0.1:8505",
    RUNTIME_ATTESTOR_TOKEN_PATH: undefined,
    RUNTIME_ATTESTOR_PUBLIC_KEY_PATH: undefined,
    AGENT_SOCKET: "/run/secure-ai/agent/agent.sock",
    AGENT_CONTAINMENT_TOKEN_PATH: undefined,
    AIRLOCK_URL: "http://127.0.0.1:8490",
    AIRLOCK_CONTAINMENT_TOKEN_PATH: undefined,
    REGISTRY_URL: "http://127.0.0.1:8470",
    REGISTRY_CONTAINMENT_TOKEN_PATH: undefined,
    VAULT_RELOCK_REQUEST_DIR: VAULT_REQUESTS,
    VAULT_RELOCK_RESULT_DIR: VAULT_RESULTS,
  });
  const { AGENT_URL } = environment;
  const peer = async (name: string, address: Address, tokenPath: string): Promise<Peer> => ({
    name,
    address,
    token: await readCredential(tokenPath),
  });
  return Object.freeze({
    address: parseAddress(env.BIND_ADDR),
    tokens: await readTokens(environment),
    audit: {
      path: env.AUDIT_LOG_PATH,
      anchorPath: env.AUDIT_ANCHOR_PATH,
      key: Buffer.from(await readCredential(env.AUDIT_HMAC_KEY_PATH), "hex"),
    },
    store: { directory: env.INCIDENT_STORE_DIR, anchorPath: env.INCIDENT_STORE_ANCHOR_PATH },
    webhookDirectory: env.INCIDENT_WEBHOOK_DIR,
    policyPath: env.CONTAINMENT_POLICY_PATH,
    signer: createSigner(await readCredential(env.INCIDENT_SIGNING_KEY_PATH)),
    attestor: {
      peer: await peer("runtime-attestor", parseUrl(env.RUNTIME_ATTESTOR_URL), env.RUNTIME_ATTESTOR_TOKEN_PATH),
      publicKey: await readPublicKey(env.RUNTIME_ATTESTOR_PUBLIC_KEY_PATH),
    },
    targets: {
      agent: await peer(
        "agent",
        AGENT_URL === undefined ? parseAddress(`unix:${env.AGENT_SOCKET}`) : parseUrl(AGENT_URL),
        env.AGENT_CONTAINMENT_TOKEN_PATH,
      ),
      airlock: await peer("airlock", parseUrl(env.AIRLOCK_URL), env.AIRLOCK_CONTAINMENT_TOKEN_PATH),
      registry: await peer("registry", parseUrl(env.REGISTRY_URL), env.REGISTRY_CONTAINMENT_TOKEN_PATH),
      vault: { requests: env.VAULT_RELOCK_REQUEST_DIR, results: env.VAULT_RELOCK_RESULT_DIR },
    },
  });
}

async function readTokens(environment: Environment): Promise<Readonly<Record<string, Credential>>> {
  const paths = readEnvironment(environment, Object.fromEntries(Object.values(scopeNames).map((name) => [name, undefined])));
  const tokens = Object.entries(scopeNames).map(
    async ([scope, name]) => [scope, await readCredential(paths[name] ?? "")] as const,
  );
  return Object.fromEntries(await Promise.all(tokens));
}

/** "http://127.0.0.1:8490": loopback in numbers and a port, nothing after it. @throws KitError ADDRESS_NOT_LOCAL */
function parseUrl(text: string): Address {
  const [, where] = /^http:\/\/([^/]+)$/.exec(text) ?? [];
  if (where === undefined) throw new KitError("ADDRESS_NOT_LOCAL", { expected: "http://127.0.0.1:PORT", actual: text });
  return parseAddress(where);
}

/** There is no default for a file that is missing: what is done about incidents must be known. */
export async function loadPolicy(path: string): Promise<ContainmentPolicy> {
  return parseContainment(await readBounded(path, MAX_POLICY_BYTES));
}
