import { type Evidence, type IncidentReport, incidentReport, incidentShape } from "./api/incidents.ts";
import { ask, type Peer } from "./client.ts";
import { ClientError } from "./client-errors.ts";
import type { Log } from "./log.ts";
import { type Outbox, openOutbox } from "./outbox.ts";
import { OutboxError } from "./outbox-errors.ts";
import type { Clock } from "./sources.ts";

/** A report without what the outbox adds. `observed_at` is set when it is queued, unless it is given. */
export type Report = Omit<IncidentReport, "source" | "idempotency_key">;

/** Room for evidence in a body of 64 KiB, beside everything else that a report says. */
const MAX_EVIDENCE_BYTES = 56 * 1024;
const MAX_TEXT_CHARS = 4096;
const MAX_LIST_ITEMS = 256;
const MAX_DESCRIPTION_CHARS = 1024;
/** Statuses that say something about the receiver or our credential, not about the report: it is kept and sent again. */
const PASSING: readonly number[] = [401, 403, 408, 429];

export interface ReporterOptions {
  readonly directory: string;
  /** The incident recorder, with our reporter credential. */
  readonly peer: Peer;
  /** Our name as a reporter. */
  readonly source: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly retryMs?: { readonly first: number; readonly last: number };
}

/**
 * The way to the incident recorder. What is too long for a report is cut and says so: a report that is refused for its size would hide
 * exactly the largest findings.
 * @throws OutboxError OUTBOX_DIRECTORY, OUTBOX_UNAVAILABLE
 */
export async function openReporter({ peer, source, ...options }: ReporterOptions): Promise<Outbox<Report>> {
  const outbox = await openOutbox<Report>({
    ...options,
    deliver: (report, key, signal) => deliver(peer, { ...report, source, idempotency_key: key }, signal),
  });
  return {
    ...outbox,
    async put(report) {
      const fitted = fitReport({ observed_at: new Date(options.clock.nowMs()).toISOString(), ...report });
      const [problem] = incidentReport.problems({ ...fitted, source }, 1);
      if (problem !== undefined)
        throw new OutboxError("OUTBOX_MESSAGE", {
          expected: incidentReport.name,
          actual: `${problem.pointer}: ${problem.message}`,
        });
      return outbox.put(fitted);
    },
  };
}

async function deliver(peer: Peer, body: IncidentReport, signal: AbortSignal): Promise<"delivered" | "refused"> {
  try {
    await ask(peer, {
      method: "POST",
      path: "/api/v1/incidents/report",
      body,
      response: incidentShape,
      statuses: [200, 201],
      signal,
    });
    return "delivered";
  } catch (error) {
    if (error instanceof ClientError && isFinal(error.status)) return "refused";
    throw error;
  }
}

function isFinal(status: number | undefined): boolean {
  return status !== undefined && status >= 400 && status < 500 && !PASSING.includes(status);
}

/** The report with everything cut to what the recorder takes; `evidence_cut` says that something was. Exported for tests. */
export function fitReport(report: Report): Report {
  const description = report.description.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, MAX_DESCRIPTION_CHARS);
  return report.evidence === undefined
    ? { ...report, description }
    : { ...report, description, evidence: fitEvidence(report.evidence) };
}

function fitEvidence(evidence: Evidence): Evidence {
  const fitted: Record<string, Evidence[string]> = {};
  let left = MAX_EVIDENCE_BYTES;
  let cut = false;
  for (const [key, value] of Object.entries(evidence)) {
    const short = fitValue(value, left - key.length);
    cut ||= JSON.stringify(short) !== JSON.stringify(value);
    if (short === undefined) continue;
    fitted[key] = short;
    left -= key.length + bytesOf(short);
  }
  if (!cut) return evidence;
  const kept = Object.entries(fitted).slice(0, 62);
  return { ...Object.fromEntries(kept), evidence_cut: true, evidence_members: Object.keys(evidence).length };
}

/** The value, as much of it as fits into `room` bytes, or undefined. */
function fitValue(value: Evidence[string], room: number): Evidence[string] | undefined {
  if (Array.isArray(value)) return fitList(value, room);
  const short = typeof value === "string" ? value.slice(0, MAX_TEXT_CHARS) : value;
  return bytesOf(short) <= room ? short : undefined;
}

function fitList<T>(items: readonly T[], room: number): T[] {
  let left = room - 2;
  const kept: T[] = [];
  for (const item of items.slice(0, MAX_LIST_ITEMS)) {
    const short = (typeof item === "string" ? item.slice(0, MAX_TEXT_CHARS) : item) as T;
    left -= bytesOf(short);
    if (left < 0) break;
    kept.push(short);
  }
  return kept;
}

/** As JSON, with the comma or colon that follows. */
const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value)) + 4;
