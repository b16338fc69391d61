import { join } from "node:path";
import type { Peer } from "@secai/kit/client";
import { type Environment, readEnvironment } from "@secai/kit/environment";
import { KitError } from "@secai/kit/errors";
import { type Credential, readCredential } from "@secai/kit/files";
import { type Address, parseAddress } from "@secai/kit/listen";
import type { TpmAccess } from "@secai/verify/runtime-tpm";

/** Where the machine is looked at. The unit sets none of it; tests lay out a machine of their own. */
export interface MachinePlaces {
  /** Where the machine's file system begins. */
  readonly root: string;
  /** There is a TPM where this file is. */
  readonly tpmDevice: string;
  readonly tpm: TpmAccess;
  readonly profilePath: string;
  readonly statementsDirectory: string;
  readonly registryManifestPath: string;
}

export interface Config {
  readonly address: Address;
  readonly token: Credential;
  readonly signingSeed: Credential;
  /** For receivers of the earlier, keyed form. */
  readonly legacyKey: Uint8Array | undefined;
  readonly audit: { readonly path: string; readonly anchorPath: string; readonly key: Uint8Array };
  readonly statePath: string;
  readonly outboxDirectory: string;
  readonly recorder: Peer;
  /** Undefined: this machine has no GPU watch. */
  readonly gpuWatch: Peer | undefined;
  readonly machine: MachinePlaces;
  readonly refreshIntervalMs: number;
}

const DIRECTORY = "/var/lib/secure-ai/tpm-attestation";

/** Also what the enrolment program goes by. @throws KitError CONFIG_MISSING */
export function machinePlaces(environment: Environment): MachinePlaces {
  const env = readEnvironment(environment, {
    MACHINE_ROOT: "/",
    TPM_DEVICE: "/dev/tpmrm0",
    TPM_TCTI: "device:/dev/tpmrm0",
    SCRATCH_DIR: "/run",
    TPM_PROFILE_DIR: DIRECTORY,
    STATEMENTS_DIR: join(environment.TPM_PROFILE_DIR ?? DIRECTORY, "statements"),
    REGISTRY_MANIFEST_PATH: "/var/lib/secure-ai/registry/manifest.json",
  });
  // Only the kernel's resource manager frees what a command leaves in the TPM.
  const managed = env.TPM_TCTI.startsWith("device:/dev/tpmrm");
  return {
    root: env.MACHINE_ROOT,
    tpmDevice: env.TPM_DEVICE,
    tpm: { tcti: env.TPM_TCTI, managed, scratch: env.SCRATCH_DIR, algorithm: "ecc" },
    profilePath: join(env.TPM_PROFILE_DIR, "profile.json"),
    statementsDirectory: env.STATEMENTS_DIR,
    registryManifestPath: env.REGISTRY_MANIFEST_PATH,
  };
}

/** @throws KitError CONFIG_MISSING, ADDRESS_NOT_LOCAL, CREDENTIAL_MISSING, CREDENTIAL_MALFORMED */
export async function loadConfig(environment: Environment): Promise<Config> {
  const env = readEnvironment(environment, {
    BIND_ADDR: "127.0.0.1:8505",
    SERVICE_TOKEN_PATH: undefined,
    SIGNING_KEY_PATH: undefined,
    AUDIT_HMAC_KEY_PATH: undefined,
    AUDIT_LOG_PATH: undefined,
    AUDIT_ANCHOR_PATH: `${environment.AUDIT_LOG_PATH}.head`,
    STATE_DIR: undefined,
    INCIDENT_RECORDER_ADDR: "127.0.0.1:8515",
    INCIDENT_RECORDER_TOKEN_PATH: undefined,
    GPU_WATCH_ADDR: "127.0.0.1:8495",
    REFRESH_INTERVAL_SECONDS: "300",
  });
  return Object.freeze({
    address: parseAddress(env.BIND_ADDR),
    token: await readCredential(env.SERVICE_TOKEN_PATH),
    signingSeed: await readCredential(env.SIGNING_KEY_PATH),
    legacyKey: await optional(environment.ATTESTATION_HMAC_KEY_PATH, async (path) =>
      Buffer.from(await readCredential(path), "hex"),
    ),
    audit: {
      path: env.AUDIT_LOG_PATH,
      anchorPath: env.AUDIT_ANCHOR_PATH,
      key: Buffer.from(await readCredential(env.AUDIT_HMAC_KEY_PATH), "hex"),
    },
    statePath: join(env.STATE_DIR, "state.json"),
    outboxDirectory: join(env.STATE_DIR, "outbox"),
    recorder: await peer("incident-recorder", env.INCIDENT_RECORDER_ADDR, env.INCIDENT_RECORDER_TOKEN_PATH),
    gpuWatch: await optional(environment.GPU_ATTEST_STATE_TOKEN_PATH, (path) =>
      peer("gpu-integrity-watch", env.GPU_WATCH_ADDR, path),
    ),
    machine: machinePlaces(environment),
    refreshIntervalMs: seconds(env.REFRESH_INTERVAL_SECONDS) * 1000,
  });
}

async function optional<T>(path: string | undefined, read: (path: string) => Promise<T>): Promise<T | undefined> {
  return path === undefined ? undefined : read(path);
}

async function peer(name: string, address: string, tokenPath: string): Promise<Peer> {
  return { name, address: parseAddress(address), token: await readCredential(tokenPath) };
}

function seconds(text: string): number {
  if (/^[1-9][0-9]{0,3}$/.test(text) && Number(text) <= 3600) return Number(text);
  throw new KitError("CONFIG_MISSING", { expected: "REFRESH_INTERVAL_SECONDS from 1 to 3600", actual: text });
}
