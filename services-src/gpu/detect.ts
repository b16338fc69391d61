import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Extensions, MAX_EXTENSIONS_BYTES, parseExtensions } from "@secai/formats/extensions";
import { MAX_PROBE_BYTES, type ProbeReport, parseProbeReport } from "@secai/formats/gpu-probe";
import type { GpuState } from "@secai/formats/gpu-state";
import { type PublicKey, parsePublicKey } from "@secai/formats/keys";
import { exists, readBounded } from "@secai/kit/files";
import { decide, type Facts } from "./decide.ts";
import { type Candidate, qualificationOf } from "./evidence.ts";
import { loadDeclared } from "./layout.ts";
import { kernelArgument, mergedExtensions } from "./merged.ts";
import { readPciDevices } from "./sysfs.ts";

/** Whom the sealed root trusts to qualify GPUs: public keys in PEM. */
const TRUST_FOLDER = "/usr/lib/secure-ai/trust";
/** Statements of the image's maker, and those that were given to this machine. */
const EVIDENCE_FOLDERS = ["/usr/lib/secure-ai/gpu-qualifications", "/var/lib/secure-ai/gpu-qualifications"];
const EXTENSIONS_PATH = "/usr/lib/secure-ai/extensions.json";
/** Where secure-ai-gpu-probe.service leaves its report. */
export const REPORT_PATH = "/run/secure-ai-gpu-probe/probes.json";
/** "enabled" and a newline, by root: GPUs may be used although this is a virtual machine. */
const VM_SWITCH_PATH = "/var/lib/secure-ai/state/gpu-in-vm";
/** Kernel argument: "cpu" forbids GPUs, "vm" allows them in a virtual machine. Measured, as every argument is. */
const KERNEL_ARGUMENT = "secai.gpu";

const MAX_FILES = 64;
const MAX_STATEMENT_BYTES = 1 << 20;
const MAX_KEY_BYTES = 4096;

/** What a test replaces. */
export interface World {
  /** "/" on the machine. */
  readonly root: string;
  readonly now: () => Date;
  /** The name of the hypervisor; "none" on bare metal. May reject. */
  readonly hypervisor: () => Promise<string>;
}

/** What this machine computes with, from what the kernel, the sealed root and the probe say. Never throws for what they say. */
export async function detect({ root, now, hypervisor }: World): Promise<GpuState> {
  const unreadable: string[] = [];
  const reading = <T>(what: Promise<T | undefined>): Promise<T | undefined> =>
    what.catch((error: Error) => {
      unreadable.push(error.message);
      return undefined;
    });
  const declared = await reading(loadDeclared({ roots: [root] }));
  const facts: Omit<Facts, "unreadable"> = {
    devices: readPciDevices(root),
    declared: declared?.backends,
    extensions: await reading(loadExtensions(root)),
    merged: mergedExtensions(root),
    report: await reading(loadReport(root)),
    hypervisor: await hypervisor().catch(() => "unknown"),
    ...switches(root),
  };
  const decision = decide({ ...facts, unreadable: unreadable[0] });
  return {
    schema_version: 1,
    detected_at: `${now().toISOString().slice(0, 19)}Z`,
    ...decision,
    ...qualificationOf(decision, declared?.bytes, await candidates(root), await trustedKeys(root)),
  };
}

function switches(root: string): Pick<Facts, "enabledInVm" | "cpuOnly"> {
  const argument = kernelArgument(root, KERNEL_ARGUMENT);
  return { cpuOnly: argument === "cpu", enabledInVm: argument === "vm" || isSwitchedOn(join(root, VM_SWITCH_PATH)) };
}

function isSwitchedOn(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  const isOwn = stat?.isFile() === true && stat.uid === process.geteuid?.() && stat.nlink === 1 && (stat.mode & 0o022) === 0;
  return isOwn && stat.size === 8 && readFileSync(path, "latin1") === "enabled\n";
}

async function loadExtensions(root: string): Promise<Extensions | undefined> {
  const path = join(root, EXTENSIONS_PATH);
  return (await exists(path)) ? parseExtensions(await readBounded(path, MAX_EXTENSIONS_BYTES)) : undefined;
}

/** No report is no mistake: an image without backends has nothing to probe. */
async function loadReport(root: string): Promise<ProbeReport | undefined> {
  const path = join(root, REPORT_PATH);
  return (await exists(path)) ? parseProbeReport(await readBounded(path, MAX_PROBE_BYTES)) : undefined;
}

async function candidates(root: string): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const folder of EVIDENCE_FOLDERS)
    for (const { name, bytes } of await filesOf(join(root, folder), ".sigstore.json", MAX_STATEMENT_BYTES))
      found.push({ name, bytes });
  return found;
}

/** What is no key vouches for nothing. */
async function trustedKeys(root: string): Promise<readonly PublicKey[]> {
  const files = await filesOf(join(root, TRUST_FOLDER), ".pub", MAX_KEY_BYTES);
  return files.flatMap(({ bytes }) => {
    try {
      return [parsePublicKey(bytes)];
    } catch {
      return [];
    }
  });
}

/** Plain files of a folder by their ending, sorted; what cannot be read as one is left out. */
async function filesOf(folder: string, suffix: string, maxBytes: number): Promise<readonly Candidate[]> {
  const names = (await exists(folder)) ? readdirSync(folder).filter((name) => name.endsWith(suffix)) : [];
  const found: Candidate[] = [];
  for (const name of names.sort().slice(0, MAX_FILES)) {
    const bytes = await readBounded(join(folder, name), maxBytes).catch(() => undefined);
    if (bytes !== undefined) found.push({ name, bytes });
  }
  return found;
}
