import { type KnownFiles, takeInventory } from "./inventory.ts";
import { gatherEvidence, type ReleaseEvidence, withInventory } from "./release-evidence.ts";
import type { VerifyPolicy } from "./release-policy.ts";

/**
 * The evidence of a release directory. What is parsed is parsed while the large files are still being hashed: nothing that is parsed follows
 * from their digests, which only the checks compare.
 */
export async function examineRelease(dir: string, policy: VerifyPolicy, known?: KnownFiles): Promise<ReleaseEvidence> {
  let parsed: ReleaseEvidence | undefined;
  const inventory = await takeInventory(dir, known, (read) => {
    parsed = gatherEvidence(read, policy);
  });
  return parsed === undefined ? gatherEvidence(inventory, policy) : withInventory(parsed, inventory);
}
