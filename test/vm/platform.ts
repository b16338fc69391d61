import { existsSync } from "node:fs";
import { join } from "node:path";
import { VmError } from "./errors.ts";

/** All that differs between machines of two architectures: names of programs and files, and what QEMU's boards have. */
export interface Platform {
  /** As UEFI writes it in file names. */
  readonly efi: "x64" | "aa64";
  /** Machine of a PE header (PE/COFF, "Machine Types"). */
  readonly peMachine: number;
  /** process.arch of hosts that can virtualise it. */
  readonly hostArchitecture: NodeJS.Architecture;
  readonly qemu: string;
  readonly tcgCpu: string;
  readonly tpmDevice: string;
  readonly displayDevice: string;
  /** Name of the serial console in the guest. */
  readonly console: string;
  board(secureBoot: boolean): readonly string[];
  /** Firmware's code and empty variable store, in the tool root. */
  firmwareCode(secureBoot: boolean): string;
  readonly firmwareVariables: string;
}

/** Variables are safe from the guest's kernel because only system management mode may write to their flash. */
export const X86_64: Platform = {
  efi: "x64",
  peMachine: 0x8664,
  hostArchitecture: "x64",
  qemu: "qemu-system-x86_64",
  tcgCpu: "max",
  tpmDevice: "tpm-crb",
  displayDevice: "VGA",
  console: "ttyS0",
  board: (secureBoot) => [
    ...["-machine", `q35,smm=${secureBoot ? "on" : "off"}`],
    ...(secureBoot ? ["-global", "driver=cfi.pflash01,property=secure,value=on"] : []),
  ],
  firmwareCode: (secureBoot) => `/usr/share/OVMF/OVMF_CODE_4M${secureBoot ? ".secboot" : ""}.fd`,
  firmwareVariables: "/usr/share/OVMF/OVMF_VARS_4M.fd",
};

/**
 * QEMU's "virt" board has no secure world for firmware: Secure Boot is enforced, but a kernel could write the flash that holds its keys.
 * pauth-impdef: pointer authentication with a cipher that costs TCG a tenth of the architected one (QEMU manual, Arm CPU features).
 */
export const AARCH64: Platform = {
  efi: "aa64",
  peMachine: 0xaa64,
  hostArchitecture: "arm64",
  qemu: "qemu-system-aarch64",
  tcgCpu: "max,pauth-impdef=on",
  tpmDevice: "tpm-tis-device",
  displayDevice: "virtio-gpu-pci",
  console: "ttyAMA0",
  board: () => ["-machine", "virt,gic-version=3"],
  firmwareCode: (secureBoot) => `/usr/share/AAVMF/AAVMF_CODE.${secureBoot ? "secboot" : "no-secboot"}.fd`,
  firmwareVariables: "/usr/share/AAVMF/AAVMF_VARS.fd",
};

/** The machines that a tool root can run. @throws VmError CAPABILITY_MISSING when `root` is no tool root */
export function platformOf(root: string): Platform {
  const found = [X86_64, AARCH64].find(({ qemu }) => existsSync(join(root, "usr/bin", qemu)));
  if (found === undefined) throw new VmError("CAPABILITY_MISSING", { expected: "a tool root with QEMU", actual: root });
  return found;
}
