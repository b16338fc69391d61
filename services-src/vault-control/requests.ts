import { constants } from "node:fs";
import { open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_VAULT_REQUEST_BYTES, type VaultRequest, vaultRequest } from "@secai/kit/api/containment";
import { syncDirectory } from "@secai/kit/files";
import { parseStrictJson } from "@secai/kit/json";
import { VaultError } from "./errors.ts";
import { isIncidentId } from "./latches.ts";
import type { Settings } from "./settings.ts";

/** How long a request may be in the writing: it is written beside its name and then renamed. */
const WRITING_MS = 2_000;

/** A file that was taken out of the writers' reach. `incident`: undefined for a name that is not an incident's. */
export interface Taken {
  readonly name: string;
  readonly incident: string | undefined;
}

/**
 * The next request, moved to where only root can reach it; first what a crash left there. undefined: there is none. Names that are not yet a
 * request's are waited for, and removed when nothing comes of them, because whatever lies there starts the broker again and again.
 */
export async function takeNext(settings: Settings): Promise<Taken | undefined> {
  const [left] = await entries(settings.processing);
  if (left !== undefined) return toTaken(left);
  const name = await nextName(settings.requests);
  if (name === undefined) return undefined;
  await rename(join(settings.requests, name), join(settings.processing, name));
  await syncDirectory(settings.processing);
  return toTaken(name);
}

async function nextName(folder: string): Promise<string | undefined> {
  const deadline = performance.now() + WRITING_MS;
  for (;;) {
    const names = await entries(folder);
    const ready = names.find((name) => !isTemporary(name));
    if (ready !== undefined || names.length === 0) return ready;
    if (performance.now() > deadline) return names[0];
    await sleep(50);
  }
}

const isTemporary = (name: string): boolean => name.startsWith(".") || name.endsWith(".new");

/** Names in a folder but our own lock, oldest incident first as far as names say so. */
async function entries(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => name !== ".lock").sort();
}

function toTaken(name: string): Taken {
  const [, incident] = /^(.+)\.json$/.exec(name) ?? [];
  return { name, incident: incident !== undefined && isIncidentId(incident) ? incident : undefined };
}

/** @throws VaultError VAULT_REQUEST_NAME, VAULT_REQUEST_KIND, VAULT_REQUEST_MODE, VAULT_REQUEST_SIZE, VAULT_REQUEST_MALFORMED, VAULT_REQUEST_ID */
export async function readRequest({ processing }: Settings, { name, incident }: Taken): Promise<VaultRequest> {
  if (incident === undefined)
    throw new VaultError("VAULT_REQUEST_NAME", { expected: "INCIDENT.json", actual: JSON.stringify(name).slice(0, 128) });
  const request = parseRequest(await readPlain(join(processing, name)));
  if (request.incident_id !== incident)
    throw new VaultError("VAULT_REQUEST_ID", { expected: incident, actual: request.incident_id });
  return request;
}

/** @throws VaultError VAULT_REQUEST_MALFORMED */
export function parseRequest(bytes: Uint8Array): VaultRequest {
  let value: unknown;
  try {
    value = parseStrictJson(bytes);
  } catch (cause) {
    throw new VaultError("VAULT_REQUEST_MALFORMED", { expected: "strict JSON", actual: (cause as Error).message, cause });
  }
  if (vaultRequest.is(value)) return value;
  const [problem] = vaultRequest.problems(value, 1);
  throw new VaultError("VAULT_REQUEST_MALFORMED", {
    expected: vaultRequest.name,
    actual: `${problem?.pointer}: ${problem?.message}`,
  });
}

async function readPlain(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (cause: NodeJS.ErrnoException) => {
      throw new VaultError("VAULT_REQUEST_KIND", { expected: "a plain file", actual: cause.code ?? "-", cause });
    },
  );
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.nlink !== 1)
      throw new VaultError("VAULT_REQUEST_KIND", { expected: "a plain file with one name", actual: "something else" });
    // 0640 or less: written by one, read by its group.
    if ((stat.mode & 0o7137) !== 0)
      throw new VaultError("VAULT_REQUEST_MODE", {
        expected: "mode 0640 or less",
        actual: `0${(stat.mode & 0o7777).toString(8)}`,
      });
    if (stat.size === 0 || stat.size > MAX_VAULT_REQUEST_BYTES) throw size(stat.size);
    const buffer = Buffer.alloc(MAX_VAULT_REQUEST_BYTES + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > MAX_VAULT_REQUEST_BYTES) throw size(bytesRead);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const size = (bytes: number) =>
  new VaultError("VAULT_REQUEST_SIZE", { expected: `1 to ${MAX_VAULT_REQUEST_BYTES} bytes`, actual: `${bytes}` });

/** A taken request is done: nothing of it is left. Folders that somebody put among the requests go with all that is in them. */
export async function discard({ processing }: Settings, { name }: Taken): Promise<void> {
  await rm(join(processing, name), { recursive: true, force: true });
  await syncDirectory(processing);
}
