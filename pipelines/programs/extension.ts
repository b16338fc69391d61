// Makes a system extension (systemd-sysext(8)): packages beyond the image's and backend libraries as one sealed file, data and hash tree.
// extension --name N --title T --version V --debs DIR --root DIR --overlays DIR,DIR --backends DIR --remove GLOB,GLOB --architecture ARCH
//   --pci-classes HEX,HEX --pci-vendors HEX,HEX --size-mib N --budget-mib N --out DIR
// writes tree/, dpkg/, image, ROOT_HASH and description.json
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { extensionsBytes } from "@secai/formats/extensions";
import { parseBackendRecord } from "@secai/formats/gpu-backends";
import { RECORD_FILE } from "../backends/record.ts";
import { ExtensionError } from "../extension/errors.ts";
import { type ElfFile, missingLinks, parseReadelf } from "../extension/libraries.ts";
import { debFiles, unpackDebs, writeDatabase } from "../extension/packages.ts";
import {
  type Entry,
  entriesOf,
  largestFolders,
  requireBelowUsr,
  requireLinksLead,
  requireOnlyAdds,
  requirePermitted,
} from "../extension/tree.ts";
import { isElfFile } from "./elf-file.ts";
import { removePaths } from "./remove-paths.ts";
import { derived, derivedUuid, makeErofs, makeVerity } from "./sealing.ts";
import { listOf, readFlags, toolOutput } from "./tool.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;
const flag = readFlags(process.argv.slice(2));
const name = flag("name");
const version = flag("version");
const root = flag("root");
const out = flag("out");
const tree = join(out, "tree");
const list = (flagName: string) => listOf(flag(flagName));
/** Names of architectures: Debian's, the compiler's and systemd's (os-release(5), ARCHITECTURE). */
const ARCHITECTURES: Readonly<Record<string, { readonly triplet: string; readonly systemd: string }>> = {
  amd64: { triplet: "x86_64-linux-gnu", systemd: "x86-64" },
  arm64: { triplet: "aarch64-linux-gnu", systemd: "arm64" },
};
const architecture = ARCHITECTURES[flag("architecture")];
if (architecture === undefined) throw new Error(`unknown architecture ${flag("architecture")}`);
const { triplet, systemd } = architecture;
const loaderFolder = `usr/lib/${triplet}`;

/** Documentation but licences, what the recipe takes away, and folders outside /usr that packages bring empty. */
function prune(): void {
  for (const path of globSync("usr/share/doc/*/*", { cwd: tree })) {
    if (!path.endsWith("/copyright")) rmSync(join(tree, path), { recursive: true, force: true });
  }
  removePaths(tree, list("remove"));
  for (const { path, stat } of entriesOf(tree).toReversed()) {
    if (stat.isDirectory() && path !== "usr" && readdirSync(join(tree, path)).length === 0) rmdirSync(join(tree, path));
  }
}

const folder = (path: string) => mkdirSync(join(tree, path), { recursive: true, mode: 0o755 });

/** Libraries of the backends' steps; what else those say of them is for the image's own list. */
function addBackends(): readonly string[] {
  const from = flag("backends");
  const names = from === "" || !existsSync(from) ? [] : readdirSync(from).sort();
  for (const backend of names) {
    const to = `usr/lib/secure-ai/backends/${backend}`;
    folder(to);
    for (const file of readdirSync(join(from, backend)).sort()) {
      if (file === RECORD_FILE) continue;
      writeFileSync(join(tree, to, file), readFileSync(join(from, backend, file)));
      chmodSync(join(tree, to, file), 0o644);
    }
  }
  return names;
}

const isElf = ({ path, stat }: Entry): boolean => isElfFile(join(tree, path), stat);

/** What backends need by the word of their steps: also libraries that they open by name, which no table in their files lists. */
function declaredNeeds(): readonly ElfFile[] {
  const from = flag("backends");
  const names = from === "" || !existsSync(from) ? [] : readdirSync(from).sort();
  return names.map((name) => {
    const { libraries } = parseBackendRecord(readFileSync(join(from, name, RECORD_FILE)));
    return { path: `usr/lib/secure-ai/backends/${name}/${RECORD_FILE}`, soname: undefined, needed: libraries };
  });
}

