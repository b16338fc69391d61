// Lays out the disk: ESP, slot A of the root and of every system extension. Slots B and /var are made by the machine at its first boot, on
// whatever disk it has.
// disk --sealed DIR --root-hash FILE --uki FILE --bootloader FILE --version V --seed UUID --esp-mib N --root-mib N --verity-mib N --image-gib N
//   --extensions NAME=MIB,NAME=MIB --descriptions DIR --out DIR
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXTENSION_PARTITION_TYPE } from "@secai/formats/extensions";
import { efiArchitecture, removableMediaPath } from "./efi.ts";
import { extensionSlots } from "./extension-slots.ts";
import { readFlags, sourceDateEpoch, tool } from "./tool.ts";
import { toolAsync } from "./tool-async.ts";

const flag = readFlags(process.argv.slice(2));
const version = flag("version");
const sealed = flag("sealed");
const out = flag("out");
const definitions = "/tmp/definitions";
const esp = "/tmp/esp";
const disk = "/tmp/disk.raw";

const architecture = efiArchitecture(flag("bootloader"));
/** What systemd calls them. "root" is a partition type of each: the machine's own first boot knows only those of its architecture. */
const SYSTEMD_ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86-64", aa64: "arm64" };

const uuid = (hex: string) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");

function definition(name: string, fields: Readonly<Record<string, string>>): void {
  const lines = Object.entries(fields).map(([key, value]) => `${key}=${value}`);
  writeFileSync(join(definitions, `${name}.conf`), `[Partition]\n${lines.join("\n")}\n`);
}

function writeDefinitions(rootHash: string): void {
  mkdirSync(definitions);
  const fixed = (mib: string) => ({ SizeMinBytes: `${mib}M`, SizeMaxBytes: `${mib}M` });
  definition("10-esp", { Type: "esp", Label: "esp", Format: "vfat", CopyFiles: `${esp}:/`, ...fixed(flag("esp-mib")) });
  // systemd-veritysetup-generator finds both by their UUIDs: the two halves of the root hash.
  definition("20-root", {
    Type: "root",
    Label: `root_${version}`,
    UUID: uuid(rootHash.slice(0, 32)),
    CopyBlocks: join(sealed, "root.erofs"),
    ...fixed(flag("root-mib")),
  });
  definition("21-root-verity", {
    Type: "root-verity",
    Label: `root_${version}_verity`,
    UUID: uuid(rootHash.slice(32)),
    CopyBlocks: join(sealed, "root.verity"),
    ...fixed(flag("verity-mib")),
  });
  for (const { order, name, sizeMiB, description } of extensionSlots(flag("extensions"), flag("descriptions"))) {
    definition(`22-extension-${order}`, {
      Type: EXTENSION_PARTITION_TYPE,
      Label: description.partition,
      UUID: uuid(description.rootHash.slice(0, 32)),
      CopyBlocks: join(flag("descriptions"), `${name}.image`),
      ...fixed(String(sizeMiB)),
    });
  }
}

function writeEsp(): void {
  for (const path of ["EFI/BOOT", "EFI/systemd", "EFI/Linux", "loader"]) mkdirSync(join(esp, path), { recursive: true });
  // "+3": three tries to reach boot-complete.target, then the boot loader prefers the other slot (systemd.io/AUTOMATIC_BOOT_ASSESSMENT).
  copyFileSync(flag("uki"), join(esp, `EFI/Linux/secai_${version}+3.efi`));
  copyFileSync(flag("bootloader"), join(esp, removableMediaPath(architecture)));
  copyFileSync(flag("bootloader"), join(esp, `EFI/systemd/systemd-boot${architecture}.efi`));
  writeFileSync(join(esp, "loader/loader.conf"), "timeout 0\nconsole-mode keep\neditor no\nsecure-boot-enroll off\n");
  tool("find", [esp, "-exec", "touch", "-h", "-d", `@${sourceDateEpoch()}`, "{}", "+"]);
}

const rootHash = readFileSync(flag("root-hash"), "utf8").trim();
writeDefinitions(rootHash);
writeEsp();
tool(
  "systemd-repart",
  [
    `--definitions=${definitions}`,
    `--seed=${flag("seed")}`,
    "--empty=create",
    "--size=auto",
    "--dry-run=no",
    "--offline=yes",
    `--architecture=${SYSTEMD_ARCHITECTURES[architecture]}`,
    "--no-pager",
    disk,
  ],
  { env: { TMPDIR: "/tmp" } },
);
const qcow2 = join(out, "disk.qcow2");
await Promise.all([
  toolAsync("zstd", ["-q", "-3", disk, "-o", join(out, "disk.raw.zst")]),
  toolAsync("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", disk, qcow2]),
]);
tool("qemu-img", ["resize", "-q", "-f", "qcow2", qcow2, `${flag("image-gib")}G`]);
