import { join } from "node:path";
import type { VaultRequest, VaultResult } from "@secai/kit/api/containment";
import type { AuditLog } from "@secai/kit/audit";
import { CodedError } from "@secai/kit/errors";
import { errorFields, type Log } from "@secai/kit/log";
import type { Clock } from "@secai/kit/sources";
import { VaultError } from "./errors.ts";
import { latch, unlatch } from "./latches.ts";
import { relock } from "./relock.ts";
import { discard, readRequest, type Taken, takeNext } from "./requests.ts";
import type { Settings } from "./settings.ts";
import { RESULT_GROUP, writeForGroup, writeState } from "./state-file.ts";

/** Requests that one start works off; whatever is left starts the broker again. */
const MAX_REQUESTS = 1024;

export interface BrokerParts {
  readonly settings: Settings;
  readonly audit: Pick<AuditLog, "append">;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Works off every request. Each is taken, done, answered and only then forgotten, so whatever ends this program at whatever point, the next
 * start does what was left again: closing a closed vault, latching a latch and answering twice change nothing.
 */
export async function workOff(parts: BrokerParts): Promise<number> {
  for (let done = 0; done < MAX_REQUESTS; done += 1) {
    const taken = await takeNext(parts.settings);
    if (taken === undefined) return done;
    await workOffOne(parts, taken);
  }
  return MAX_REQUESTS;
}

async function workOffOne(parts: BrokerParts, taken: Taken): Promise<void> {
  const { settings, log } = parts;
  let request: VaultRequest;
  try {
    request = await readRequest(settings, taken);
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    log("error", "vault request refused", errorFields(error));
    await parts.audit.append("request_refused", { name: taken.name.slice(0, 256), code: error.code });
    if (taken.incident !== undefined) await answer(settings, { success: false, incident_id: taken.incident, error: error.code });
    return discard(settings, taken);
  }
  await answer(settings, await perform(parts, request));
  await discard(settings, taken);
}

async function perform(parts: BrokerParts, request: VaultRequest): Promise<VaultResult> {
  const { incident_id } = request;
  const { success, problems } = request.action === "relock" ? await relockFor(parts, request) : await releaseFor(parts, request);
  for (const problem of problems) parts.log("error", "vault request", { incident_id, ...errorFields(problem) });
  const [first] = problems;
  return { success, incident_id, ...(first === undefined ? {} : { error: printable(first) }) };
}

interface Performed {
  readonly success: boolean;
  readonly problems: readonly unknown[];
}

/** Starts with the code, where there is one. */
const printable = (error: unknown): string =>
  String((error as Error).message)
    .replaceAll(/[^ -~]+/g, " ")
    .slice(0, 1024);

/**
 * The latch comes first: from then on nobody opens the vault, however the rest goes. Nothing keeps the vault from being closed, not even a
 * record that cannot be written; but closed without a latch is no success, because it could be opened again.
 */
async function relockFor({ settings, audit, clock }: BrokerParts, { incident_id, reason }: VaultRequest): Promise<Performed> {
  const problems: unknown[] = [];
  const attempt = <T>(work: Promise<T>): Promise<T | undefined> =>
    work.catch((error: unknown) => {
      problems.push(error);
      return undefined;
    });
  await attempt(audit.append("relock_begun", { incident_id, reason }));
  const latched = await attempt(latch(settings, incident_id, clock.nowMs()).then(() => true));
  const locked = await attempt(relock(settings));
  const why = `incident_containment:${incident_id}`;
  await attempt(writeState(settings, locked?.state ?? "error", why, clock.nowMs()));
  const said = locked === undefined ? { codes: problems.map(codeOf) } : { state: locked.state, unstopped: [...locked.unstopped] };
  await attempt(audit.append(locked === undefined ? "relock_failed" : "relock", { incident_id, ...said }));
  return { success: latched === true && locked !== undefined, problems };
}

const codeOf = (error: unknown): string => (error instanceof CodedError ? error.code : "unknown");

/** Lifts the latch, once that is on record, and opens nothing: whoever wants the vault open has its passphrase. */
async function releaseFor({ settings, audit }: BrokerParts, { incident_id, reason }: VaultRequest): Promise<Performed> {
  try {
    await audit.append("release", { incident_id, reason });
    await unlatch(settings, incident_id);
    return { success: true, problems: [] };
  } catch (error) {
    return { success: false, problems: [error] };
  }
}

/** Replaced as a whole: its reader tells an answer from an earlier one by that. */
function answer(settings: Settings, result: VaultResult): Promise<void> {
  return writeForGroup(
    settings,
    join(settings.results, `${result.incident_id}.json`),
    `${JSON.stringify(result)}\n`,
    RESULT_GROUP,
  );
}
