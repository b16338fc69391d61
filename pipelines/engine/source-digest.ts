import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import type { Sha256 } from "@secai/formats/digest";
import { hashFileNow } from "./hash-files.ts";

/**
 * Digest of a repository file or folder: names, contents, link targets and whether a file is a program, which is what git knows of it.
 * Owner, times and umask of the checkout leave no trace, so two checkouts of one commit agree.
 * @param digestFile lets a caller that remembers files by their stat skip the reading
 */
export function sourceDigest(path: string, digestFile: (path: string) => Sha256 = hashNow): Sha256 {
  const hash = createHash("sha256");
  const visit = (full: string, label: string): void => {
    const stat = lstatSync(full);
    if (stat.isDirectory()) {
      hash.update(canonicalJson(["d", label]));
      for (const child of readdirSync(full).sort()) visit(join(full, child), `${label}/${child}`);
    } else if (stat.isSymbolicLink()) hash.update(canonicalJson(["l", label, readlinkSync(full)]));
    else hash.update(canonicalJson([isProgram(stat.mode) ? "x" : "f", label, digestFile(full)]));
  };
  visit(path, "");
  return hash.digest("hex") as Sha256;
}

/** Copies a source as its digest describes it: 0755 for folders and programs, 0644 for the rest, owned by whoever builds. */
export function copySource(from: string, to: string): void {
  const stat = lstatSync(from);
  if (stat.isDirectory()) {
    mkdirSync(to);
    chmodSync(to, 0o755);
    for (const child of readdirSync(from)) copySource(join(from, child), join(to, child));
  } else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
  else {
    copyFileSync(from, to);
    chmodSync(to, isProgram(stat.mode) ? 0o755 : 0o644);
  }
}

const isProgram = (mode: number): boolean => (mode & 0o100) !== 0;

function hashNow(path: string): Sha256 {
  return hashFileNow(Buffer.from(path), lstatSync(path).size);
}
