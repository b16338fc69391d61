// Makes a root file system from a folder of locked packages.
// installed: as on a machine, by mmdebstrap from a local archive index of nothing but these packages
// unpacked: only the packages' files, in seconds; enough to run tools in it, and none of the packages' scripts runs on the way
// emulated: as installed, for another architecture than this machine's: QEMU runs the packages' scripts
// make-root --debs DIR --suite NAME --architecture ARCH --docs keep|drop --how installed|unpacked|emulated --out DIR
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { emulatorCommand } from "./emulator.ts";
import { readFlags, tool, toolOutput } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const debs = flag("debs");
const suite = flag("suite");
const architecture = flag("architecture");

/** Path exclusions that dpkg applies while unpacking; licences stay. */
const dropDocs = [
  "path-exclude=/usr/share/man/*",
  "path-exclude=/usr/share/locale/*",
  "path-exclude=/usr/share/info/*",
  "path-exclude=/usr/share/lintian/*",
  "path-exclude=/usr/share/bug/*",
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
];

const unsafeIo = "force-unsafe-io";

const sha256 = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex");

/** One stanza of a Packages index, and the package's name. */
function indexStanza(file: string): { readonly name: string; readonly text: string } {
  const control = toolOutput("dpkg-deb", ["--field", join(debs, file)]);
  const name = /^Package: (\S+)$/m.exec(control)?.[1];
  if (name === undefined) throw new Error(`${file} names no package`);
  const bytes = readFileSync(join(debs, file));
  return { name, text: `${control.trimEnd()}\nFilename: pool/${file}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n` };
}

/** A one-suite archive over the folder of packages. Unsigned: each file was checked against the lock when it was fetched. */
function writeArchive(archive: string): readonly string[] {
  const stanzas = readdirSync(debs)
    .filter((file) => file.endsWith(".deb"))
    .sort()
    .map(indexStanza);
  const packages = stanzas.map(({ text }) => text).join("\n");
  const path = `main/binary-${architecture}/Packages`;
  const dist = join(archive, "dists", suite);
  mkdirSync(join(dist, `main/binary-${architecture}`), { recursive: true });
  writeFileSync(join(dist, path), packages);
  const release = [
    `Suite: ${suite}`,
    `Codename: ${suite}`,
    "Components: main",
    `Architectures: ${architecture}`,
    "SHA256:",
    ` ${sha256(packages)} ${Buffer.byteLength(packages)} ${path}`,
  ];
  writeFileSync(join(dist, "Release"), `${release.join("\n")}\n`);
  symlinkSync(debs, join(archive, "pool"));
  return stanzas.map(({ name }) => name);
}

function install(out: string, around: readonly string[] = []): void {
  const archive = "/tmp/archive";
  const names = writeArchive(archive);
  const [program = "", ...args] = [...around, "mmdebstrap"];
  tool(
    program,
    [
      ...args,
      "--mode=root",
      "--variant=essential",
      "--format=directory",
      `--architectures=${architecture}`,
      '--aptopt=APT::Install-Recommends "false"',
      '--aptopt=APT::Sandbox::User "root"',
      ...(flag("docs") === "drop" ? dropDocs.map((line) => `--dpkgopt=${line}`) : []),
      // The engine flushes the finished tree once; flushing every file of every package on the way takes a quarter of the time.
      `--dpkgopt=${unsafeIo}`,
      `--customize-hook=sed -i /^${unsafeIo}$/d "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap`,
      `--skip=download/empty,essential/unlink${around.length === 0 ? "" : ",check/qemu"}`,
      `--include=${names.join(",")}`,
      suite,
      out,
      `deb [trusted=yes] copy:${archive} ${suite} main`,
    ],
    // Kernel packages would make an initrd with initramfs-tools; ours is made by a step of its own.
    { env: { INITRD: "No", TMPDIR: "/tmp" } },
  );
}

/** A file that two packages bring is an error: which one wins would depend on the order. base-files is first: it has /bin -> usr/bin. */
const unpackScript = `set -euo pipefail
out=$1 debs=$2; shift 2
for deb in "$debs"/base-files_*.deb "$debs"/*.deb; do
  case $deb in */base-files_*) [ ! -e "$out/usr/lib/os-release" ] || continue ;; esac
  dpkg-deb --fsys-tarfile "$deb" |
    tar --extract --preserve-permissions --numeric-owner --keep-directory-symlink --keep-old-files --directory "$out" "$@"
done`;

/** What packages' scripts would have made and tools ask for: users by name, the one alternative that scripts call, where libraries are. */
function finishUnpacked(out: string): void {
  for (const name of ["passwd", "group"]) {
    copyFileSync(join(out, "usr/share/base-passwd", `${name}.master`), join(out, "etc", name));
    chmodSync(join(out, "etc", name), 0o644);
  }
  symlinkSync("mawk", join(out, "usr/bin/awk"));
  // The root's own, statically linked ldconfig; its second file holds inode numbers and times.
  tool(join(out, "usr/sbin/ldconfig"), ["-r", out]);
  rmSync(join(out, "var/cache/ldconfig"), { recursive: true, force: true });
}

function unpack(out: string): void {
  const excluded = ["man", "locale", "info", "lintian", "bug", "doc"].map((name) => `--exclude=./usr/share/${name}/*`);
  mkdirSync(out, { mode: 0o755 });
  tool("bash", ["-c", unpackScript, "bash", out, debs, ...(flag("docs") === "drop" ? excluded : [])]);
  finishUnpacked(out);
}

const ways: Readonly<Record<string, (out: string) => void>> = {
  installed: (out) => install(out),
  emulated: (out) => install(out, emulatorCommand(architecture)),
  unpacked: unpack,
};
const make = ways[flag("how")];
if (make === undefined) throw new Error(`no way to make a root: ${flag("how")}`);
make(flag("out"));
