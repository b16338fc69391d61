import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Change, Corpus } from "./corpus.ts";

// The disk that a case finds. Nothing here reads from outside the program: contents are the corpus's.

/** Makes `folder` hold the corpus's base and nothing else. */
export function writeBase(folder: string, { base, blobs }: Corpus): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  for (const [path, blob] of Object.entries(base)) writeFile(join(folder, path), blobs[blob] ?? Buffer.alloc(0));
}

export function applyChanges(folder: string, changes: readonly Change[], blobs: Corpus["blobs"]): void {
  for (const change of changes) applyChange(folder, join(folder, change.path), change, blobs);
}

function applyChange(folder: string, path: string, change: Change, blobs: Corpus["blobs"]): void {
  if (change.kind !== "remove") mkdirSync(dirname(path), { recursive: true });
  switch (change.kind) {
    case "remove":
      rmSync(path, { recursive: true });
      break;
    case "directory":
      mkdirSync(path, { recursive: true });
      break;
    case "write":
      writeFile(path, blobs[change.blob] ?? Buffer.alloc(0));
      break;
    case "zeros":
      writeFile(path, Buffer.alloc(0));
      truncateSync(path, change.size);
      break;
    case "symlink":
      symlinkSync(change.to, path);
      break;
    case "hardlink":
      linkSync(join(folder, change.to), path);
      break;
    case "fifo":
      makeFifo(path);
      break;
  }
}

function writeFile(path: string, content: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode: 0o600 });
}

/** Node has no call for it; every Linux has the program (POSIX mkfifo). */
function makeFifo(path: string): void {
  const { status, error } = spawnSync("mkfifo", [path], { stdio: "ignore" });
  if (status !== 0) throw error ?? new Error(`mkfifo ended with ${status}`);
}
