import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { paragraphs, parseStanza } from "../lock/stanza.ts";
import { SbomError } from "./errors.ts";
import type { InstalledPackage } from "./package.ts";

export const debRef = ({ name, architecture }: { readonly name: string; readonly architecture: string }): string =>
  `deb:${name}:${architecture}`;

/** Package names of a relationship field (deb-control(5)), without versions, architectures and profiles. */
export function parseRelations(field: string): readonly (readonly string[])[] {
  const names = (clause: string) => clause.split("|").map((name) => /^[a-z0-9][a-z0-9+.-]*/.exec(name.trim())?.[0] ?? "");
  return field
    .split(",")
    .map((clause) => names(clause).filter((name) => name !== ""))
    .filter((alternatives) => alternatives.length > 0);
}

function sourceOf(field: string | undefined, name: string, version: string): InstalledPackage["source"] {
  const [, source = name, sourceVersion = version] = /^(\S+)(?:\s+\(([^)]+)\))?$/.exec(field ?? "") ?? [];
  return { name: source, version: sourceVersion };
}

/** `dir/info/NAME.KIND`, or `NAME:ARCH.KIND` for packages that can be installed for several architectures. */
function infoFile(dir: string, name: string, architecture: string, kind: string): string {
  const candidates = [`${name}:${architecture}.${kind}`, `${name}.${kind}`].map((file) => join(dir, "info", file));
  const found = candidates.find((path) => existsSync(path));
  return found === undefined ? "" : readFileSync(found, "utf8");
}

/** dpkg's own record of contents: finds changes, proves nothing. */
function md5Entries(md5sums: string, conffiles: string): Map<string, string> {
  const sums = md5sums.split("\n").map((line) => /^(?<md5>[0-9a-f]{32}) {2}(?<path>.+)$/.exec(line)?.groups);
  const configs = conffiles.split("\n").map((line) => /^(?<path>\/.+) (?<md5>[0-9a-f]{32})$/.exec(line.trim())?.groups);
  const pairs = [...sums, ...configs].flatMap((found): [string, string][] =>
    found?.path === undefined || found.md5 === undefined ? [] : [[`/${found.path.replace(/^\//, "")}`, found.md5]],
  );
  return new Map(pairs);
}

function readPackage(dir: string, fields: ReadonlyMap<string, string>): InstalledPackage {
  const [name, version, architecture] = ["package", "version", "architecture"].map((field) => fields.get(field));
  if (name === undefined || version === undefined || architecture === undefined || !/^[a-z0-9][a-z0-9+.-]*$/.test(name)) {
    throw new SbomError("SBOM_INPUT_MALFORMED", { expected: "a status paragraph with a name and version", actual: String(name) });
  }
  const list = infoFile(dir, name, architecture, "list");
  return {
    ref: debRef({ name, architecture }),
    name,
    version,
    architecture,
    supplier: fields.get("maintainer") ?? "Debian",
    homepage: fields.get("homepage"),
    source: sourceOf(fields.get("source"), name, version),
    depends: [...parseRelations(fields.get("pre-depends") ?? ""), ...parseRelations(fields.get("depends") ?? "")],
    provides: parseRelations(fields.get("provides") ?? "").flat(),
    paths: list.split("\n").filter((path) => path.startsWith("/") && path !== "/."),
    digests: md5Entries(infoFile(dir, name, architecture, "md5sums"), fields.get("conffiles") ?? ""),
  };
}

/**
 * Every installed package of a dpkg database (a copy of /var/lib/dpkg), sorted by name and architecture.
 * @throws SbomError SBOM_INPUT_MALFORMED; LockError LOCK_ARCHIVE_MALFORMED
 */
export function loadDpkg(dir: string): readonly InstalledPackage[] {
  const installed = [...paragraphs(readFileSync(join(dir, "status"), "utf8"))]
    .map(parseStanza)
    .filter((fields) => / installed$/.test(fields.get("status") ?? ""));
  const packages = installed.map((fields) => readPackage(dir, fields));
  return packages.sort((a, b) => (`${a.name}:${a.architecture}` < `${b.name}:${b.architecture}` ? -1 : 1));
}

/** Files that packages moved out of another's way (dpkg-divert(1)): path as listed -> where it lies. */
export function loadDiversions(dir: string): ReadonlyMap<string, { readonly to: string; readonly by: string }> {
  const path = join(dir, "diversions");
  const lines = existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
  const diversions = new Map<string, { to: string; by: string }>();
  for (let i = 0; i + 2 < lines.length; i += 3)
    diversions.set(lines[i] ?? "", { to: lines[i + 1] ?? "", by: lines[i + 2] ?? "" });
  return diversions;
}
