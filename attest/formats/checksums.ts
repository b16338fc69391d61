import { parseSha256, type Sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { isFileName } from "./file-name.ts";

export const CHECKSUMS_FILE = "SHA256SUMS";
export const CHECKSUMS_BUNDLE = "SHA256SUMS.sigstore.json";
export const MAX_CHECKSUMS_BYTES = 1 << 20;

/** Lines in the form of `sha256sum` (text mode), sorted by name in byte order, with a newline after each. */
export function buildChecksums(digests: ReadonlyMap<string, Sha256>): string {
  const names = [...digests.keys()].sort();
  return names.map((name) => `${digests.get(name)}  ${name}\n`).join("");
}

/**
 * Digest by file name. Only the one spelling that `buildChecksums` gives is accepted, so that no two readers see different lists.
 * @throws FormatError CHECKSUMS_MALFORMED
 */
export function parseChecksums(bytes: Uint8Array): ReadonlyMap<string, Sha256> {
  if (bytes.length > MAX_CHECKSUMS_BYTES) throw malformed(`at most ${MAX_CHECKSUMS_BYTES} bytes`, `${bytes.length}`);
  const lines = Buffer.from(bytes).toString("latin1").split("\n");
  if (lines.pop() !== "") throw malformed("a newline after the last line", "none");
  if (lines.length === 0) throw malformed("at least one file", "none");
  const digests = new Map<string, Sha256>();
  let previous = "";
  for (const line of lines) {
    const { name, digest } = parseLine(line);
    if (name <= previous) throw malformed("names in order, each once", `${name} after ${previous}`);
    digests.set(name, digest);
    previous = name;
  }
  return digests;
}

function parseLine(line: string): { readonly name: string; readonly digest: Sha256 } {
  const [, digest = "", name = ""] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
  if (!isFileName(name)) throw malformed("<64 hex digits>  <plain relative name>", JSON.stringify(line.slice(0, 200)));
  if (name === CHECKSUMS_FILE || name === CHECKSUMS_BUNDLE) throw malformed("no entry for the list itself", name);
  return { name, digest: parseSha256(digest) };
}

const malformed = (expected: string, actual: string) => new FormatError("CHECKSUMS_MALFORMED", { expected, actual });
