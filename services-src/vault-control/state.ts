import { isClosed, isExactlyOpen, look, readMarker } from "./look.ts";
import type { Settings } from "./settings.ts";
import type { VaultState } from "./state-file.ts";

/** What the vault is, by what the kernel says and what was set up. @throws VaultError VAULT_MARKER */
export async function stateOf(settings: Settings): Promise<VaultState> {
  const [seen, marker] = [await look(settings), await readMarker(settings.marker)];
  if (marker === undefined) return isClosed(seen) ? "setup_required" : "error";
  if (isExactlyOpen(seen, settings, marker)) return "unlocked";
  return isClosed(seen) ? "locked" : "error";
}
