import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseSha256, sha256 } from "@secai/formats/digest";
import type { Mirrors } from "../fetch/mirrors.ts";
import type { RpmRepository } from "../recipe/recipe.ts";
import { runTool } from "../run-tool.ts";
import type { LockedRpmRepository } from "./bootc-lock.ts";
import { type Downloads, downloadRequired, firstMirror } from "./downloads.ts";
import { LockError } from "./errors.ts";
import { goodSigners } from "./signature.ts";

/** Fedora's has 8 KiB. */
const MAX_REPOMD_BYTES = 1 << 20;
/** Fedora's primary index has 20 MiB compressed. */
const MAX_PRIMARY_BYTES = 512 << 20;
const MAX_SIGNATURE_BYTES = 64 << 10;

const malformed = (expected: string, actual: string): LockError =>
  new LockError("LOCK_ARCHIVE_MALFORMED", { expected, actual: actual.slice(0, 200) });

const PATH = /^(?!.*(^|\/)\.{1,2}(\/|$))[A-Za-z0-9_.+~^-]+(\/[A-Za-z0-9_.+~^-]+)*$/;

/** What stands between `<tag ...>` and `</tag>`, of the one such element. */
function element(xml: string, tag: string, what: string): string {
  const found = [...xml.matchAll(new RegExp(`<${tag}(?:\\s[^<>]*)?>([\\s\\S]*?)</${tag}>`, "g"))];
  const [only, ...others] = found;
  if (only?.[1] === undefined || others.length > 0) throw malformed(`one <${tag}> in ${what}`, `${found.length}`);
  return only[1];
}

function attribute(xml: string, tag: string, name: string, what: string): string {
  const found = [...xml.matchAll(new RegExp(`<${tag}(?:\\s[^<>]*)?\\s${name}="([^"<>&]*)"`, "g"))];
  const [only, ...others] = found;
  if (only?.[1] === undefined || others.length > 0) throw malformed(`one <${tag} ${name}> in ${what}`, `${found.length}`);
  return only[1];
}

export interface Repomd {
  readonly revision: number;
  readonly primary: LockedRpmRepository["primary"];
}

/**
 * The part of repomd.xml that leads to the list of packages. Its text is machine-made and plain: what is written another way (entities, CDATA,
 * comments, namespaces' prefixes) is refused rather than understood.
 * @throws LockError LOCK_ARCHIVE_MALFORMED
 */
export function parseRepomd(bytes: Uint8Array): Repomd {
  const xml = Buffer.from(bytes).toString("utf8");
  if (/<!|&|<\w+:/.test(xml)) throw malformed("a plain repomd.xml", "declarations, entities or prefixes in it");
  const blocks = [...xml.matchAll(/<data type="primary">([\s\S]*?)<\/data>/g)];
  const [block, ...others] = blocks;
  if (block?.[1] === undefined || others.length > 0)
    throw malformed('one <data type="primary"> in repomd.xml', `${blocks.length}`);
  const inner = block[1];
  if (attribute(inner, "checksum", "type", "repomd.xml") !== "sha256")
    throw malformed("a sha256 of the primary index", "another");
  const path = attribute(inner, "location", "href", "repomd.xml");
  const size = Number(element(inner, "size", "repomd.xml"));
  const revision = Number(element(xml, "revision", "repomd.xml"));
  if (!PATH.test(path) || !/\.xml(\.(gz|xz|zst))?$/.test(path)) throw malformed("a primary index below the repository", path);
  if (!Number.isSafeInteger(size) || size < 1 || size > MAX_PRIMARY_BYTES)
    throw malformed("a primary index below 512 MiB", `${size}`);
  if (!Number.isSafeInteger(revision) || revision < 0) throw malformed("a revision in seconds", `${revision}`);
  return { revision, primary: { path, sha256: parseSha256(element(inner, "checksum", "repomd.xml")), size } };
}

export interface RepositoryReader extends Downloads {
  readonly mirrors: Mirrors;
  /** Of this repository: where files lie that the recipe names. */
  readonly top: string;
  /** A private folder. */
  readonly directory: string;
}

/** Who signed repomd.xml, in the file beside it, among the keys of `indexKey`. */
async function signersOf(reader: RepositoryReader, url: string, bytes: Uint8Array, indexKey: string): Promise<readonly string[]> {
  const [signature, path] = [join(reader.directory, "repomd.xml.asc"), join(reader.directory, "repomd.xml")];
  await writeFile(signature, await downloadRequired(reader, `${url}.asc`, MAX_SIGNATURE_BYTES));
  await writeFile(path, bytes);
  const keyring = join(reader.top, indexKey);
  const args = ["--homedir", reader.directory, "--keyring", keyring, "--status-fd", "1", signature, path];
  return goodSigners(await runTool("gpgv", args), indexKey);
}

/**
 * Reads a repository's index down to the digest of its list of packages. Whether the index must be signed is the recipe's to say: what a mirror
 * happens to have beside it is not.
 * @throws LockError LOCK_ARCHIVE_MISSING, LOCK_ARCHIVE_MALFORMED, LOCK_SIGNATURE_INVALID, LOCK_SIGNER_UNKNOWN; FetchError
 */
export async function readRepository(
  reader: RepositoryReader,
  { name, indexKey }: Pick<RpmRepository, "name" | "indexKey">,
): Promise<LockedRpmRepository> {
  const url = `${firstMirror(reader.mirrors, name)}repodata/repomd.xml`;
  const bytes = await downloadRequired(reader, url, MAX_REPOMD_BYTES);
  const signedBy = indexKey === undefined ? [] : await signersOf(reader, url, bytes, indexKey);
  return { name, repomd: sha256(bytes), ...parseRepomd(bytes), signedBy };
}
