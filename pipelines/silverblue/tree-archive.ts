import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { canonicalJson } from "@secai/formats/canonical-json";
import { pathParts } from "./layer-tree.ts";
import { type OnEntry, readTar, type TarEntry } from "./tar-read.ts";

/**
 * Everything of a tree but times, as one archive in order of names. Each name of a hard-linked file is a file of its own, so that a layer
 * never depends on the names that another one has.
 */
const tarArguments = (tree: string): readonly string[] => [
  ...["--create", "--format=posix", "--sort=name", "--numeric-owner", "--hard-dereference", "--mtime=@0"],
  ...["--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*"],
  ...["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--directory", tree, "--file=-", "."],
];

/** Calls back for every entry of a tree, with its path below it; the root itself is "". @throws Error when tar fails */
export async function readTree(tree: string, onEntry: OnEntry): Promise<void> {
  const tar = spawn("tar", tarArguments(tree), { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(tar, "close");
  await readTar(tar.stdout as Readable & AsyncIterable<Buffer>, (entry, content) =>
    onEntry({ ...entry, path: pathParts(entry.path).join("/") }, content),
  );
  const [status] = (await closed) as [number | null];
  if (status !== 0) throw new Error(`tar of ${tree} ended with ${status}`);
}

export interface Print {
  readonly type: TarEntry["type"];
  /** Digest of everything that a layer would say of the path. */
  readonly digest: string;
}

/** What a tree is, path by path. Two trees differ where their prints do. */
export async function printTree(tree: string): Promise<ReadonlyMap<string, Print>> {
  const prints = new Map<string, Print>();
  await readTree(tree, async (entry, content) => {
    const hash = createHash("sha256").update(describe(entry));
    for await (const chunk of content) hash.update(chunk);
    prints.set(entry.path, { type: entry.type, digest: hash.digest("hex") });
  });
  return prints;
}

function describe({ type, mode, uid, gid, size, link, xattrs }: TarEntry): string {
  const attributes = [...xattrs].map(([name, value]) => [name, value.toString("hex")]).sort();
  return canonicalJson([type, mode, uid, gid, size, link, attributes]);
}
