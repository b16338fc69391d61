import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { KeysError } from "./errors.ts";

const LOCK = ".lock";
/** A change of a keys directory takes a second; whoever holds the lock for longer waits for a person. Milliseconds. */
const PATIENCE_MS = 10_000;
const PAUSE_MS = 50;

/**
 * Runs `work` while no other process changes the directory. The lock names its holder, so that the lock of a process that died is taken over.
 * @throws KeysError KEY_SET_BUSY
 */
export async function holding<T>(dir: string, work: () => Promise<T>): Promise<T> {
  const path = join(dir, LOCK);
  await take(path);
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<void> {
  for (let waitedMs = 0; !(await tryTake(path)); waitedMs += PAUSE_MS) {
    const holder = Number(await readFile(path, "utf8").catch(() => ""));
    if (!isAlive(holder)) await rm(path, { force: true });
    else if (waitedMs >= PATIENCE_MS)
      throw new KeysError("KEY_SET_BUSY", { expected: "nobody else at work", actual: `${path}, held by process ${holder}` });
    else await setTimeout(PAUSE_MS);
  }
}

async function tryTake(path: string): Promise<boolean> {
  try {
    await writeFile(path, `${process.pid}`, { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** A process that we may not signal lives too; an unreadable name is of a holder that has not written it yet. */
function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
