import { createHash } from "node:crypto";
import type { Sha256 } from "@secai/formats/digest";
import { sha256 } from "@secai/formats/digest";
import { replayPcr } from "./pcr.ts";

/**
 * Sections of a UKI that systemd-stub hands to the kernel as files below /.extra, each in a cpio archive of its own, behind the initrd and in
 * this order (systemd 257, src/boot/stub.c).
 */
const EXTRA_FILES = [
  { section: ".pcrsig", name: "tpm2-pcr-signature.json" },
  { section: ".pcrpkey", name: "tpm2-pcr-public-key.pem" },
  { section: ".osrel", name: "os-release" },
] as const;
const FOLDER = ".extra";
const DIRECTORY_MODE = 0o040555;
const FILE_MODE = 0o100444;
const ALIGNMENT = 4;

function padded(bytes: Uint8Array): [bytes: Uint8Array, padding: Uint8Array] {
  return [bytes, new Uint8Array((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)];
}

/** Header of a "newc" cpio member: 13 fields of 8 hex digits and the name (kernel documentation, initramfs buffer format). */
function cpioHeader(inode: number, mode: number, size: number, name: string): Uint8Array[] {
  const [owner, links, time, device, check] = [0, 1, 0, 0, 0];
  const fields = [inode, mode, owner, owner, links, time, size, device, device, device, device, name.length + 1, check];
  const words = fields.map((field) => field.toString(16).padStart(8, "0"));
  return padded(Buffer.from(`070701${words.join("")}${name}\0`, "latin1"));
}

/** The stub writes this one out as a constant, with a capital letter and one NUL more than its length says. */
const TRAILER = Buffer.from(`070701${"0".repeat(32)}00000001${"0".repeat(48)}0000000B00000000TRAILER!!!\0\0\0\0`, "latin1");

/** A cpio archive with one folder and one file in it. */
function archiveOf(name: string, content: Uint8Array): Uint8Array[] {
  return [
    ...cpioHeader(1, DIRECTORY_MODE, 0, FOLDER),
    ...cpioHeader(2, FILE_MODE, content.length, `${FOLDER}/${name}`),
    ...padded(content),
    TRAILER,
  ];
}

export interface InitrdDigests {
  /** Of the section `.initrd` alone. */
  readonly section: Sha256;
  /** Of the initrd as the kernel gets it. */
  readonly whole: Sha256;
}

/**
 * Digest of the initrd as systemd-stub hands it to the kernel, without any credential or extension from the ESP: microcode, the UKI's
 * initrd, and the sections above, each padded to four bytes. The kernel measures it into PCR 9 (drivers/firmware/efi/libstub). Without
 * microcode it begins with the section, so that one pass over the largest part of a UKI gives both digests.
 */
export function initrdDigests(sections: ReadonlyMap<string, Uint8Array>): InitrdDigests {
  const hash = createHash("sha256");
  const add = (parts: readonly Uint8Array[]) => {
    for (const part of parts) hash.update(part);
  };
  const microcode = sections.get(".ucode");
  if (microcode !== undefined) add(padded(microcode));
  const [initrd, padding] = padded(sections.get(".initrd") ?? new Uint8Array());
  add([initrd]);
  const section = microcode === undefined ? (hash.copy().digest("hex") as Sha256) : sha256(initrd);
  add([padding]);
  for (const { section, name } of EXTRA_FILES) {
    const content = sections.get(section);
    if (content !== undefined) add(archiveOf(name, content));
  }
  return { section, whole: hash.digest("hex") as Sha256 };
}

/** Digest of the command line as the kernel measures it into PCR 9, before the initrd: its EFI load options, UTF-16LE with the terminating NUL. */
export function loadOptionsDigest(commandLine: string): Sha256 {
  return sha256(Buffer.from(`${commandLine}\0`, "utf16le"));
}

/** PCR 9 of a kernel that was handed this command line and this initrd. */
export function initrdPcr(commandLine: string, initrd: Sha256): Sha256 {
  return replayPcr([loadOptionsDigest(commandLine), initrd]);
}
