import { parseSha256, type Sha256 } from "@secai/formats/digest";
import type { ChosenRpm } from "./solver-case.ts";

/** A package as a repository's primary index has it. */
export interface OfferedRpm extends ChosenRpm {
  /** Below the repository's address. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: Sha256;
}

/** The largest of Fedora's has 1 MiB. */
const MAX_ENTRY_CHARACTERS = 16 << 20;
const END = "</package>";

function one(entry: string, pattern: RegExp, what: string): string {
  const [found, ...others] = [...entry.matchAll(pattern)];
  if (found?.[1] === undefined || others.length > 0) throw new Error(`a package of the index has not one ${what}`);
  return found[1];
}

const WORD = "[A-Za-z0-9._+~^-]{1,200}";
const patterns = {
  name: new RegExp(`<name>(${WORD})</name>`, "g"),
  arch: /<arch>([a-z0-9_]{1,32})<\/arch>/g,
  epoch: /<version epoch="(\d{1,10})"/g,
  version: new RegExp(`<version epoch="\\d+" ver="(${WORD})"`, "g"),
  release: new RegExp(`<version epoch="\\d+" ver="${WORD}" rel="(${WORD})"`, "g"),
  sha256: /<checksum type="sha256" pkgid="YES">([0-9a-f]{64})<\/checksum>/g,
  size: /<size package="([1-9]\d{0,10})"/g,
  path: /<location href="((?!\/)(?!(?:[^"]*\/)?\.{1,2}\/)[A-Za-z0-9._+~^:/-]{1,500}\.rpm)"\/>/g,
} as const;

/**
 * One `<package type="rpm">` of primary.xml, up to its dependencies. Such indexes are machine-made; what is written another way than createrepo
 * writes it is refused. @throws Error
 */
export function parsePrimaryEntry(entry: string): OfferedRpm {
  const end = entry.indexOf("<format>");
  const head = end === -1 ? entry : entry.slice(0, end);
  const field = (name: keyof typeof patterns): string => one(head, patterns[name], name);
  return {
    name: field("name"),
    epoch: Number(field("epoch")),
    version: field("version"),
    release: field("release"),
    arch: field("arch"),
    path: field("path"),
    size: Number(field("size")),
    sha256: parseSha256(field("sha256")),
  };
}

/** Every package of an index, without holding it whole. @throws Error */
export async function* readPrimary(chunks: AsyncIterable<string>): AsyncGenerator<OfferedRpm> {
  let rest = "";
  for await (const chunk of chunks) {
    rest += chunk;
    for (let end = rest.indexOf(END); end !== -1; end = rest.indexOf(END)) {
      const start = rest.lastIndexOf('<package type="rpm">', end);
      if (start === -1) throw new Error("the index has something else than packages");
      yield parsePrimaryEntry(rest.slice(start, end));
      rest = rest.slice(end + END.length);
    }
    if (rest.length > MAX_ENTRY_CHARACTERS) throw new Error("the index has an entry of more than 16 MiB");
  }
}
