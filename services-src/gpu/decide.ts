import { isSameJson } from "@secai/formats/canonical-json";
import { type Extensions, isHardwareFor } from "@secai/formats/extensions";
import { BACKENDS, type Backend, type BackendEntry, extensionOf, type GpuBackends } from "@secai/formats/gpu-backends";
import { type Probe, type ProbeReport, printableReason } from "@secai/formats/gpu-probe";
import type { BackendState, GpuState, PciDevice } from "@secai/formats/gpu-state";
import { type FoundDevice, isGpuMaker } from "./sysfs.ts";

/** What was found out about this machine; the decision is made of nothing else. */
export interface Facts {
  readonly devices: readonly FoundDevice[];
  /** undefined: the image declares none. */
  readonly declared: GpuBackends | undefined;
  readonly extensions: Extensions | undefined;
  /** Extensions that are laid over the root. */
  readonly merged: ReadonlySet<string>;
  readonly report: ProbeReport | undefined;
  /** As systemd-detect-virt names it; "none" is bare metal, "unknown" that it could not say. */
  readonly hypervisor: string;
  readonly enabledInVm: boolean;
  readonly cpuOnly: boolean;
  /** Something about the backends could not be read: then nothing but the CPU is safe to use. */
  readonly unreadable: string | undefined;
}

export type Decision = Pick<GpuState, "backend" | "name" | "gpu_layers" | "vm" | "devices" | "backends" | "forced_reason">;

/** Backends that are for a maker's devices, the best first. */
const FOR_VENDOR: Readonly<Record<string, readonly Backend[]>> = {
  "10de": ["cuda", "vulkan"],
  "1002": ["rocm", "vulkan"],
  "8086": ["vulkan"],
  // A virtual GPU hands Vulkan on to one of the host's.
  "1af4": ["vulkan"],
};

const isFor = (backend: Backend, { vendor }: Pick<FoundDevice, "vendor">): boolean =>
  FOR_VENDOR[vendor]?.includes(backend) === true;

/** Devices that a backend could compute on: a driver is bound to them, and they are of a maker whom it is for. */
export const devicesFor = <D extends FoundDevice>(backend: Backend, devices: readonly D[]): readonly D[] =>
  devices.filter((device) => device.driver !== null && isFor(backend, device));

/** What this machine computes with. */
export function decide(facts: Facts): Decision {
  const { declared, devices, hypervisor, enabledInVm } = facts;
  const names = declared?.backends.map(({ name }) => name) ?? [];
  const backends = (declared?.backends ?? []).map((entry) => stateOf(entry, facts));
  const isVm = hypervisor !== "none";
  const vm = {
    is_vm: isVm,
    hypervisor,
    gpu_passthrough: isVm && devices.some(({ vendor }) => isGpuMaker(vendor)),
    gpu_enabled: isVm && enabledInVm,
  };
  const common = { vm, devices: devices.map((device) => withBackend(device, names)), backends };
  const forced = forcedReason(facts, vm);
  const chosen = forced === undefined ? BACKENDS.find((name) => name !== "cpu" && runs(backends, name)) : undefined;
  if (chosen === undefined)
    return { ...common, backend: "cpu", name: "CPU", gpu_layers: 0, ...(forced !== undefined && { forced_reason: forced }) };
  const device = facts.report?.probes.find(({ backend }) => backend === chosen)?.device;
  return { ...common, backend: chosen, name: device ?? chosen, gpu_layers: -1 };
}

const runs = (states: readonly BackendState[], backend: Backend): boolean =>
  states.some(({ name, state }) => name === backend && state === "runs");

function forcedReason({ cpuOnly, unreadable, hypervisor }: Facts, vm: Decision["vm"]): GpuState["forced_reason"] {
  if (cpuOnly || unreadable !== undefined || hypervisor === "unknown") return "operator_or_detection_fail_safe";
  return vm.is_vm && !(vm.gpu_passthrough && vm.gpu_enabled) ? "vm_gpu_disabled" : undefined;
}

function withBackend(device: FoundDevice, declared: readonly Backend[]): PciDevice {
  return { ...device, backend: FOR_VENDOR[device.vendor]?.find((name) => declared.includes(name)) ?? null };
}

function stateOf(entry: BackendEntry, facts: Facts): BackendState {
  const extension = extensionOf(entry) ?? null;
  const common = { name: entry.name, extension };
  if (extension !== null && !facts.merged.has(extension)) return { ...common, ...unmerged(extension, facts) };
  const probe = facts.report?.probes.find(({ backend }) => backend === entry.name);
  if (probe === undefined) return { ...common, state: "not probed", reason: "no probe reported on it" };
  return { ...common, ...probed(probe, facts) };
}

type Finding = Pick<BackendState, "state" | "reason">;

function unmerged(extension: string, { extensions, devices }: Facts): Finding {
  const hardware = extensions?.extensions.find(({ name }) => name === extension)?.hardware;
  if (hardware === undefined) return { state: "not merged", reason: `the image describes no extension ${extension}` };
  const device = devices.find(({ class: pciClass, vendor }) => isHardwareFor(hardware, pciClass, vendor));
  if (device !== undefined)
    return {
      state: "not merged",
      reason: printableReason(`extension ${extension} is not laid over the root, although ${device.name} is here`),
    };
  const vendors = hardware.pciVendors.length === 0 ? "any vendor" : `vendor ${hardware.pciVendors.join(" or ")}`;
  const classes = hardware.pciClasses.join(" or ");
  return {
    state: "no hardware",
    reason: printableReason(`extension ${extension} is for PCI devices of class ${classes} of ${vendors}: none is here`),
  };
}

function probed(probe: Probe, { report, devices }: Facts): Finding {
  switch (probe.outcome) {
    case "ran":
      return ran(probe, report, devices);
    case "no device":
      return { state: "loads, no device", reason: probe.reason };
    case "not loaded":
      return { state: probe.missing === undefined ? "failed" : `missing library ${probe.missing}`, reason: probe.reason };
    case "failed":
      return { state: "failed", reason: probe.reason };
  }
}

/** To have computed is not enough: right, and on a GPU that the bus knows. */
function ran(
  { backend, device, tokens, software, reason }: Probe,
  report: ProbeReport | undefined,
  devices: readonly FoundDevice[],
): Finding {
  if (backend === "cpu") return { state: "runs", reason };
  if (software) return { state: "loads, no device", reason: printableReason(`only a software renderer: ${device ?? "-"}`) };
  if (devicesFor(backend, devices).length === 0)
    return {
      state: "loads, no device",
      reason: printableReason(`it lists ${device ?? "-"}, but no device with a driver is on the bus that this could be`),
    };
  const cpu = report?.probes.find((probe) => probe.backend === "cpu" && probe.outcome === "ran");
  if (cpu === undefined) return { state: "failed", reason: "the CPU did not run, so there is nothing to compare with" };
  if (!isSameJson(cpu.tokens, tokens))
    return { state: "failed", reason: printableReason(`${device ?? "-"} computes other tokens than the CPU`) };
  return { state: "runs", reason: printableReason(`the same tokens as the CPU, on ${device ?? "-"}`) };
}
