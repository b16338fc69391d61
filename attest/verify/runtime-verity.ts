import type { Evidence } from "./runtime-evidence.ts";

/** Reads `veritysetup status`: its lines are `  name: value`. */
export function parseVerityStatus(status: string): Pick<Evidence["root"], "verity" | "hash"> {
  const state = /^\s*status:\s*(\S+)/m.exec(status)?.[1];
  const hash = /^\s*root hash:\s*([0-9a-f]{64})\s*$/m.exec(status)?.[1];
  const verity = state === "verified" || state === "corrupted" ? state : "absent";
  return { verity, hash: hash ?? null };
}
