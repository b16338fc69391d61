import { createHash } from "node:crypto";
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
import { canonicalJson } from "@secai/formats/canonical-json";
import { SilverblueError } from "./errors.ts";

/** Top-level links of a merged /usr, and what an overlay must say instead. */
const MERGED = ["bin", "sbin", "lib", "lib64"];
/** State of the machine: bootc unpacks /var at installation only and never again, and /usr/etc is its own. */
const NOT_OURS = ["usr/etc", "var", "run", "tmp", "proc", "sys", "dev", "boot", "sysroot", "ostree", "home", "opt"];

function checkPlace(path: string): void {
  const wrong = [...MERGED, ...NOT_OURS].find((folder) => path === folder || path.startsWith(`${folder}/`));
  if (wrong === undefined) return;
  throw new SilverblueError("LAYER_UNSAFE", { expected: "overlays below /usr and /etc", actual: `/${path}` });
}

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

/** A folder of the root, made where it is missing. */
export function folderIn(root: string, path: string): string {
  mkdirSync(join(root, path), { recursive: true, mode: 0o755 });
  return join(root, path);
}

/** Bundles of services, and the sealed list of what the service runner may start (its reader is services-src/kit). */
export function installServices(bundles: string, root: string): void {
  const services: Record<string, { path: string; sha256: string }> = {};
  folderIn(root, "usr/lib/secure-ai/services");
  for (const file of readdirSync(bundles).sort()) {
    const path = `/usr/lib/secure-ai/services/${file}`;
    install(join(bundles, file), join(root, path), 0o644);
    const digest = createHash("sha256")
      .update(readFileSync(join(bundles, file)))
      .digest("hex");
    services[file.replace(/\.mjs$/, "")] = { path, sha256: digest };
  }
  writeFileSync(join(root, "usr/lib/secure-ai/services.json"), `${canonicalJson({ schema: 1, services })}\n`, { mode: 0o644 });
}

export function installPrograms(programs: string, root: string): void {
  const folder = folderIn(root, "usr/libexec/secure-ai");
  for (const file of readdirSync(programs).sort()) install(join(programs, file), join(folder, file), 0o644);
}
