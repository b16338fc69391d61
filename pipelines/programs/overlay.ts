import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { SilverblueError } from "../silverblue/errors.ts";

/** Top-level links of a merged /usr, and what an overlay must say instead. */
const MERGED = ["bin", "sbin", "lib", "lib64"];
/** State of the machine and mount points: bootc unpacks /var at installation only and never again, and /usr/etc is its own. */
const NOT_OURS = ["usr/etc", "var", "run", "tmp", "proc", "sys", "dev", "boot", "sysroot", "ostree", "home", "opt"];

function checkPlace(path: string): void {
  const wrong = [...MERGED, ...NOT_OURS].find((folder) => path === folder || path.startsWith(`${folder}/`));
  if (wrong === undefined) return;
  throw new SilverblueError("LAYER_UNSAFE", { expected: "overlays below /usr and /etc", actual: `/${path}` });
}

/** A file's content under another name, with this mode and nothing else of the source. */
export function install(source: string, target: string, mode: number): void {
  writeFileSync(target, readFileSync(source));
  chmodSync(target, mode);
}

/**
 * Lays a folder over a root so that the checkout's umask and owner leave no trace: 0755 for folders and programs, 0644 for the rest. Nothing
 * is written through a link of the root. @throws SilverblueError LAYER_UNSAFE
 */
export function overlay(from: string, root: string, folder = ""): void {
  for (const name of readdirSync(join(from, folder)).sort()) {
    const path = folder === "" ? name : `${folder}/${name}`;
    checkPlace(path);
    const stat = lstatSync(join(from, path));
    const target = join(root, path);
    const existing = lstatSync(target, { throwIfNoEntry: false });
    if (stat.isDirectory()) {
      if (existing?.isDirectory() !== true) {
        if (existing !== undefined)
          throw new SilverblueError("LAYER_UNSAFE", { expected: `a folder at /${path}`, actual: "a file or link of the base" });
        mkdirSync(target, { mode: 0o755 });
      }
      overlay(from, root, path);
      continue;
    }
    rmSync(target, { force: true });
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(join(from, path)), target);
    else install(join(from, path), target, (stat.mode & 0o100) === 0 ? 0o644 : 0o755);
  }
}
