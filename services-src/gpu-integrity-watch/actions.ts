import type { Outbox } from "@secai/kit/outbox";
import type { Report } from "@secai/kit/reporting";
import type { DueAction } from "./score.ts";

/** What became of an action: `reports` are those that were queued for it. */
export interface ActionResult extends DueAction {
  readonly outcome: "queued" | "noted" | "nothing to name" | "failed";
  readonly reports: number;
  /** Code of why it failed. */
  readonly error?: string;
}

/**
 * Alerts report every finding, quarantine asks for a model to be put away by reporting what names one: the recorder decides and has it done.
 * A report that several actions want is queued once. Nothing here runs a command or moves a file.
 */
export async function act(
  due: readonly DueAction[],
  reports: readonly Report[],
  reporter: Pick<Outbox<Report>, "put">,
): Promise<readonly ActionResult[]> {
  const queued = new Map<Report, Promise<string>>();
  const put = (report: Report): Promise<string> => {
    const pending = queued.get(report) ?? reporter.put(report);
    queued.set(report, pending);
    return pending;
  };
  const results: ActionResult[] = [];
  for (const action of due) results.push(await perform(action, reports, put));
  return results;
}

async function perform(
  action: DueAction,
  reports: readonly Report[],
  put: (report: Report) => Promise<string>,
): Promise<ActionResult> {
  const wanted = wantedBy(action, reports);
  if (wanted === undefined) return { ...action, outcome: "noted", reports: 0 };
  if (wanted.length === 0) return { ...action, outcome: "nothing to name", reports: 0 };
  const done = await Promise.allSettled(wanted.map(put));
  const failed = done.find((result) => result.status === "rejected");
  const count = done.filter(({ status }) => status === "fulfilled").length;
  if (failed === undefined) return { ...action, outcome: "queued", reports: count };
  const { code } = failed.reason as { code?: unknown };
  return { ...action, outcome: "failed", reports: count, error: typeof code === "string" ? code : "unknown" };
}

/** undefined: the action reports nothing. */
function wantedBy({ type }: DueAction, reports: readonly Report[]): readonly Report[] | undefined {
  if (type === "alert") return reports;
  if (type === "quarantine") return reports.filter(({ evidence }) => evidence?.model_path !== undefined);
  return undefined;
}
