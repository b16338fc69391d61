import { spawn, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, dirname, join } from "node:path";
import { sha256 } from "../../attest/formats/digest.ts";
import { defaultKeysDirectory } from "../../attest/formats/keys.ts";
import { createBlobStore } from "../../pipelines/engine/blob-store.ts";
import { cacheDirectory } from "../../pipelines/engine/command.ts";
import { findMirrors, proxyEnvironment } from "../../pipelines/fetch/mirrors.ts";
import { loadLock } from "../../pipelines/lock/load.ts";
import { type Lock, lockPath } from "../../pipelines/lock/lock.ts";
import { top } from "../../scripts/house/tree.ts";
import { readBuild } from "../reproducible/records.ts";
import { VmError } from "../vm/errors.ts";
import { currentRelease } from "./current-release.ts";

export const MKOSI_WHAT = "mkosi from its tool root, same packages, erofs, verity, signed UKI";

/** mkosi and what it calls for a disk with erofs, verity and a signed UKI. */
const TOOLS = [
  ...[
    "apt",
    "mkosi",
    "systemd",
    "systemd-repart",
    "systemd-ukify",
    "systemd-boot-efi",
    "systemd-boot-tools",
    "erofs-utils",
    "mtools",
  ],
  ...[
    "dosfstools",
    "cryptsetup-bin",
    "kmod",
    "zstd",
    "cpio",
    "openssl",
    "sbsigntool",
    "debian-archive-keyring",
    "fdisk",
    "e2fsprogs",
  ],
  ...["libtss2-esys-3.0.2-0t64", "libtss2-mu-4.0.1-0t64", "libtss2-rc0t64"],
];
const SUITE = "trixie";

function fail(expected: string, actual: string): VmError {
  return new VmError("HARNESS_TOOL_FAILED", { expected, actual });
}

