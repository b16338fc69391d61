import type { AuditLog } from "@secai/kit/audit";
import type { Store } from "./store/store.ts";

const PROBE_MS = 2_000;

/**
 * While something cannot be written, tries again, so that the recorder is ready by itself as soon as there is room. What it writes says
 * nothing but that it could be written.
 */
export function startProbing(store: Store, audit: Pick<AuditLog, "append" | "fault">): () => void {
  let busy = false;
  const timer = setInterval(() => {
    if (busy || (store.fault() === undefined && audit.fault() === undefined)) return;
    busy = true;
    Promise.allSettled([
      store.fault() === undefined ? undefined : store.transact(() => ({ events: [{ type: "probed" }], result: undefined })),
      audit.fault() === undefined ? undefined : audit.append("writable_again", {}),
    ]).finally(() => {
      busy = false;
    });
  }, PROBE_MS);
  return () => clearInterval(timer);
}
