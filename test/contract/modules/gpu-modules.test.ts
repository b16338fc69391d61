import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { top } from "../../../scripts/house/tree.ts";

const program = join(top, "image/debian-gpu/usr/libexec/secure-ai/gpu-modules");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secai-gpu-modules-"));
  for (const name of ["sys/bus/pci/devices", "proc/driver", "bin"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(
    join(folder, "proc/devices"),
    "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n508 nvidia-uvm\n\nBlock devices:\n  8 sd\n",
  );
  for (const name of ["modprobe", "mknod", "chown"]) fake(name, "");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A program that writes down how it was called, and then does what `script` says. */
function fake(name: string, script: string): void {
  writeFileSync(join(folder, "bin", name), `#!/bin/sh\necho "${name} $*" >>/run/calls\n${script}\n`);
  chmodSync(join(folder, "bin", name), 0o755);
}

function device(address: string, vendor: string, pciClass: string): void {
  mkdirSync(join(folder, "sys/bus/pci/devices", address));
  writeFileSync(join(folder, "sys/bus/pci/devices", address, "vendor"), `0x${vendor}\n`);
  writeFileSync(join(folder, "sys/bus/pci/devices", address, "class"), `0x${pciClass}\n`);
}

/** As NVIDIA's driver says it once it has the device. */
function nvidiaMinor(address: string, minor: number): void {
  mkdirSync(join(folder, "proc/driver/nvidia/gpus", address), { recursive: true });
  writeFileSync(
    join(folder, "proc/driver/nvidia/gpus", address, "information"),
    `Model: \t\t Tesla\nBus Location: \t 0000:${address}\nDevice Minor: \t ${minor}\nGPU Excluded:\t No\n`,
  );
}

interface Ended {
  readonly status: number | null;
  readonly stderr: string;
  readonly calls: readonly string[];
}

/** Runs the program where the bus and the kernel's lists are the folder's. */
function run(): Ended {
  const binds = ["sys", "proc"].flatMap((name) => ["--ro-bind", join(folder, name), `/${name}`]);
  const argv = ["--ro-bind", "/", "/", "--tmpfs", "/dev", "--bind", folder, "/run", ...binds, "--", "/bin/sh", program];
  const { status, stderr } = spawnSync("bwrap", argv, { encoding: "utf8", env: { PATH: "/run/bin:/usr/bin:/bin" } });
  const calls = join(folder, "calls");
  return { status, stderr, calls: existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : [] };
}

const nothing: readonly { readonly name: string; readonly devices: readonly (readonly [string, string])[] }[] = [
  { name: "an empty bus", devices: [] },
  { name: "a virtual display", devices: [["1234", "030000"]] },
  {
    name: "the sound function of a GPU",
    devices: [
      ["10de", "040300"],
      ["1002", "040300"],
    ],
  },
  {
    name: "a network card and a bridge of a GPU's maker",
    devices: [
      ["8086", "020000"],
      ["8086", "060400"],
    ],
  },
  { name: "a class that only holds the digits", devices: [["10de", "000300"]] },
  { name: "a vendor that only starts the same", devices: [["10de1", "030000"]] },
];
for (const { name, devices } of nothing) {
  test(`${name} loads no driver`, () => {
    for (const [index, [vendor, pciClass]] of devices.entries()) device(`0000:00:0${index}.0`, vendor, pciClass);
    expect(run()).toEqual({ status: 0, stderr: "", calls: [] });
  });
}

const drivers: readonly {
  readonly name: string;
  readonly vendor: string;
  readonly class: string;
  readonly calls: readonly string[];
}[] = [
  { name: "a graphics card of AMD", vendor: "1002", class: "030000", calls: ["modprobe -- amdgpu"] },
  { name: "an accelerator of AMD", vendor: "1002", class: "120000", calls: ["modprobe -- amdgpu"] },
  { name: "a display controller of Intel", vendor: "8086", class: "038000", calls: ["modprobe -- i915", "modprobe -- xe"] },
];
for (const { name, vendor, class: pciClass, calls } of drivers) {
  test(`${name} gets its driver, once`, () => {
    device("0000:03:00.0", vendor, pciClass);
    device("0000:04:00.0", vendor, pciClass);
    expect(run()).toEqual({ status: 0, stderr: "", calls });
  });
}

test("NVIDIA's driver comes before UVM, and every device gets a node for the group render alone", () => {
  device("0000:01:00.0", "10de", "030200");
  nvidiaMinor("0000:01:00.0", 0);
  nvidiaMinor("0000:02:00.0", 11);
  const node = (path: string, major: number, minor: number) => [
    `mknod -m 0660 -- ${path} c ${major} ${minor}`,
    `chown root:render -- ${path}`,
  ];
  expect(run()).toEqual({
    status: 0,
    stderr: "",
    calls: [
      ...["modprobe -- nvidia", "modprobe -- nvidia-uvm"],
      ...node("/dev/nvidiactl", 195, 255),
      ...node("/dev/nvidia0", 195, 0),
      ...node("/dev/nvidia11", 195, 11),
      ...node("/dev/nvidia-uvm", 508, 0),
    ],
  });
});

test("a driver that does not load is named, leaves no node behind, and keeps no other from loading", () => {
  fake("modprobe", '[ "$2" != nvidia ] && [ "$2" != amdgpu ]');
  for (const [address, vendor] of [
    ["0000:01:00.0", "10de"],
    ["0000:02:00.0", "1002"],
    ["0000:03:00.0", "8086"],
  ] as const)
    device(address, vendor, "030000");
  const { status, stderr, calls } = run();
  expect(status).toBe(0);
  expect(stderr).toMatch(/amdgpu does not load/);
  expect(stderr).toMatch(/nvidia does not load/);
  expect(calls).toEqual(["modprobe -- amdgpu", "modprobe -- i915", "modprobe -- xe", "modprobe -- nvidia"]);
});

test("a node that cannot be made is given to nobody", () => {
  fake("mknod", "exit 1");
  device("0000:01:00.0", "10de", "030000");
  nvidiaMinor("0000:01:00.0", 0);
  const { status, calls } = run();
  expect(status).toBe(0);
  expect(calls.filter((call) => call.startsWith("chown"))).toEqual([]);
});
