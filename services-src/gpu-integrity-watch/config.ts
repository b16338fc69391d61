import { type Environment, readEnvironment } from "@secai/kit/config";
import { type Credential, readBounded, readCredential } from "@secai/kit/files";
import { type Address, parseAddress } from "@secai/kit/listen";
import { type LoadedProfile, MAX_PROFILE_BYTES, parseProfile } from "./profile.ts";

const STATE = "/var/lib/secure-ai/gpu-integrity-watch";

export interface Config {
  readonly address: Address;
  readonly tokens: { readonly watch: Credential; readonly "attest-state": Credential };
  readonly signingKey: Credential;
  readonly audit: { readonly path: string; readonly anchorPath: string; readonly key: Uint8Array };
  readonly recorder: { readonly address: Address; readonly token: Credential };
  readonly outbox: string;
  readonly baseline: { readonly path: string; readonly anchorPath: string };
  readonly profilePath: string;
  readonly machine: { readonly root: string; readonly nvidiaSmi: string };
}

/** @throws KitError CONFIG_MISSING, ADDRESS_NOT_LOCAL, CREDENTIAL_MISSING, CREDENTIAL_MALFORMED */
export async function loadConfig(environment: Environment): Promise<Config> {
  const env = readEnvironment(environment, {
    BIND_ADDR: "127.0.0.1:8495",
    INTEGRITY_PROFILE: "/etc/secure-ai/gpu-integrity/default-profile.yaml",
    SERVICE_TOKEN_PATH: undefined,
    ATTEST_STATE_TOKEN_PATH: undefined,
    SIGNING_KEY_PATH: undefined,
    AUDIT_HMAC_KEY_PATH: undefined,
    AUDIT_LOG_PATH: `${STATE}/gpu-integrity-watch-audit.jsonl`,
    AUDIT_ANCHOR_PATH: `${STATE}-anchor/gpu-integrity-watch-audit.head`,
    BASELINE_PATH: `${STATE}/baseline.json`,
    BASELINE_ANCHOR_PATH: `${STATE}-anchor/baseline.digest`,
    OUTBOX_DIR: `${STATE}/outbox`,
    INCIDENT_RECORDER_ADDR: "127.0.0.1:8515",
    INCIDENT_RECORDER_TOKEN_PATH: undefined,
    MACHINE_ROOT: "/",
    NVIDIA_SMI_PATH: "/usr/bin/nvidia-smi",
  });
  return Object.freeze({
    address: parseAddress(env.BIND_ADDR),
    tokens: {
      watch: await readCredential(env.SERVICE_TOKEN_PATH),
      "attest-state": await readCredential(env.ATTEST_STATE_TOKEN_PATH),
    },
    signingKey: await readCredential(env.SIGNING_KEY_PATH),
    audit: {
      path: env.AUDIT_LOG_PATH,
      anchorPath: env.AUDIT_ANCHOR_PATH,
      key: Buffer.from(await readCredential(env.AUDIT_HMAC_KEY_PATH), "hex"),
    },
    recorder: {
      address: parseAddress(env.INCIDENT_RECORDER_ADDR),
      token: await readCredential(env.INCIDENT_RECORDER_TOKEN_PATH),
    },
    outbox: env.OUTBOX_DIR,
    baseline: { path: env.BASELINE_PATH, anchorPath: env.BASELINE_ANCHOR_PATH },
    profilePath: env.INTEGRITY_PROFILE,
    machine: { root: env.MACHINE_ROOT, nvidiaSmi: env.NVIDIA_SMI_PATH },
  });
}

/** @throws KitError FILE_UNREADABLE, FILE_TOO_LARGE, CONFIG_SYNTAX, CONFIG_SCHEMA, ADDRESS_NOT_LOCAL */
export async function loadProfile(path: string): Promise<LoadedProfile> {
  return parseProfile(await readBounded(path, MAX_PROFILE_BYTES));
}
