import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Extensions, extensionsBytes } from "@secai/formats/extensions";
import { type Backend, type BackendEntry, type GpuBackends, gpuBackendsBytes } from "@secai/formats/gpu-backends";
import { type Probe, type ProbeReport, probeReportBytes } from "@secai/formats/gpu-probe";

// Machines as their kernels and images show them, made of files.

const HASH = "0123456789abcdef".repeat(4);
const libraries: Readonly<Record<Backend, string>> = {
  cpu: "libggml-cpu-x64.so",
  cuda: "libggml-cuda.so",
  rocm: "libggml-hip.so",
  vulkan: "libggml-vulkan.so",
};

export function backendEntry(name: Backend): BackendEntry {
  const folder = name === "cpu" ? "runtime" : `backends/${name}`;
  return {
    name,
    version: "0.25.1",
    place: name === "cpu" ? "root" : `extension:${name}`,
    files: [{ path: `/usr/lib/secure-ai/${folder}/${libraries[name]}`, sha256: HASH, size: 1 }],
    source: { kind: "compiled", lock: [`example ${name}`] },
    architectures: [],
    licences: ["MIT"],
    libraries: [],
  };
}

export const declaredBackends = (...names: readonly Backend[]): GpuBackends => ({
  schema: 1,
  runtime: {
    package: "@example/runtime",
    version: "1.0.0",
    llamaCpp: "v0.5.0",
    ggml: "0.25.1",
    files: [{ path: "/usr/lib/secure-ai/runtime/libggml-base.so", sha256: "0".repeat(64), size: 1 }],
    licences: ["MIT"],
  },
  backends: names.map(backendEntry),
});

const vendors: Readonly<Record<string, readonly string[]>> = { cuda: ["10de"], rocm: ["1002"], vulkan: [] };

export const declaredExtensions = (...names: readonly string[]): Extensions => ({
  schema: 1,
  extensions: names.map((name) => ({
    name,
    title: name,
    partition: `ext_${name}_0.1.0`,
    rootHash: HASH,
    dataBytes: 4096,
    hashOffset: 4096,
    hardware: { pciClasses: ["03"], pciVendors: vendors[name] ?? [] },
  })),
});

export const ran = (backend: Backend, tokens: readonly number[], device: string, software = false): Probe => ({
  ...{
    backend,
    outcome: "ran",
    reason: `generated ${tokens.length} tokens`,
    devices: backend === "cpu" ? [] : [device],
    software,
  },
  ...{ device, tokens, loadMs: 1, ms: 1, deviceBytes: backend === "cpu" ? 0 : 1000 },
});

export const reportOf = (...probes: readonly Probe[]): ProbeReport => ({ schema: 1, model: { sha256: HASH }, probes });

/** A device of the bus: its ids, its driver, files of its folder, and device nodes. */
export interface FakeDevice {
  readonly address: string;
  readonly class: string;
  readonly ids: readonly [vendor: string, device: string];
  readonly driver?: string;
  readonly drm?: readonly string[];
}

export interface FakeMachine {
  readonly devices?: readonly FakeDevice[];
  /** Version of a driver's module, by name. */
  readonly modules?: Readonly<Record<string, string>>;
  readonly merged?: readonly string[];
  readonly declared?: GpuBackends;
  readonly extensions?: Extensions;
  readonly report?: ProbeReport;
  readonly arguments?: string;
  /** Further files by path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

export const rtx: FakeDevice = {
  address: "0000:01:00.0",
  class: "0x030000",
  ids: ["0x10de", "0x2684"],
  driver: "nvidia",
  drm: ["card0", "renderD128"],
};
export const radeon: FakeDevice = {
  address: "0000:03:00.0",
  class: "0x030000",
  ids: ["0x1002", "0x744c"],
  driver: "amdgpu",
  drm: ["card1", "renderD129"],
};
export const stdVga: FakeDevice = {
  address: "0000:00:01.0",
  class: "0x030000",
  ids: ["0x1234", "0x1111"],
  driver: "bochs-drm",
  drm: ["card0"],
};
export const network: FakeDevice = { address: "0000:00:02.0", class: "0x020000", ids: ["0x8086", "0x10d3"], driver: "e1000e" };

/** Writes a machine below a new folder. */
export function fakeMachine(machine: FakeMachine): { readonly root: string; readonly remove: () => void } {
  const root = mkdtempSync(join(tmpdir(), "secai-gpu-machine-"));
  const put = (path: string, content: string | Uint8Array) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  };
  put("proc/cmdline", `roothash=x ${machine.arguments ?? ""}\n`);
  put("proc/sys/kernel/osrelease", "6.12.107+deb13-amd64\n");
  mkdirSync(join(root, "sys/bus/pci/devices"), { recursive: true });
  mkdirSync(join(root, "var/lib/secure-ai/state"), { recursive: true });
  for (const device of machine.devices ?? []) putDevice(root, put, device);
  for (const [name, version] of Object.entries(machine.modules ?? {})) put(`sys/module/${name}/version`, `${version}\n`);
  for (const name of machine.merged ?? []) put(`usr/lib/extension-release.d/extension-release.${name}`, "ID=x\n");
  if (machine.declared !== undefined) put("usr/lib/secure-ai/gpu-backends.json", gpuBackendsBytes(machine.declared));
  if (machine.extensions !== undefined) put("usr/lib/secure-ai/extensions.json", extensionsBytes(machine.extensions));
  if (machine.report !== undefined) put("run/secure-ai-gpu-probe/probes.json", probeReportBytes(machine.report));
  for (const [path, content] of Object.entries(machine.files ?? {})) put(path, content);
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) };
}

function putDevice(root: string, put: (path: string, content: string) => void, device: FakeDevice): void {
  const folder = `sys/bus/pci/devices/${device.address}`;
  put(`${folder}/class`, `${device.class}\n`);
  put(`${folder}/vendor`, `${device.ids[0]}\n`);
  put(`${folder}/device`, `${device.ids[1]}\n`);
  for (const name of device.drm ?? []) {
    put(`${folder}/drm/${name}/dev`, "226:0\n");
    put(`dev/dri/${name}`, "");
  }
  if (device.driver === undefined) return;
  mkdirSync(join(root, "sys/bus/pci/drivers", device.driver), { recursive: true });
  symlinkSync(`../../drivers/${device.driver}`, join(root, folder, "driver"));
}
