import { globSync, lstatSync, readFileSync } from "node:fs";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import type { Bench } from "./bench.ts";

export interface LockedEntry {
  readonly [name: string]: unknown;
  readonly name: string;
  readonly file: string;
}

/** What createrepo_c says of the packages of a folder (primary.xml): names, versions and digests by another reader than rpm's own query. */
export function lockedEntries(bench: Bench, folder: string): readonly LockedEntry[] {
  bench.tools(`rm -rf repodata; mkdir repodata; createrepo_c --quiet --no-database --outputdir "$PWD/repodata" ${folder}`);
  const [primary = ""] = globSync(bench.at("repodata/repodata/*-primary.xml*"));
  const packed = readFileSync(primary);
  const xml = (primary.endsWith(".zst") ? zstdDecompressSync(packed) : gunzipSync(packed)).toString("utf8");
  return [...xml.matchAll(/<package type="rpm">(?<body>.*?)<\/package>/gs)].map((match) =>
    entryOf(bench, folder, match.groups?.body ?? ""),
  );
}

function entryOf(bench: Bench, folder: string, body: string): LockedEntry {
  const one = (pattern: RegExp): string => pattern.exec(body)?.[1] ?? "";
  const file = one(/<location href="([^"]+)"/);
  return {
    name: one(/<name>([^<]+)</),
    epoch: Number(one(/<version epoch="(\d+)"/)),
    version: one(/<version [^>]*ver="([^"]+)"/),
    release: one(/<version [^>]*rel="([^"]+)"/),
    arch: one(/<arch>([^<]+)</),
    file,
    size: lstatSync(bench.at(folder, file)).size,
    sha256: one(/<checksum type="sha256"[^>]*>([0-9a-f]{64})</),
  };
}
