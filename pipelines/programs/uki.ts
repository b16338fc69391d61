// Builds the unified kernel image that carries the root hash and the PCR 11 policy, and signs it and the boot loader for Secure Boot.
// uki --root DIR --tree DIR --initrd FILE --root-hash FILE --arguments TEXT --db-crt F --db-key F --pcr-pub F --pcr-key F --out DIR
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { efiArchitecture } from "./efi.ts";
import { requireOwnPrograms } from "./elf-machine.ts";
import { only, signPe } from "./sign-pe.ts";
import { readFlags, tool } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const out = flag("out");
const root = flag("root");
const key = { certificate: flag("db-crt"), key: flag("db-key") };

/** systemd's boot phases whose PCR 11 value is signed: a key sealed to it opens up to the end of start-up (systemd-measure(1)). */
const phases = [
  "enter-initrd",
  "enter-initrd:leave-initrd",
  "enter-initrd:leave-initrd:sysinit",
  "enter-initrd:leave-initrd:sysinit:ready",
].join(" ");

const release = only(readdirSync(join(root, "usr/lib/modules")), "kernel");
const efi = join(root, "usr/lib/systemd/boot/efi");
const rootHash = readFileSync(flag("root-hash"), "utf8").trim();
const commandLine = `roothash=${rootHash} ${flag("arguments")}`;
writeFileSync("/tmp/cmdline", commandLine);
copyFileSync(join(root, "boot", `vmlinuz-${release}`), "/tmp/vmlinuz");
const architecture = efiArchitecture("/tmp/vmlinuz");
// Before anything is signed: everything that ships runs on what the kernel runs on.
requireOwnPrograms(flag("tree"), architecture);

tool("ukify", [
  "build",
  "--linux=/tmp/vmlinuz",
  `--initrd=${flag("initrd")}`,
  "--cmdline=@/tmp/cmdline",
  `--os-release=@${join(flag("tree"), "usr/lib/os-release")}`,
  `--uname=${release}`,
  `--stub=${join(efi, `linux${architecture}.efi.stub`)}`,
  `--efi-arch=${architecture}`,
  `--pcr-private-key=${flag("pcr-key")}`,
  `--pcr-public-key=${flag("pcr-pub")}`,
  `--phases=${phases}`,
  "--pcr-banks=sha256",
  "--output=/tmp/uki.unsigned.efi",
]);
signPe("/tmp/uki.unsigned.efi", join(out, "uki.efi"), key);
signPe(join(efi, `systemd-boot${architecture}.efi`), join(out, "bootx64.efi"), key);
