import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parsePe, sectionContent } from "../../attest/measure/pe.ts";
import { signPe, type TestKey } from "./addon.ts";
import { VmError } from "./errors.ts";
import type { Tools } from "./tools.ts";

const STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/** What a rebuilt kernel image has instead of the release's. */
export interface UkiChange {
  /** The new kernel command line, made from the old one. */
  readonly commandLine?: (old: string) => string;
  readonly osRelease?: (old: string) => string;
  /** Takes the old signature of the PCR policy along, makes a new one with a key pair, or has none. */
  readonly pcrPolicy: "stale" | "none" | { readonly privateKey: string; readonly publicKey: string };
}

/** Sections of the release's UKI that a rebuilt one takes over (UAPI UKI specification). */
const FILES = { ".linux": "linux", ".initrd": "initrd", ".uname": "uname", ".pcrsig": "pcrsig", ".pcrpkey": "pcrpkey" } as const;

/**
 * Builds a kernel image from the parts of another and signs it for Secure Boot; `key` must be one that test firmware enrols if it is
 * to boot. @throws VmError HARNESS_TOOL_FAILED, HARNESS_PROTOCOL, MeasureError PE_MALFORMED
 */
export async function rebuildUki(tools: Tools, dir: string, uki: Uint8Array, change: UkiChange, key: TestKey): Promise<string> {
  const file = parsePe(uki);
  const content = (name: string): Uint8Array => {
    const section = file.sections.find((candidate) => candidate.name === name);
    if (section === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: `${name} in the UKI`, actual: "none" });
    return sectionContent(file, section);
  };
  const text = (name: string): string => Buffer.from(content(name)).toString("utf8").replace(/\0+$/, "");
  for (const [section, name] of Object.entries(FILES)) await writeFile(join(dir, name), content(section));
  await writeFile(join(dir, "cmdline"), (change.commandLine ?? ((old) => old))(text(".cmdline")));
  await writeFile(join(dir, "osrel"), (change.osRelease ?? ((old) => old))(text(".osrel")));
  const unsigned = join(dir, "uki.unsigned.efi");
  await tools.run(
    [
      ...["ukify", "build", `--linux=${join(dir, "linux")}`, `--initrd=${join(dir, "initrd")}`, `--uname=${text(".uname")}`],
      ...[`--cmdline=@${join(dir, "cmdline")}`, `--os-release=@${join(dir, "osrel")}`, `--stub=${STUB}`, `--output=${unsigned}`],
      ...policyArguments(change.pcrPolicy, dir),
    ],
    { timeoutMs: 120_000 },
  );
  const signed = join(dir, "uki.efi");
  await signPe(tools, unsigned, signed, key);
  return signed;
}

function policyArguments(policy: UkiChange["pcrPolicy"], dir: string): string[] {
  if (policy === "none") return [];
  if (policy === "stale") return [`--section=.pcrsig:@${join(dir, "pcrsig")}`, `--section=.pcrpkey:@${join(dir, "pcrpkey")}`];
  const phases = [
    "enter-initrd",
    "enter-initrd:leave-initrd",
    "enter-initrd:leave-initrd:sysinit",
    "enter-initrd:leave-initrd:sysinit:ready",
  ];
  return [
    ...[`--pcr-private-key=${policy.privateKey}`, `--pcr-public-key=${policy.publicKey}`, "--pcr-banks=sha256"],
    ...[`--phases=${phases.join(" ")}`],
  ];
}

/** The same image without its Authenticode signature. @throws VmError HARNESS_TOOL_FAILED */
export async function unsignPe(tools: Tools, input: string, output: string): Promise<void> {
  await tools.run(["osslsigncode", "remove-signature", "-in", input, "-out", output]);
}
