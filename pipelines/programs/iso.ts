// Makes the installer: a signed kernel image that carries the compressed disk and names its digests, on an ISO that firmware starts from an
// optical drive or, written to it, from a stick. The kernel need not find the medium again: all it installs came through the firmware,
// under one signature.
// iso --root DIR --tree DIR --overlays DIR,DIR --initrd FILE --list FILE --installer-overlay DIR --disk FILE --bootloader FILE
//     --arguments TEXT --version V --seed UUID --minimum-gib N --db-crt F --db-key F --out FILE
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256File } from "@secai/formats/digest";
import { cpio } from "./cpio.ts";
import { efiArchitecture, removableMediaPath } from "./efi.ts";
import { Layers } from "./layers.ts";
import { only, signPe } from "./sign-pe.ts";
import { readFlags, sourceDateEpoch, tool } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const root = flag("root");
const MIB = 2 ** 20;

interface Payload {
  /** SHA-256 of disk.raw.zst: the image digest. */
  readonly digest: string;
  /** SHA-256 and size of what is written. */
  readonly content: string;
  readonly bytes: number;
}

async function describe(disk: string): Promise<Payload> {
  const raw = "/tmp/disk.raw";
  tool("zstd", ["-q", "-d", "--sparse", disk, "-o", raw]);
  const payload = { digest: await sha256File(disk), content: await sha256File(raw), bytes: statSync(raw).size };
  // The installer reads back past the kernel's cache, in whole blocks of the largest kind that disks have.
  if (payload.bytes % 4096 !== 0)
    throw new Error(`the disk image has ${payload.bytes} bytes: no whole number of 4096-byte blocks`);
  tool("rm", [raw]);
  return payload;
}

/** What the installer has beyond the appliance's initrd, unpacked over it. Not compressed: nearly all of it is the compressed disk. */
function writeAddition(path: string): void {
  const work = "/tmp/addition";
  // What the image does not have comes from the tool root.
  const layers = new Layers([...flag("overlays").split(",").reverse(), root, "/"]);
  const files = layers.listed(flag("list"));
  layers.addLibraries(files);
  mkdirSync(work);
  layers.copy(files, work);
  cpSync(flag("installer-overlay"), work, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(work, "usr/lib/secure-ai"), { recursive: true });
  copyFileSync(flag("disk"), join(work, "usr/lib/secure-ai/disk.raw.zst"));
  tool("chmod", ["-R", "u=rwX,go=rX", work]);
  writeFileSync(path, cpio(work, sourceDateEpoch()));
}

/** The line that the signature covers; the installer believes nothing else about what it installs. */
function commandLine({ digest, content, bytes }: Payload): string {
  return [
    flag("arguments"),
    "rd.systemd.unit=secure-ai-install.target",
    `secai.install=sha256:${digest}`,
    `secai.install-content=sha256:${content}`,
    `secai.install-bytes=${bytes}`,
    `secai.install-minimum-gib=${flag("minimum-gib")}`,
    `secai.install-version=${flag("version")}`,
  ].join(" ");
}

function writeKernelImage(payload: Payload, path: string): void {
  const release = only(readdirSync(join(root, "usr/lib/modules")), "kernel");
  writeAddition("/tmp/addition.cpio");
  writeFileSync("/tmp/cmdline", commandLine(payload));
  copyFileSync(join(root, "boot", `vmlinuz-${release}`), "/tmp/vmlinuz");
  const architecture = efiArchitecture("/tmp/vmlinuz");
  // No PCR policy: no key that an appliance sealed opens for the installer.
  tool("ukify", [
    ...["build", "--linux=/tmp/vmlinuz", `--initrd=${flag("initrd")}`, "--initrd=/tmp/addition.cpio", "--cmdline=@/tmp/cmdline"],
    ...[`--os-release=@${join(flag("tree"), "usr/lib/os-release")}`, `--uname=${release}`],
    ...[`--stub=${join(root, `usr/lib/systemd/boot/efi/linux${architecture}.efi.stub`)}`, `--efi-arch=${architecture}`],
    "--output=/tmp/installer.unsigned.efi",
  ]);
  signPe("/tmp/installer.unsigned.efi", path, { certificate: flag("db-crt"), key: flag("db-key") });
}

/** Sets the time of everything below, so that file systems made of it are the same each time. */
const settle = (folder: string) => tool("find", [folder, "-exec", "touch", "-h", "-d", `@${sourceDateEpoch()}`, "{}", "+"]);

/** The EFI system partition. No "+N" in the entry's name: nothing counts tries on a medium that cannot be written. */
function writeEsp(payload: Payload, path: string): void {
  const esp = "/tmp/esp";
  for (const folder of ["EFI/BOOT", "EFI/Linux", "loader"]) mkdirSync(join(esp, folder), { recursive: true });
  const installer = join(esp, `EFI/Linux/secai-installer_${flag("version")}.efi`);
  writeKernelImage(payload, installer);
  copyFileSync(flag("bootloader"), join(esp, removableMediaPath(efiArchitecture(flag("bootloader")))));
  writeFileSync(join(esp, "loader/loader.conf"), "timeout 0\nconsole-mode keep\neditor no\nsecure-boot-enroll off\n");
  settle(esp);
  const mib = Math.ceil(statSync(installer).size / MIB) + 8;
  const volume = createHash("sha256").update(`secai installer ${payload.digest}`).digest("hex").slice(0, 8);
  // FAT16 up to 512 MiB: every UEFI reads it on removable media (UEFI 2.10, 13.3.1), and it has no least size as FAT32 has.
  tool("mkfs.vfat", [
    "--invariant",
    "-F",
    "16",
    "-s",
    "16",
    "-S",
    "512",
    "-i",
    volume,
    "-n",
    "INSTALLER",
    "-C",
    path,
    String(mib * 1024),
  ]);
  const folders = readdirSync(esp)
    .sort()
    .map((name) => join(esp, name));
  tool("mcopy", ["-s", "-m", "-Q", "-i", path, ...folders, "::/"]);
}

/** A hybrid: El Torito for optical drives, a GPT for sticks, and both point at the one EFI system partition. */
function writeIso({ digest }: Payload, esp: string): void {
  const files = "/tmp/files";
  mkdirSync(files);
  writeFileSync(join(files, "IMAGE_DIGEST"), `sha256:${digest}\n`);
  settle(files);
  const guid = flag("seed").replaceAll("-", "");
  tool("xorriso", [
    ...["-as", "mkisofs", "-o", flag("out"), "-V", "SECAI_INSTALLER", "-r", "-iso-level", "3", "--gpt_disk_guid", guid],
    ...[
      "-partition_offset",
      "16",
      "-append_partition",
      "2",
      "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
      esp,
      "-appended_part_as_gpt",
    ],
    ...["-e", "--interval:appended_partition_2:all::", "-no-emul-boot", files],
  ]);
}

const payload = await describe(flag("disk"));
writeEsp(payload, "/tmp/esp.img");
writeIso(payload, "/tmp/esp.img");
