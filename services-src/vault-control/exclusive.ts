import { spawn } from "node:child_process";
import { once } from "node:events";
import { VaultError } from "./errors.ts";
import type { Settings } from "./settings.ts";

/** Longest that a lock or unlock may take. */
const WAIT_SECONDS = 150;

/**
 * Holds the lock of the vault's controls while `work` runs. flock(1) holds it for cat(1), which ends with our end of its pipe: however this
 * program ends, the kernel lets go.
 * @throws VaultError VAULT_CONTROL_BUSY
 */
export async function exclusively<T>({ lockFile, programPath }: Settings, work: () => Promise<T>): Promise<T> {
  const holder = spawn("flock", ["-w", String(WAIT_SECONDS), lockFile, "cat"], {
    env: { PATH: programPath },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const ended = new Promise<void>((resolve) => {
    holder.once("error", () => resolve());
    holder.once("close", () => resolve());
  });
  holder.stdin.on("error", () => undefined);
  holder.stdin.write("\n");
  const held = await Promise.race([once(holder.stdout, "data").then(() => true), ended.then(() => false)]);
  if (!held) throw new VaultError("VAULT_CONTROL_BUSY", { expected: `the lock ${lockFile}`, actual: "another holder" });
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