/** Makes what scripts and ldconfig would have made. Returns the links by the file they lead to, absolute. */
function linkLibraries(): ReadonlyMap<string, readonly string[]> {
  const entries = entriesOf(tree);
  const elf = entries.filter(isElf).map(({ path }) => join(tree, path));
  // readelf says which file is meant only when it is given several.
  const files = elf.flatMap((path) => parseReadelf(`File: ${path}\n${toolOutput("readelf", ["-dW", path])}`, tree));
  const available = new Set(
    [loaderFolder, "usr/lib", "usr/lib64"].flatMap((at) => (existsSync(join(root, at)) ? readdirSync(join(root, at)) : [])),
  );
  const links = missingLinks([...files, ...declaredNeeds()], loaderFolder, available, new Set(entries.map(({ path }) => path)));
  const made = new Map<string, string[]>();
  for (const { path, target } of links) {
    folder(dirname(path));
    symlinkSync(relative(dirname(path), target), join(tree, path));
    made.set(`/${target}`, [...(made.get(`/${target}`) ?? []), `/${path}`]);
    console.error(`made the link /${path} -> /${target}`);
  }
  return made;
}

/** What systemd-sysext compares with the image's os-release before it merges (os-release(5), "extension-release"). */
function writeRelease(): void {
  const release = readFileSync(join(root, "usr/lib/os-release"), "utf8").split("\n");
  const kept = release.filter((line) => /^(ID|VERSION_ID|SYSEXT_LEVEL)=/.test(line));
  folder("usr/lib/extension-release.d");
  const path = join(tree, `usr/lib/extension-release.d/extension-release.${name}`);
  writeFileSync(path, `${[...kept, `ARCHITECTURE=${systemd}`].join("\n")}\n`, { mode: 0o644 });
}

function check(backends: readonly string[]): readonly Entry[] {
  const entries = entriesOf(tree);
  requireBelowUsr(entries);
  requirePermitted(entries, new Set(backends));
  requireOnlyAdds(entries, { extension: tree, root, overlays: list("overlays") });
  requireLinksLead(entries, tree, root);
  return entries;
}

/** One file: the file system in whole blocks, then its hash tree. */
function seal(image: string): { readonly rootHash: string; readonly dataBytes: number } {
  // Smaller by an eighth than the root's lz4, and as fast to read: an extension is rarely built and often carried.
  makeErofs(tree, image, { label: name, uuid: derivedUuid(`erofs ${name} ${version}`), compression: "lz4hc,9" });
  const dataBytes = Math.ceil(statSync(image).size / BLOCK) * BLOCK;
  truncateSync(image, dataBytes);
  const rootHash = makeVerity(image, image, {
    salt: derived(`verity salt ${name} ${version}`),
    uuid: derivedUuid(`verity ${name} ${version}`),
    hashOffset: dataBytes,
  });
  return { rootHash, dataBytes };
}

function requireSize(what: string, bytes: number, limitMiB: number, entries: readonly Entry[]): void {
  if (bytes <= limitMiB * MIB) return;
  throw new ExtensionError("EXTENSION_TOO_LARGE", {
    expected: `extension ${name} with at most ${limitMiB} MiB of ${what}`,
    actual: `${(bytes / MIB).toFixed(1)} MiB; the most, before compression: ${largestFolders(entries).join(", ")}`,
  });
}

const debs = debFiles(flag("debs"));
unpackDebs(debs, tree);
chmodSync(tree, 0o755);
const backends = addBackends();
prune();
const links = linkLibraries();
writeRelease();
const entries = check(backends);
writeDatabase(debs, links, join(out, "dpkg"));
const image = join(out, "image");
const { rootHash, dataBytes } = seal(image);
requireSize("data", dataBytes, Number(flag("budget-mib")), entries);
requireSize("partition", statSync(image).size, Number(flag("size-mib")), entries);
const description = {
  name,
  title: flag("title"),
  partition: `ext_${name}_${version}`,
  rootHash,
  dataBytes,
  hashOffset: dataBytes,
  hardware: { pciClasses: list("pci-classes"), pciVendors: list("pci-vendors") },
};
extensionsBytes({ schema: 1, extensions: [description] });
writeFileSync(join(out, "description.json"), `${canonicalJson(description)}\n`);
writeFileSync(join(out, "ROOT_HASH"), `${rootHash}\n`);
console.error(
  `${name}: ${entries.length} entries, ${(statSync(image).size / MIB).toFixed(1)} MiB sealed; the most: ${largestFolders(entries, 3).join(", ")}`,
);
