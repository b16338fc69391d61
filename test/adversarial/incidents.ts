import type { Incident } from "../../services-src/kit/api/incidents.ts";
import type { HttpResponse } from "../vm/guest.ts";
import type { Machine } from "../vm/machine.ts";
import { askService, documentOf } from "../vm/services.ts";

/** The credential with which `report` reports, and who that makes it. */
export const REPORTER = {
  token: "incident-reporter-integrity-monitor.token",
  source: "integrity-monitor",
  class: "integrity_violation",
} as const;

/** Any status is an answer. */
export const report = (machine: Machine, description: string): Promise<HttpResponse> =>
  askService(machine, "incident-recorder", {
    path: "/api/v1/incidents/report",
    body: { class: REPORTER.class, source: REPORTER.source, description, evidence: { files: 1 } },
    token: REPORTER.token,
  });

/** Everything that the recorder keeps. @throws VmError CHECK_FAILED */
export const incidents = async (machine: Machine): Promise<readonly Incident[]> =>
  documentOf<Incident[]>(await askService(machine, "incident-recorder", { path: "/api/v1/incidents" }));
