import { expect, test } from "vitest";
import { AARCH64, X86_64 } from "./platform.ts";
import { DEFAULT_SHAPE, type MachineFiles, qemuArguments } from "./qemu.ts";

const files: MachineFiles = { dir: "/r/m", platform: X86_64, agentDisk: "/r/agent.img" };
const line = (shape = DEFAULT_SHAPE, accelerator: "kvm" | "tcg" = "tcg", more: Partial<MachineFiles> = {}): string =>
  qemuArguments(shape, accelerator, { ...files, ...more }).join(" ");

test("the guest's network reaches nothing", () => {
  expect(line()).toMatch(/-netdev user,id=net,restrict=on -device/);
});

test("without Secure Boot there is no SMM, without a TPM no TPM", () => {
  const plain = line({ ...DEFAULT_SHAPE, secureBoot: false, tpm: false });
  expect(plain).toContain("q35,smm=off");
  expect(plain).not.toMatch(/secure,value=on|tpm/);
});

test("with Secure Boot the variable store is writable from SMM only", () => {
  expect(line()).toContain("driver=cfi.pflash01,property=secure,value=on");
});

test("a comma in a value does not end an option", () => {
  expect(line({ ...DEFAULT_SHAPE, oemStrings: ["a=b,c"] })).toContain("type=11,value=a=b,,c");
  expect(line({ ...DEFAULT_SHAPE, peers: [{ port: 80, command: "cat,x" }] })).toContain("guestfwd=tcp:10.0.2.100:80-cmd:cat,,x");
});

test("a continued machine has the very same devices", () => {
  const incoming = qemuArguments(DEFAULT_SHAPE, "tcg", { ...files, incoming: "/r/memory" });
  const fresh = qemuArguments(DEFAULT_SHAPE, "tcg", files);
  expect(incoming.slice(0, fresh.length)).toEqual(fresh);
  expect(incoming.slice(fresh.length)).toEqual(["-incoming", "file:/r/memory"]);
});

test("KVM gets the host's processor, TCG the largest that QEMU has", () => {
  expect(line(DEFAULT_SHAPE, "kvm")).toContain("-accel kvm -cpu host");
  expect(line(DEFAULT_SHAPE, "tcg")).toMatch(/-accel tcg\S* -cpu max/);
});

test("the system disk hangs on the bus that is asked for, and firmware tries it first", () => {
  expect(line()).toContain("-device virtio-blk-pci,drive=disk,bootindex=1,");
  expect(line({ ...DEFAULT_SHAPE, bus: "sata" })).toContain("-device ide-hd,bus=ide.0,drive=disk,bootindex=1,");
  expect(line({ ...DEFAULT_SHAPE, bus: "nvme" })).toContain("-device nvme,drive=disk,bootindex=1,");
});

test("only a disk among further media can be written", () => {
  const drives = [
    { kind: "optical", path: "/r/a.iso" },
    { kind: "stick", path: "/r/b,c" },
    { kind: "disk", path: "/r/d" },
  ] as const;
  const words = line({ ...DEFAULT_SHAPE, drives });
  expect(words).toContain("id=drive0,format=raw,readonly=on,file=/r/a.iso -device ide-cd,bus=ide.1,drive=drive0,bootindex=2");
  expect(words).toContain(
    "id=drive1,format=raw,readonly=on,file=/r/b,,c -device usb-storage,bus=xhci.0,drive=drive1,bootindex=3",
  );
  expect(words).toContain("id=drive2,format=raw,readonly=off,file=/r/d -device virtio-blk-pci,drive=drive2,bootindex=4");
});

test("a board of another architecture has its own firmware, TPM and display, and the same everything else", () => {
  const arm = qemuArguments(DEFAULT_SHAPE, "tcg", { ...files, platform: AARCH64 });
  expect(arm[0]).toBe("qemu-system-aarch64");
  expect(arm.join(" ")).toContain("-machine virt,gic-version=3 -accel tcg,thread=multi,tb-size=512 -cpu max,pauth-impdef=on");
  expect(arm.join(" ")).toContain("readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.secboot.fd");
  expect(arm.join(" ")).toContain("-device tpm-tis-device,tpmdev=tpm");
  const common = new Set(qemuArguments(DEFAULT_SHAPE, "tcg", files));
  const own = arm.filter((word) => !common.has(word));
  expect(own).toHaveLength(6);
});
