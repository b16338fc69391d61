import type { AuditLog } from "@secai/kit/audit";
import type { JsonValue } from "@secai/kit/digest";
import type { Exchange } from "@secai/kit/route";
import type { Signer } from "@secai/kit/signing";
import type { Clock } from "@secai/kit/sources";
import { readAuditTail } from "./audit-tail.ts";
import { buildForensic } from "./forensic.ts";
import type { Recorder } from "./recorder.ts";
import type { Store } from "./store/store.ts";
import { summarise } from "./summary.ts";

const AUDIT_TAIL = { lines: 1000, bytes: 8 << 20 };
const MAX_INCIDENTS = 5000;

export interface ExportParts {
  readonly store: Store;
  readonly audit: Pick<AuditLog, "append">;
  readonly auditPath: string;
  readonly recorder: Pick<Recorder, "list" | "policy">;
  readonly signer: Signer;
  readonly clock: Clock;
}

/** The export is on record first, so that its record is the last one in it. */
export function createExport(parts: ExportParts): (exchange: Exchange) => Promise<{ readonly [key: string]: JsonValue }> {
  const { store, audit, recorder, signer, clock } = parts;
  return async ({ caller = "-", requestId }) => {
    const auditHead = await audit.append("forensic_export", { caller, request_id: requestId });
    const auditEntries = await readAuditTail(parts.auditPath, auditHead.seq, AUDIT_TAIL);
    return buildForensic(
      {
        exportedAt: new Date(clock.nowMs()).toISOString(),
        incidents: recorder.list({ limit: MAX_INCIDENTS }),
        openIncidents: summarise(store.state).open,
        auditEntries,
        auditHead,
        storeHead: store.head(),
        policyDigest: recorder.policy().digest,
      },
      signer,
    );
  };
}
