import type { KeyObject } from "node:crypto";
import { type Environment, readEnvironment } from "@secai/kit/config";
import { type Credential, readBounded, readCredential } from "@secai/kit/files";
import { type Address, parseAddress } from "@secai/kit/listen";
import { createSigner, readPublicKey, type Signer } from "@secai/kit/signing";
import { MonitorError } from "./errors.ts";
import { type MonitorPolicy, parsePolicy } from "./policy.ts";

const MAX_POLICY_BYTES = 1 << 20;
const STATE = "/var/lib/secure-ai/integrity";

export interface Config {
  readonly address: Address;
  readonly tokens: { readonly monitor: Credential; readonly rebaseline: Credential };
  readonly recorder: { readonly address: Address; readonly token: Credential };
  readonly audit: { readonly path: string; readonly anchorPath: string; readonly key: Uint8Array };
  readonly signer: Signer;
  readonly publicKey: KeyObject;
  readonly policyPath: string;
  readonly baselinePath: string;
  readonly latchPath: string;
  readonly outboxPath: string;
  readonly rulesetPath: string | undefined;
  readonly events: boolean;
  readonly sweepSeconds: number | undefined;
  /** "" but in tests. */
  readonly prefix: string;
}

/** @throws KitError CONFIG_MISSING, ADDRESS_NOT_LOCAL, CREDENTIAL_*, PUBLIC_KEY_*; MonitorError MONITOR_POLICY */
export async function loadConfig(environment: Environment): Promise<Config> {
  const log = environment.AUDIT_LOG_PATH ?? "/var/lib/secure-ai/logs/integrity-monitor-audit.jsonl";
  const env = readEnvironment(environment, {
    BIND_ADDR: "127.0.0.1:8510",
    INCIDENT_RECORDER_ADDR: "127.0.0.1:8515",
    MONITOR_POLICY_PATH: "/etc/secure-ai/policy/integrity-monitor.yaml",
    BASELINE_PATH: `${STATE}/baseline.json`,
    LATCH_PATH: `${STATE}-latch/latch.json`,
    OUTBOX_DIR: `${STATE}/outbox`,
    SERVICE_TOKEN_PATH: undefined,
    REBASELINE_TOKEN_PATH: undefined,
    INCIDENT_RECORDER_TOKEN_PATH: undefined,
    SIGNING_KEY_PATH: undefined,
    SIGNING_PUBLIC_KEY_PATH: undefined,
    AUDIT_HMAC_KEY_PATH: undefined,
    AUDIT_LOG_PATH: log,
    AUDIT_ANCHOR_PATH: `${log}.head`,
    EXPECTED_RULESET_PATH: "none",
    EVENTS: "on",
    SWEEP_SECONDS: "policy",
    ROOT_PREFIX: "/",
  });
  return Object.freeze({
    address: parseAddress(env.BIND_ADDR),
    tokens: {
      monitor: await readCredential(env.SERVICE_TOKEN_PATH),
      rebaseline: await readCredential(env.REBASELINE_TOKEN_PATH),
    },
    recorder: {
      address: parseAddress(env.INCIDENT_RECORDER_ADDR),
      token: await readCredential(env.INCIDENT_RECORDER_TOKEN_PATH),
    },
    audit: {
      path: env.AUDIT_LOG_PATH,
      anchorPath: env.AUDIT_ANCHOR_PATH,
      key: Buffer.from(await readCredential(env.AUDIT_HMAC_KEY_PATH), "hex"),
    },
    signer: createSigner(await readCredential(env.SIGNING_KEY_PATH)),
    publicKey: await readPublicKey(env.SIGNING_PUBLIC_KEY_PATH),
    policyPath: env.MONITOR_POLICY_PATH,
    baselinePath: env.BASELINE_PATH,
    latchPath: env.LATCH_PATH,
    outboxPath: env.OUTBOX_DIR,
    rulesetPath: env.EXPECTED_RULESET_PATH === "none" ? undefined : env.EXPECTED_RULESET_PATH,
    events: oneOf("EVENTS", env.EVENTS, ["on", "off"]) === "on",
    sweepSeconds: env.SWEEP_SECONDS === "policy" ? undefined : seconds(env.SWEEP_SECONDS),
    prefix: prefixOf(env.ROOT_PREFIX),
  });
}

function oneOf(name: string, value: string, words: readonly string[]): string {
  if (words.includes(value)) return value;
  throw new MonitorError("MONITOR_POLICY", { expected: `${name} ${words.join(" or ")}`, actual: value });
}

function seconds(text: string): number {
  if (/^[1-9][0-9]{0,2}$/.test(text)) return Number(text);
  throw new MonitorError("MONITOR_POLICY", { expected: "SWEEP_SECONDS from 1 to 999", actual: text });
}

/** Absolute and without a slash at its end: what is put before absolute paths. */
function prefixOf(text: string): string {
  if (text === "/") return "";
  if (/^(\/[^/]+)+$/.test(text)) return text;
  throw new MonitorError("MONITOR_POLICY", { expected: "ROOT_PREFIX as an absolute path", actual: text });
}

/** @throws KitError FILE_UNREADABLE, FILE_TOO_LARGE, CONFIG_SYNTAX, CONFIG_SCHEMA; MonitorError MONITOR_POLICY */
export async function loadPolicy(path: string): Promise<MonitorPolicy> {
  return parsePolicy(await readBounded(path, MAX_POLICY_BYTES));
}
