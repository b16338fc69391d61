import { rm } from "node:fs/promises";

/** Removes a tree; a sandbox that is being killed may still add to it, so it tries again for about 5 s. */
export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 });
}
