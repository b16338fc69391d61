import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { SbomError } from "./errors.ts";

/** Everything in a root file system that is not a directory. Paths are absolute inside it. */
export type RootFile =
  | { readonly path: string; readonly type: "file"; readonly size: number; readonly sha256: Sha256; readonly md5: string }
  | { readonly path: string; readonly type: "link"; readonly target: string }
  | { readonly path: string; readonly type: "special" };

function readRootFile(root: string, path: string): RootFile | "directory" {
  const full = join(root, path);
  const stat = lstatSync(full);
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return { path, type: "link", target: readlinkSync(full) };
  if (!stat.isFile()) return { path, type: "special" };
  const bytes = readFileSync(full);
  return { path, type: "file", size: bytes.length, sha256: sha256(bytes), md5: createHash("md5").update(bytes).digest("hex") };
}

/** Node shows bytes that are no UTF-8 as U+FFFD, so two such names could look the same; XML has no way to write control characters. */
function requireWritable(dir: string, name: string): void {
  if (!/[\p{Cc}\p{Cs}\ufffd\ufffe\uffff]/u.test(name)) return;
  throw new SbomError("SBOM_INPUT_MALFORMED", {
    expected: "file names in UTF-8 without control characters",
    actual: JSON.stringify(`${dir}/${name}`),
  });
}

/** Reads the whole tree below `root`, sorted by path. Follows no link, so that nothing outside the root is read. @throws SbomError SBOM_INPUT_MALFORMED */
export function readRoot(root: string): readonly RootFile[] {
  const files: RootFile[] = [];
  const pending = [""];
  for (let dir = pending.pop(); dir !== undefined; dir = pending.pop()) {
    for (const name of readdirSync(join(root, dir))) {
      requireWritable(dir, name);
      const entry = readRootFile(root, `${dir}/${name}`);
      if (entry === "directory") pending.push(`${dir}/${name}`);
      else files.push(entry);
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** One digest over every name, content and link target of a root: what the SBOM is about. */
export function rootDigest(files: readonly RootFile[]): Sha256 {
  const lines = files.map((file) => {
    const content = file.type === "file" ? file.sha256 : file.type === "link" ? file.target : "";
    return `${JSON.stringify([file.path, file.type, content])}\n`;
  });
  return sha256(lines.join(""));
}
