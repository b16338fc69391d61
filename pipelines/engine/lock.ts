import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { EngineError } from "./errors.ts";

/** A lock of the kernel (flock(2)) on a file: it ends with its holder, however that dies, so no lock is ever stale. */
export interface FileLock {
  release(): Promise<void>;
}

/*
 * Node has no flock(2). A shell holds the lock as long as its standard input is open; the other end of that pipe is ours alone,
 * so the kernel closes it even after kill -9.
 */
const WAIT = 'exec 9>>"$1" && flock "$2" 9 && echo held && exec cat >/dev/null';
const TRY = 'exec 9>>"$1" && { flock -n "$2" 9 && echo held && exec cat >/dev/null || echo busy; }';
/** Exclusive if nobody else holds it: then "alone", and on a line from us or else at once: shared. */
const JOIN = 'exec 9>>"$1"; if flock -n -x 9; then echo alone; read -r _; fi; flock -s 9 && echo held && exec cat >/dev/null';

/** Waits until nobody else holds the lock. @throws EngineError CACHE_LOCK_FAILED, BUILD_CANCELLED when `signal` fires meanwhile */
export async function lockFile(path: string, signal?: AbortSignal): Promise<FileLock> {
  const holder = await start(WAIT, path, "-x");
  const giveUp = (): void => killGroup(holder);
  signal?.addEventListener("abort", giveUp);
  if (signal?.aborted === true) giveUp();
  try {
    await expect(holder, "held");
  } catch (error) {
    throw signal?.aborted === true ? new EngineError("BUILD_CANCELLED", { cause: error }) : error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
  return releasing(holder);
}

/** The shell and the flock(1) it waits for. */
function killGroup({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, "SIGKILL");
}

/** @returns undefined when another process holds it, shared or alone */
export async function tryLockFile(path: string): Promise<FileLock | undefined> {
  const holder = await start(TRY, path, "-x");
  return (await nextLine(holder)) === "held" ? releasing(holder) : undefined;
}

/**
 * Holds the lock shared, to the end of this process if never released. When nobody else holds it, `whenAlone` runs first with the
 * lock exclusive, and is not disturbed by others.
 */
export async function joinLock(path: string, whenAlone: () => Promise<void>): Promise<FileLock> {
  const holder = await start(JOIN, path, "");
  const first = await nextLine(holder);
  if (first === "alone") {
    try {
      await whenAlone();
    } finally {
      holder.stdin?.write("\n");
    }
    await expect(holder, "held");
  } else if (first !== "held") throw lockFailed(path);
  return releasing(holder);
}

async function start(script: string, path: string, mode: string): Promise<ChildProcess> {
  await mkdir(dirname(path), { recursive: true });
  const holder = spawn("/bin/sh", ["-c", script, "sh", path, mode], { stdio: ["pipe", "pipe", "ignore"], detached: true });
  holder.stdin?.on("error", () => {});
  return holder;
}

/** `detached` above: a Ctrl-C at the terminal must not take the lock away before we have cleaned up. */
function releasing(holder: ChildProcess): FileLock {
  holder.unref();
  (holder.stdin as unknown as { unref(): void } | null)?.unref();
  (holder.stdout as unknown as { unref(): void } | null)?.unref();
  return {
    async release() {
      // A holder that was killed has a signal instead of an exit status, and says nothing any more.
      const gone = holder.exitCode === null && holder.signalCode === null ? once(holder, "exit") : Promise.resolve();
      holder.ref();
      holder.stdin?.end();
      await gone;
    },
  };
}

async function expect(holder: ChildProcess, line: string): Promise<void> {
  if ((await nextLine(holder)) !== line) throw lockFailed(holder.spawnargs.at(-2) ?? "");
}

function lockFailed(path: string): EngineError {
  return new EngineError("CACHE_LOCK_FAILED", { expected: `a lock on ${path}`, actual: "flock could not take it" });
}

/** One line of the holder's output; "" when it ended instead. */
function nextLine(holder: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    holder.stdout?.once("data", (data: Buffer) => resolve(data.toString().trim()));
    holder.once("error", () => resolve(""));
    holder.once("close", () => resolve(""));
  });
}
