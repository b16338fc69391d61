import { lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";

/** Digests of files by what stat says of them, as git's index does: an unchanged file is not read again. */
export interface StatCache {
  /** Of a file's content. @throws what node:fs throws */
  digest(path: string): Sha256;
  save(): void;
}

export function openStatCache(file: string): StatCache {
  let known: Record<string, { stamp: string; sha256: Sha256 }> = {};
  try {
    known = JSON.parse(readFileSync(file, "utf8")) as typeof known;
  } catch {
    // A missing or damaged cache only costs reading the files again.
  }
  let changed = false;
  return {
    digest(path) {
      const stat = lstatSync(path, { bigint: true });
      const stamp = `${stat.ino}.${stat.size}.${stat.mtimeNs}.${stat.ctimeNs}`;
      const entry = known[path];
      if (entry?.stamp === stamp) return entry.sha256;
      changed = true;
      const digest = sha256(readFileSync(path));
      known[path] = { stamp, sha256: digest };
      return digest;
    },
    save() {
      if (!changed) return;
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(`${file}.${process.pid}`, JSON.stringify(known));
      renameSync(`${file}.${process.pid}`, file);
    },
  };
}
