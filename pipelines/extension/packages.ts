import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tool, toolOutput } from "../programs/tool.ts";

/** Documentation stays behind as it does in the image; a package's licences come along. */
const DOCS = ["man", "locale", "info", "lintian", "bug"].map((name) => `--exclude=./usr/share/${name}/*`);

/** A file that two packages bring is an error: which one wins would depend on the order. */
const unpackScript = `set -euo pipefail
out=$1 deb=$2; shift 2
dpkg-deb --fsys-tarfile "$deb" |
  tar --extract --preserve-permissions --numeric-owner --keep-directory-symlink --keep-old-files --directory "$out" "$@"`;

export const debFiles = (folder: string): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".deb"))
    .sort()
    .map((name) => join(folder, name));

export function unpackDebs(debs: readonly string[], out: string): void {
  mkdirSync(out, { mode: 0o755 });
  for (const deb of debs) tool("bash", ["-c", unpackScript, "bash", out, deb, ...DOCS]);
}

/** Name of a package as dpkg's own files have it. */
function recordName(control: string): string {
  const field = (name: string) => new RegExp(`^${name}: (\\S+)`, "m").exec(control)?.[1] ?? "";
  return field("Multi-Arch") === "same" ? `${field("Package")}:${field("Architecture")}` : field("Package");
}

/**
 * A package database (the part of /var/lib/dpkg that says what is there) of packages that were unpacked and never installed.
 * @param links paths that we made for a package's file, absolute: file -> links
 */
export function writeDatabase(debs: readonly string[], links: ReadonlyMap<string, readonly string[]>, out: string): void {
  const info = join(out, "info");
  mkdirSync(info, { recursive: true });
  const stanzas = debs.map((deb) => {
    const control = toolOutput("dpkg-deb", ["--field", deb]).trimEnd();
    const name = recordName(control);
    const files = toolOutput("bash", ["-c", 'dpkg-deb --fsys-tarfile "$1" | tar --list', "bash", deb])
      .split("\n")
      .flatMap((line) => (line.length > 2 ? [line.slice(1).replace(/\/$/, "")] : []));
    const all = files.flatMap((path) => [path, ...(links.get(path) ?? [])]);
    writeFileSync(join(info, `${name}.list`), ["/.", ...all, ""].join("\n"));
    const sums = toolOutput("bash", [
      "-c",
      'dpkg-deb --ctrl-tarfile "$1" | tar --extract --to-stdout ./md5sums 2>/dev/null || true',
      "bash",
      deb,
    ]);
    writeFileSync(join(info, `${name}.md5sums`), sums);
    return control.replace(/^(Package: .*)$/m, "$1\nStatus: install ok installed");
  });
  writeFileSync(join(out, "status"), `${stanzas.join("\n\n")}\n`);
  for (const name of ["available", "diversions"]) writeFileSync(join(out, name), "");
}
