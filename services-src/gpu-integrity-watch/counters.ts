import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { FoundDevice } from "@secai/kit/pci-devices";
import { fact, type Machine } from "./machine.ts";
import { type NvidiaGpu, queryNvidia } from "./nvidia-smi.ts";

/** What a card counts of itself. null: it has no such counter, or its driver does not show it. */
export interface Counters {
  /** "0000:01:00.0" or "nvidia 0". */
  readonly device: string;
  readonly eccEnabled: boolean | null;
  readonly corrected: number | null;
  readonly uncorrected: number | null;
  readonly celsius: number | null;
  /** Where the driver says the card is in danger. */
  readonly criticalCelsius: number | null;
  readonly memoryTotal: number | null;
  readonly memoryUsed: number | null;
  /** Memory pages taken out of use because they failed. */
  readonly retired: number | null;
}

/** Where counters come from: NVIDIA's driver shows them through its tool only, the kernel's own drivers through sysfs. */
export async function readCounters(
  machine: Machine,
  devices: readonly FoundDevice[],
  signal: AbortSignal,
): Promise<readonly Counters[]> {
  const bound = devices.filter(({ driver }) => driver !== null);
  const nvidia = bound.some(({ driver }) => driver === "nvidia") ? await queryNvidia(machine, signal) : [];
  const others = bound.filter(({ driver }) => driver !== "nvidia");
  return [...nvidia.map(fromNvidia), ...(await Promise.all(others.map((device) => fromSysfs(machine, device))))];
}

function fromNvidia({ index, totalMib, usedMib, ...rest }: NvidiaGpu): Counters {
  return { ...rest, device: `nvidia ${index}`, criticalCelsius: null, memoryTotal: totalMib, memoryUsed: usedMib };
}

async function fromSysfs(machine: Machine, { address }: FoundDevice): Promise<Counters> {
  const folder = `sys/bus/pci/devices/${address}`;
  const ras = await readRas(machine, `${folder}/ras`);
  const hwmon = await readHwmon(machine, `${folder}/hwmon`);
  return {
    device: address,
    ...ras,
    ...hwmon,
    memoryTotal: count(await fact(machine, `${folder}/mem_info_vram_total`)),
    memoryUsed: count(await fact(machine, `${folder}/mem_info_vram_used`)),
  };
}

/** amdgpu: one file a block of the chip, "ue: 0" and "ce: 0"; the memory controller's is umc_err_count (kernel, gpu/amdgpu/ras). */
async function readRas(machine: Machine, folder: string) {
  const text = await fact(machine, `${folder}/umc_err_count`);
  const [, uncorrected, corrected] = /^ue: (\d{1,15})\nce: (\d{1,15})$/.exec(text ?? "") ?? [];
  const bad = await fact(machine, `${folder}/gpu_vram_bad_pages`);
  const known = uncorrected !== undefined && corrected !== undefined;
  return {
    eccEnabled: known ? true : null,
    uncorrected: known ? Number(uncorrected) : null,
    corrected: known ? Number(corrected) : null,
    retired: bad === undefined ? null : bad.split("\n").filter((line) => /: R$/.test(line.trim())).length,
  };
}

/** Hottest sensor of the card, and its lowest critical limit, in degrees (sysfs has thousandths). */
async function readHwmon(machine: Machine, folder: string) {
  const monitors = await readdir(join(machine.root, folder)).catch(() => []);
  const names = monitors.filter((name) => /^hwmon\d{1,4}$/.test(name));
  const temperatures: number[] = [];
  const limits: number[] = [];
  for (const name of names)
    for (let sensor = 1; sensor <= 8; sensor += 1) {
      const now = count(await fact(machine, `${folder}/${name}/temp${sensor}_input`));
      const limit = count(await fact(machine, `${folder}/${name}/temp${sensor}_crit`));
      if (now !== null) temperatures.push(now / 1000);
      if (limit !== null && limit > 0) limits.push(limit / 1000);
    }
  return {
    celsius: temperatures.length === 0 ? null : Math.max(...temperatures),
    criticalCelsius: limits.length === 0 ? null : Math.min(...limits),
  };
}

const count = (text: string | undefined): number | null =>
  text !== undefined && /^(0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : null;
