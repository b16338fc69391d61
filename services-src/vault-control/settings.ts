import { closed, Path } from "@secai/kit/api/common";
import { VAULT_REQUESTS, VAULT_RESULTS } from "@secai/kit/api/containment";
import { type Environment, readEnvironment } from "@secai/kit/config";
import { readBounded, readCredential } from "@secai/kit/files";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import { type Static, Type } from "@sinclair/typebox";
import { VaultError } from "./errors.ts";

const MAX_SETTINGS_BYTES = 16 * 1024;

const Sealed = Type.Object(
  {
    schema: Type.Literal(1),
    /** Name of the opened volume below /dev/mapper. */
    mapper: Type.String({ pattern: "^[a-z][a-z0-9-]{0,63}$" }),
    mount_point: Path,
    /** Units that use the vault, in the order in which they are stopped. */
    users: Type.Array(Type.String({ pattern: "^[a-z][a-z0-9@-]{0,127}\\.(service|mount|target)$" }), { maxItems: 64 }),
  },
  closed,
);
const sealed = shape("vault settings, schema 1", Sealed);

/** What the image says, and where things lie. The unit sets credentials and the log; everything else is for tests. */
export interface Settings extends Static<typeof Sealed> {
  /** "/" on the machine: below it /proc, /sys, /etc/group. */
  readonly root: string;
  readonly programPath: string;
  readonly requests: string;
  readonly processing: string;
  readonly results: string;
  readonly latches: string;
  readonly stateFile: string;
  /** Which volume is the vault; written by its setup. */
  readonly marker: string;
  readonly lockFile: string;
}

export interface AuditSettings {
  readonly path: string;
  readonly anchorPath: string;
  readonly key: Uint8Array;
}

const STATE = "/var/lib/secure-ai/vault-control";

/** @throws VaultError VAULT_SETTINGS; KitError CONFIG_MISSING */
export async function loadSettings(environment: Environment): Promise<Settings> {
  const env = readEnvironment(environment, {
    VAULT_SETTINGS_PATH: "/usr/lib/secure-ai/vault-control.json",
    VAULT_MACHINE_ROOT: "/",
    VAULT_PROGRAM_PATH: "/usr/sbin:/usr/bin",
    VAULT_REQUEST_DIR: VAULT_REQUESTS,
    VAULT_PROCESSING_DIR: "/run/secure-ai/vault-control/processing",
    VAULT_RESULT_DIR: VAULT_RESULTS,
    VAULT_LATCH_DIR: `${STATE}/vault-latches`,
    VAULT_STATE_FILE: "/run/secure-ai/vault-state",
    VAULT_MARKER_PATH: `${STATE}/vault.json`,
    VAULT_LOCK_FILE: "/run/secure-ai/vault-control/processing/.lock",
  });
  return Object.freeze({
    ...(await readSealed(env.VAULT_SETTINGS_PATH)),
    root: env.VAULT_MACHINE_ROOT,
    programPath: env.VAULT_PROGRAM_PATH,
    requests: env.VAULT_REQUEST_DIR,
    processing: env.VAULT_PROCESSING_DIR,
    results: env.VAULT_RESULT_DIR,
    latches: env.VAULT_LATCH_DIR,
    stateFile: env.VAULT_STATE_FILE,
    marker: env.VAULT_MARKER_PATH,
    lockFile: env.VAULT_LOCK_FILE,
  });
}

async function readSealed(path: string): Promise<Static<typeof Sealed>> {
  let value: unknown;
  try {
    value = parseStrictJson(await readBounded(path, MAX_SETTINGS_BYTES));
  } catch (cause) {
    throw new VaultError("VAULT_SETTINGS", { expected: path, actual: (cause as Error).message, cause });
  }
  if (sealed.is(value)) return value;
  const [problem] = sealed.problems(value, 1);
  throw new VaultError("VAULT_SETTINGS", { expected: sealed.name, actual: `${problem?.pointer}: ${problem?.message}` });
}

/** @throws KitError CREDENTIAL_MISSING, CREDENTIAL_MALFORMED */
export async function loadAuditSettings(environment: Environment): Promise<AuditSettings> {
  const env = readEnvironment(environment, {
    AUDIT_HMAC_KEY_PATH: "/var/lib/secure-ai/credentials/vault-relock-audit-hmac.key",
    AUDIT_LOG_PATH: `${STATE}/vault-audit.jsonl`,
    AUDIT_ANCHOR_PATH: `${STATE}-anchor/vault-audit.head`,
  });
  return {
    path: env.AUDIT_LOG_PATH,
    anchorPath: env.AUDIT_ANCHOR_PATH,
    key: Buffer.from(await readCredential(env.AUDIT_HMAC_KEY_PATH), "hex"),
  };
}
