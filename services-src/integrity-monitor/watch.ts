import { type FSWatcher, lstatSync, readFileSync, watch } from "node:fs";
import { errorFields, type Log } from "@secai/kit/log";

/** Directories that are watched at most: what comes beyond is found by the sweep. */
const MAX_WATCHED = 4096;
const DEFAULT_QUEUE = 16_384;

export interface Watcher {
  /** Watches these directories from now on, and no others. */
  follow(folders: readonly string[]): void;
  /** Events since the last call. Above `lossLimit` some may have been lost. */
  takeCount(): number;
  /** A quarter of the kernel's queue: if it overflowed, more than that many events came out of it first. */
  readonly lossLimit: number;
  watched(): number;
  close(): void;
}

export interface WatchParts {
  readonly prefix: string;
  readonly log: Log;
  /** Something happened in this directory. */
  onEvent(folder: string): void;
  /** A directory can no longer be watched: what happened there meanwhile is not known. */
  onLoss(reason: string): void;
}

/**
 * inotify, one watch a directory. libuv drops the kernel's word that the queue ran over (IN_Q_OVERFLOW), so that is told by counting: a
 * queue that ran over was full.
 */
export function createWatcher({ prefix, log, onEvent, onLoss }: WatchParts): Watcher {
  const watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: bigint }>();
  const refused = new Set<string>();
  let count = 0;

  function add(folder: string): void {
    try {
      const { ino: inode } = lstatSync(prefix + folder, { bigint: true });
      // A watch stays with its inode: another directory under the same name, or a mount over it, needs another watch.
      if (watchers.get(folder)?.inode === inode) return;
      drop(folder);
      if (watchers.size >= MAX_WATCHED) return;
      const watcher = watch(prefix + folder, { persistent: false }, () => {
        count += 1;
        onEvent(folder);
      });
      watcher.on("error", (error) => {
        drop(folder);
        onLoss(`${folder}: ${error.message}`);
      });
      watchers.set(folder, { watcher, inode });
      refused.delete(folder);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR" || refused.has(folder)) return;
      refused.add(folder);
      log("warning", "a directory cannot be watched; the sweep looks at it", { folder, ...errorFields(error) });
    }
  }

  function drop(folder: string): void {
    watchers.get(folder)?.watcher.close();
    watchers.delete(folder);
  }

  return {
    follow(folders) {
      const wanted = new Set(folders);
      for (const folder of watchers.keys()) if (!wanted.has(folder)) drop(folder);
      for (const folder of wanted) add(folder);
    },
    takeCount() {
      const taken = count;
      count = 0;
      return taken;
    },
    lossLimit: Math.floor(queueLength(prefix) / 4),
    watched: () => watchers.size,
    close() {
      for (const folder of [...watchers.keys()]) drop(folder);
    },
  };
}

function queueLength(prefix: string): number {
  try {
    return Number(readFileSync(`${prefix}/proc/sys/fs/inotify/max_queued_events`, "latin1").trim()) || DEFAULT_QUEUE;
  } catch {
    return DEFAULT_QUEUE;
  }
}

/** Nothing is watched: for tests that show that sweeps alone suffice. */
export const noWatcher: Watcher = {
  follow() {},
  takeCount: () => 0,
  lossLimit: Number.POSITIVE_INFINITY,
  watched: () => 0,
  close() {},
};
