import { type Sha256, sha256 } from "@secai/formats/digest";
import { MeasureError } from "./errors.ts";
import { initrdDigests } from "./initrd.ts";
import { extendPcr, replayPcr } from "./pcr.ts";
import { type PeFile, parsePe, sectionContent } from "./pe.ts";

/**
 * Sections systemd-stub measures into PCR 11, in the order it does (systemd 257, src/fundamental/uki.h). `.pcrsig` is not among them:
 * it signs the result.
 */
const MEASURED = [".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"] as const;
/** Not in PCR 11, but in the initrd. */
const SIGNATURE = ".pcrsig";
/** Without these the image does not boot, or boots with a command line from elsewhere. */
const REQUIRED = [".linux", ".osrel", ".cmdline", ".initrd"] as const;
/** What is measured with these depends on the boot menu or on the hardware, so no single value can be promised. */
const UNPREDICTABLE = new Set([".profile", ".dtbauto", ".hwids", ".efifw"]);

/** What systemd-pcrphase extends into PCR 11, in order (systemd-pcrphase.service(8)). */
export const BOOT_PHASES = ["enter-initrd", "leave-initrd", "sysinit", "ready"] as const;

/** PCR 11 by phase path, as `systemd-measure` names it: "enter-initrd", "enter-initrd:leave-initrd", ... */
export type PhaseValues = Readonly<Record<string, Sha256>>;
/** The path at which a running system stays until it shuts down. */
export const READY_PATH = BOOT_PHASES.join(":");

export interface Uki {
  readonly file: PeFile;
  /** The embedded kernel command line, without surrounding white space. */
  readonly commandLine: string;
  /** Digests extended into PCR 11 by the stub, in order: for each section its NUL-terminated name, then its content. */
  readonly digests: readonly Sha256[];
  /** Digest of the initrd as the kernel gets it. */
  readonly initrdDigest: Sha256;
}

function sectionsByName(file: PeFile): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const section of file.sections) {
    if (UNPREDICTABLE.has(section.name)) {
      throw new MeasureError("UKI_UNSUPPORTED", { expected: "one profile without hardware selection", actual: section.name });
    }
    if (!(MEASURED as readonly string[]).includes(section.name) && section.name !== SIGNATURE) continue;
    if (found.has(section.name)) throw new MeasureError("UKI_UNSUPPORTED", { expected: `one ${section.name}`, actual: "two" });
    found.set(section.name, sectionContent(file, section));
  }
  return found;
}

function decodeCommandLine(content: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content).replace(/\0+$/, "").trim();
  } catch (cause) {
    throw new MeasureError("UKI_UNSUPPORTED", { expected: "a UTF-8 command line", actual: "other bytes", cause });
  }
}

/** @throws MeasureError PE_MALFORMED, UKI_UNSUPPORTED */
export function parseUki(bytes: Uint8Array): Uki {
  const file = parsePe(bytes);
  const sections = sectionsByName(file);
  for (const name of REQUIRED) {
    if (!sections.has(name)) throw new MeasureError("UKI_UNSUPPORTED", { expected: `a ${name} section`, actual: "none" });
  }
  const initrd = initrdDigests(sections);
  const digests: Sha256[] = [];
  for (const name of MEASURED) {
    const content = sections.get(name);
    if (content !== undefined) digests.push(sha256(`${name}\0`), name === ".initrd" ? initrd.section : sha256(content));
  }
  const commandLine = decodeCommandLine(sections.get(".cmdline") ?? new Uint8Array());
  return { file, commandLine, digests, initrdDigest: initrd.whole };
}

/** PCR 11 at the end of each boot phase. */
export function phaseValues({ digests }: Pick<Uki, "digests">): PhaseValues {
  let value = replayPcr(digests);
  const values: Record<string, Sha256> = {};
  BOOT_PHASES.forEach((phase, index) => {
    value = extendPcr(value, sha256(phase));
    values[BOOT_PHASES.slice(0, index + 1).join(":")] = value;
  });
  return values;
}
