import { lstatSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_VAULT_REQUEST_BYTES, type VaultRequest, vaultRequest, vaultResult } from "@secai/kit/api/containment";
import { readBounded, writeAtomic } from "@secai/kit/files";
import type { Clock } from "@secai/kit/sources";
import { RecorderError } from "./errors.ts";

/** Longest wait for the vault broker: its own command may take 120 s. */
export const VAULT_LIMIT_MS = 130_000;
const POLL_MS = 100;

export interface VaultDirectories {
  readonly requests: string;
  readonly results: string;
}

/**
 * Asks the root broker, which closes the vault, by a file, and waits for its answer in another. An answer that lay there before is one to
 * an earlier request: it counts only when it has been replaced.
 * @throws RecorderError TARGET_ABSENT (nothing was asked), TARGET_REFUSED, TARGET_ANSWER
 */
export async function askVault(
  { requests, results }: VaultDirectories,
  request: VaultRequest,
  { clock, signal, limitMs = VAULT_LIMIT_MS }: { readonly clock: Clock; readonly signal: AbortSignal; readonly limitMs?: number },
): Promise<void> {
  const answer = join(results, `${request.incident_id}.json`);
  const before = versionOf(answer);
  await writeRequest(join(requests, `${request.incident_id}.json`), request);
  const deadline = clock.monotonicMs() + limitMs;
  while (clock.monotonicMs() < deadline) {
    const version = versionOf(answer);
    if (version !== undefined && version !== before) return readResult(answer, request.incident_id);
    await sleep(POLL_MS, undefined, { signal }).catch(() => {
      throw noAnswer("an answer of the vault broker", "our own end");
    });
  }
  throw noAnswer(`an answer of the vault broker within ${limitMs} ms`, "none");
}

/** Which file this is: replaced files differ in it. Asked often, and of a file system in memory: not worth a thread each time. */
function versionOf(path: string): string | undefined {
  try {
    const { ino, mtimeNs, size } = lstatSync(path, { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  } catch {
    return undefined;
  }
}

async function writeRequest(path: string, request: VaultRequest): Promise<void> {
  if (!vaultRequest.is(request)) throw noAnswer("a request of the documented shape", "another");
  try {
    await writeAtomic(path, `${JSON.stringify(request)}\n`, 0o640);
  } catch (cause) {
    throw new RecorderError("TARGET_ABSENT", { expected: "a place for vault requests", actual: (cause as Error).message, cause });
  }
}

async function readResult(path: string, incidentId: string): Promise<void> {
  let value: unknown;
  try {
    value = JSON.parse((await readBounded(path, MAX_VAULT_REQUEST_BYTES)).toString("utf8"));
  } catch (cause) {
    throw noAnswer("JSON of the vault broker", (cause as Error).message);
  }
  if (!vaultResult.is(value)) throw noAnswer(vaultResult.name, "another shape");
  if (value.incident_id !== incidentId) throw noAnswer(`an answer about ${incidentId}`, `one about ${value.incident_id}`);
  if (!value.success)
    throw new RecorderError("TARGET_REFUSED", { expected: "the vault broker to succeed", actual: value.error ?? "no reason" });
}

function noAnswer(expected: string, actual: string): RecorderError {
  return new RecorderError("TARGET_ANSWER", { expected, actual });
}