/** A root file system with mkosi, made once beside the cache; it is a peer's, so it is neither locked nor ours. */
async function mkosiRoot(home: string): Promise<string> {
  const root = join(home, `mkosi-${sha256(TOOLS.join(" ")).slice(0, 12)}`);
  if (existsSync(root)) return root;
  const { debian = [] } = await findMirrors(["debian"], [], process.env);
  const fresh = `${root}.new`;
  rmSync(fresh, { recursive: true, force: true });
  const options = ["--mode=root", "--variant=essential", "--format=directory", '--aptopt=APT::Install-Recommends "false"'];
  const excluded = ["man", "doc", "locale"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
  const source = `deb ${debian[0] ?? ""} ${SUITE} main`;
  const env = await proxyEnvironment(process.env);
  const argv = [...options, ...excluded, `--include=${TOOLS.join(",")}`, SUITE, fresh, source];
  const { status, stderr } = spawnSync("mmdebstrap", argv, { env, encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
  if (status !== 0) throw fail("a root file system with mkosi", stderr.trim().slice(-300));
  renameSync(fresh, root);
  return root;
}

const field = (control: string, name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(control)?.[1] ?? "";

/** The locked packages of the image as an archive and as mkosi's own package cache, so that neither side downloads. */
function writeArchive(work: string, lock: Lock): void {
  const blobs = createBlobStore(join(cacheDirectory(process.env), "blobs"));
  const pool = join(work, "archive/pool");
  const cached = join(work, "packages/cache/apt/archives");
  for (const folder of [pool, cached]) mkdirSync(folder, { recursive: true });
  const stanzas = lock.roots.image.map(({ path, sha256: digest, size }) => {
    const blob = blobs.path(digest);
    const control = spawnSync("dpkg-deb", ["--field", blob], { encoding: "utf8" }).stdout.trimEnd();
    const version = field(control, "Version").replaceAll(":", "%3a");
    linkSync(blob, join(pool, basename(path)));
    linkSync(blob, join(cached, `${field(control, "Package")}_${version}_${field(control, "Architecture")}.deb`));
    return `${control}\nFilename: pool/${basename(path)}\nSize: ${size}\nSHA256: ${digest}\n`;
  });
  const packages = stanzas.join("\n");
  const dist = join(work, "archive/dists", SUITE);
  mkdirSync(join(dist, "main/binary-amd64"), { recursive: true });
  writeFileSync(join(dist, "main/binary-amd64/Packages"), packages);
  const index = ` ${sha256(packages)} ${Buffer.byteLength(packages)} main/binary-amd64/Packages`;
  const release = [`Suite: ${SUITE}`, `Codename: ${SUITE}`, "Components: main", "Architectures: amd64", "SHA256:", index, ""];
  writeFileSync(join(dist, "Release"), release.join("\n"));
}

/** mkosi.conf(5). The initrd is ours, ready made: mkosi builds none, which is in its favour. Times of signatures and no docs as ours. */
function writeConfiguration(work: string, lock: Lock, port: number): void {
  const keys = { SecureBootKey: "db.key", SecureBootCertificate: "db.crt" };
  const pcr = { SignExpectedPcrKey: "db.key", SignExpectedPcrCertificate: "db.crt" };
  const keyLines = Object.entries({ ...keys, ...pcr }).map(([name, file]) => `${name}=/peer/keys/${file}`);
  const lines = [
    ...["[Distribution]", "Distribution=debian", `Release=${SUITE}`, "Architecture=x86-64"],
    ...[`LocalMirror=http://127.0.0.1:${port}/`, "RepositoryKeyCheck=no"],
    ...["[Output]", "Format=disk", "ImageId=peer", "Output=image", "OutputDirectory=/peer/out"],
    ...["CompressOutput=zstd", "CompressLevel=3", "RepartDirectories=/peer/build/mkosi.repart"],
    ...["[Content]", "WithDocs=no", "WithRecommends=no", "Bootable=yes", "Bootloader=systemd-boot", "UnifiedKernelImages=yes"],
    ...["Initrds=/peer/initrd.zst", "KernelModulesInitrd=no", "KernelCommandLine=ro quiet", "SourceDateEpoch=1760000000"],
    ...["Packages=", ...lock.roots.image.map(({ name }) => `    ${name}`)],
    ...["[Validation]", "SecureBoot=yes", "SignExpectedPcr=yes", ...keyLines],
    ...[
      "[Build]",
      "PackageCacheDirectory=/peer/packages",
      "WorkspaceDirectory=/peer/workspace",
      "Incremental=no",
      "History=no",
      "",
    ],
  ];
  const repart = join(work, "build/mkosi.repart");
  mkdirSync(repart, { recursive: true });
  writeFileSync(join(work, "build/mkosi.conf"), lines.join("\n"));
  const esp = ["Type=esp", "Format=vfat", "CopyFiles=/boot:/", "CopyFiles=/efi:/", "SizeMinBytes=288M", "SizeMaxBytes=288M"];
  const root = ["Type=root", "Format=erofs", "Compression=lz4", "CopyFiles=/", "Verity=data"];
  const hash = ["Type=root-verity", "Verity=hash", "VerityMatchKey=root", "SizeMinBytes=16M", "SizeMaxBytes=16M"];
  const definitions = { "10-esp": esp, "20-root": [...root, "VerityMatchKey=root", "SizeMinBytes=352M"], "21-verity": hash };
  for (const [name, fields] of Object.entries(definitions))
    writeFileSync(join(repart, `${name}.conf`), ["[Partition]", ...fields, ""].join("\n"));
}

/** Files below `folder` over HTTP on a free port of loopback: what mkosi calls a local mirror. */
async function serve(folder: string): Promise<{ port: number; close(): void }> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://127.0.0.1").pathname);
    const file = join(folder, path);
    const known = file.startsWith(`${folder}/`) && existsSync(file);
    response.writeHead(known ? 200 : 404).end(known ? readFileSync(file) : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** mkosi makes namespaces of its own, so it needs every capability, and a root that is a mount point. */
function sandboxed(root: string, work: string): string[] {
  return [
    ...["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--die-with-parent", "--cap-add", "ALL", "--clearenv"],
    ...["--setenv", "HOME", "/root", "--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin", "--setenv", "LANG", "C.UTF-8"],
    ...["--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"],
    ...["--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/var/tmp", "--bind", work, "/peer", "--chdir", "/peer/build", "--"],
  ];
}

async function run(argv: readonly string[]): Promise<string> {
  const [command = "", ...args] = argv;
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  const status = await new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  const text = Buffer.concat(output).toString("utf8");
  if (status !== 0) throw fail("mkosi to build", `exit ${status}: ${text.trim().split("\n").slice(-3).join(" | ")}`);
  return text;
}

export interface MkosiPeer {
  /** Seconds that mkosi needs for a disk image of the same packages. @throws VmError HARNESS_TOOL_FAILED */
  time(): Promise<number>;
  close(): void;
}

/** @throws VmError HARNESS_TOOL_FAILED, FetchError FETCH_MIRROR_UNKNOWN */
export async function createMkosiPeer(): Promise<MkosiPeer> {
  const home = join(dirname(cacheDirectory(process.env)), "secai-bench");
  mkdirSync(home, { recursive: true });
  const root = await mkosiRoot(home);
  const lock = await loadLock(join(top, lockPath("debian-13")));
  const work = mkdtempSync(join(home, "mkosi-work-"));
  const remove = (): void => rmSync(work, { recursive: true, force: true });
  try {
    const built = await readBuild(await currentRelease(), cacheDirectory(process.env));
    copyFileSync(built.outputPath("initrd", "initrd"), join(work, "initrd.zst"));
    mkdirSync(join(work, "keys"), { mode: 0o700 });
    for (const name of ["db.key", "db.crt"])
      copyFileSync(join(defaultKeysDirectory(process.env), name), join(work, "keys", name));
    writeArchive(work, lock);
    const server = await serve(join(work, "archive"));
    writeConfiguration(work, lock, server.port);
    const close = (): void => {
      server.close();
      remove();
    };
    return { time: () => timeBuild(root, work), close };
  } catch (error) {
    remove();
    throw error;
  }
}

async function timeBuild(root: string, work: string): Promise<number> {
  for (const folder of ["out", "workspace"]) {
    rmSync(join(work, folder), { recursive: true, force: true });
    mkdirSync(join(work, folder));
  }
  const started = performance.now();
  const log = await run([...sandboxed(root, work), "mkosi", "--force", "build"]);
  const seconds = (performance.now() - started) / 1000;
  // The kernel image's name carries the root hash: proof that there is one, so that the two sides did the same.
  if (!/-[0-9a-f]{64}\.efi/.test(log) || !existsSync(join(work, "out/image.raw.zst")))
    throw fail("an image with a root hash from mkosi", "none");
  return seconds;
}
