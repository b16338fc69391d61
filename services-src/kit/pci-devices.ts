import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { printableName } from "@secai/formats/gpu-probe";
import type { PciDevice } from "@secai/formats/gpu-state";

/** A device of the bus, before anybody says which backend is for it. */
export type FoundDevice = Omit<PciDevice, "backend">;

/** Base classes of PCI devices that compute or draw: display controllers and processing accelerators. */
const GPU_CLASSES = ["03", "12"];
const MAX_DEVICES = 64;
const MAX_FACT_BYTES = 4096;

const VENDORS: Readonly<Record<string, string>> = {
  "10de": "NVIDIA",
  "1002": "AMD",
  "8086": "Intel",
  "1af4": "virtio",
  "1234": "QEMU",
  "15ad": "VMware",
  "1b36": "Red Hat",
  "80ee": "VirtualBox",
  "1414": "Microsoft",
  "1013": "Cirrus",
  "1a03": "ASPEED",
  "102b": "Matrox",
};

/** Makers of devices that compute; the others' only draw. */
const GPU_MAKERS = ["10de", "1002", "8086"];
export const isGpuMaker = (vendor: string): boolean => GPU_MAKERS.includes(vendor);

/** A short file of the kernel's, or undefined: sysfs has other files for each driver. */
function fact(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1").slice(0, MAX_FACT_BYTES).trim();
  } catch {
    return undefined;
  }
}

const hex = (text: string | undefined, digits: number): string | undefined => {
  const [, found] = /^0x([0-9a-f]+)$/.exec(text ?? "") ?? [];
  return found?.length === digits ? found : undefined;
};

/** Graphics and compute devices of the PCI bus, in the order of their addresses. `root`: "/", or what stands for it in a test. */
export function readPciDevices(root: string): readonly FoundDevice[] {
  const bus = join(root, "sys/bus/pci/devices");
  if (!existsSync(bus)) return [];
  return readdirSync(bus)
    .filter((address) => /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(address))
    .sort()
    .flatMap((address) => readDevice(root, bus, address))
    .slice(0, MAX_DEVICES);
}

function readDevice(root: string, bus: string, address: string): readonly FoundDevice[] {
  const folder = join(bus, address);
  const pciClass = hex(fact(join(folder, "class")), 6);
  const vendor = hex(fact(join(folder, "vendor")), 4);
  const device = hex(fact(join(folder, "device")), 4);
  if (pciClass === undefined || vendor === undefined || device === undefined) return [];
  if (!GPU_CLASSES.some((base) => pciClass.startsWith(base))) return [];
  const driver = driverOf(folder);
  const name = nameOf(root, folder, address, vendor, device);
  const driverVersion = driver === null ? null : versionOf(root, driver);
  return [
    {
      address,
      class: pciClass,
      vendor,
      device,
      name,
      driver,
      driver_version: driverVersion,
      nodes: nodesOf(root, folder, driver),
    },
  ];
}

/** The kernel links a device to its driver; what else lies there is none. */
function driverOf(folder: string): string | null {
  try {
    const name = basename(readlinkSync(join(folder, "driver")));
    return /^[A-Za-z0-9_-]{1,64}$/.test(name) ? name : null;
  } catch {
    return null;
  }
}

/** Drivers from outside the kernel have a version of their own; those of the kernel have the kernel's. */
function versionOf(root: string, driver: string): string | null {
  const own = fact(join(root, "sys/module", driver, "version"));
  const kernel = fact(join(root, "proc/sys/kernel/osrelease"));
  const version = own ?? (kernel === undefined ? undefined : `kernel ${kernel}`);
  return version === undefined ? null : printableName(version);
}

function nameOf(root: string, folder: string, address: string, vendor: string, device: string): string {
  const information = fact(join(root, "proc/driver/nvidia/gpus", address, "information"));
  const [, model] = /^Model:\s+(.+)$/m.exec(information ?? "") ?? [];
  const product = model ?? fact(join(folder, "product_name"));
  const ids = `${vendor}:${device}`;
  return printableName(product === undefined || product === "" ? `${VENDORS[vendor] ?? "device of vendor"} ${ids}` : product);
}

function nodesOf(root: string, folder: string, driver: string | null): readonly string[] {
  const drm = join(folder, "drm");
  const own = existsSync(drm)
    ? readdirSync(drm)
        .filter((name) => /^(card|renderD)\d{1,4}$/.test(name))
        .map((name) => `/dev/dri/${name}`)
    : [];
  const shared = driver === "nvidia" ? nvidiaNodes(root) : driver === "amdgpu" ? ["/dev/kfd"] : [];
  return [...own, ...shared].filter((path) => isNode(join(root, path))).sort();
}

const nvidiaNodes = (root: string): readonly string[] =>
  existsSync(join(root, "dev"))
    ? readdirSync(join(root, "dev"))
        .filter((name) => /^nvidia(\d{1,3}|ctl|-uvm)$/.test(name))
        .map((name) => `/dev/${name}`)
    : [];

/** Anything but a folder or a link, so that a test can use plain files. */
function isNode(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && !stat.isDirectory() && !stat.isSymbolicLink();
}
