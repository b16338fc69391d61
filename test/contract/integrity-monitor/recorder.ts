import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type IncidentReport, incidentReport } from "@secai/kit/api/incidents";

/** Stands for the incident recorder: takes reports as the contract has them, once a key, and can be away. */
export interface Recorder {
  readonly address: string;
  readonly reports: readonly IncidentReport[];
  /** What was sent and is no report. */
  readonly malformed: readonly string[];
  goAway(): void;
  comeBack(): void;
  close(): Promise<void>;
}

const incident = (report: IncidentReport, count: number) => ({
  id: `INC-20260101-000000-${String(count).padStart(4, "0")}`,
  created_at: "2026-01-01T00:00:00.000Z",
  class: report.class,
  severity: report.severity ?? "high",
  state: "open",
  source: report.source,
  description: report.description,
  evidence: report.evidence ?? {},
  fingerprint: report.fingerprint ?? "0".repeat(64),
  count: 1,
  last_seen_at: "2026-01-01T00:00:00.000Z",
  latched: true,
  escalated: false,
  containment_actions: [],
  containment_results: [],
  hash: "0".repeat(64),
});

export async function startRecorder(): Promise<Recorder> {
  const reports: IncidentReport[] = [];
  const malformed: string[] = [];
  const keys = new Set<string | undefined>();
  let away = false;
  const server: Server = createServer((request, response) => {
    if (away) return void request.socket.destroy();
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const value: unknown = JSON.parse(text);
      if (!incidentReport.is(value)) {
        malformed.push(text.slice(0, 500));
        return void response.writeHead(400).end("{}");
      }
      if (!keys.has(value.idempotency_key)) reports.push(value);
      keys.add(value.idempotency_key);
      response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify(incident(value, reports.length)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    reports,
    malformed,
    goAway: () => {
      away = true;
    },
    comeBack: () => {
      away = false;
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
