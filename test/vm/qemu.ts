import type { Platform } from "./platform.ts";

export type Accelerator = "kvm" | "tcg";

/** What kind of machine: the guest can see all of this, and a fork needs exactly the shape it was frozen with. */
export interface MachineShape {
  readonly cpus: number;
  readonly memoryMib: number;
  readonly secureBoot: boolean;
  readonly tpm: boolean;
  /** A graphics card: what the extensions for display controllers are merged for. */
  readonly display: boolean;
  /** Where the real-time clock starts: "utc" for now, or a time like "2030-01-31T12:00:00". */
  readonly clock: string;
  /** Answers TCP connections of the guest to 10.0.2.100:PORT with a listener of the host; nothing else is reachable. */
  readonly peers: readonly GuestPeer[];
  /** SMBIOS type 11 strings, by which a hypervisor hands a guest credentials and kernel options (systemd.system-credentials(7)). */
  readonly oemStrings: readonly string[];
  /** What the system disk hangs on. */
  readonly bus: "virtio" | "sata" | "nvme";
  /** Further media, which firmware tries after the system disk, in this order. */
  readonly drives: readonly Drive[];
}

export interface Drive {
  readonly kind: "optical" | "stick" | "disk";
  /** A raw image; only a disk's is writable. */
  readonly path: string;
}

export interface GuestPeer {
  readonly port: number;
  /** Command that QEMU starts per connection, on its standard input and output; it runs in the tool root. */
  readonly command: string;
}

export interface MachineFiles {
  /** The machine's own directory: sockets and logs are made in it. */
  readonly dir: string;
  readonly platform: Platform;
  /** The test agent's disk; a machine without it has no port for an agent either. */
  readonly agentDisk?: string;
  /** Puts the serial console on QEMU's own standard input and output (Ctrl-A X ends it) instead of a socket and a log. */
  readonly terminal?: true;
  /** File that holds a frozen machine to continue, if any. */
  readonly incoming?: string;
}

export const DEFAULT_SHAPE: MachineShape = {
  cpus: 2,
  memoryMib: 2048,
  secureBoot: true,
  tpm: true,
  display: true,
  clock: "utc",
  peers: [],
  oemStrings: [],
  bus: "virtio",
  drives: [],
};

/** Stable, so that identifiers derived from it (the machine id) are the same in every boot of one machine. */
export const MACHINE_UUID = "5ecaa105-0000-4000-8000-000000000001";

/** Name of the control port as the guest's udev sees it. */
export const AGENT_PORT = "org.secai.test";

/** Serial number of the agent's disk: /dev/disk/by-id/virtio-secai-test. */
export const AGENT_DISK = "secai-test";

/** QEMU's command line. Same input, same words: a frozen machine continues only in an identical one. */
export function qemuArguments(shape: MachineShape, accelerator: Accelerator, files: MachineFiles): string[] {
  const { platform } = files;
  return [
    ...[platform.qemu, "-nodefaults", "-no-user-config", "-display", "none"],
    ...(shape.display ? ["-device", platform.displayDevice] : []),
    ...[...platform.board(shape.secureBoot), ...acceleratorArguments(accelerator, platform)],
    ...["-smp", String(shape.cpus), "-m", String(shape.memoryMib), "-uuid", MACHINE_UUID],
    ...["-rtc", `base=${shape.clock},clock=host`],
    ...firmwareArguments(shape, files),
    ...diskArguments(shape, files),
    ...channelArguments(files),
    ...(shape.tpm ? tpmArguments(files) : []),
    ...networkArguments(shape, files),
    ...["-device", "virtio-rng-pci", "-device", "qemu-xhci,id=xhci"],
    ...shape.drives.flatMap(driveArguments),
    ...shape.oemStrings.flatMap((text) => ["-smbios", `type=11,value=${escapeOption(text)}`]),
    ...(files.incoming === undefined ? [] : ["-incoming", `file:${files.incoming}`]),
  ];
}

function acceleratorArguments(accelerator: Accelerator, { tcgCpu }: Platform): string[] {
  return accelerator === "kvm" ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", tcgCpu];
}

function firmwareArguments({ secureBoot }: MachineShape, { dir, platform }: MachineFiles): string[] {
  return [
    ...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${platform.firmwareCode(secureBoot)}`],
    ...["-drive", `if=pflash,format=raw,unit=1,file=${dir}/vars.fd`],
  ];
}

/** cache=unsafe: the host never waits for its own disk; what the guest has flushed survives a power cut of the guest all the same. */
function diskArguments({ bus }: MachineShape, { dir, agentDisk }: MachineFiles): string[] {
  const device = { virtio: "virtio-blk-pci", sata: "ide-hd,bus=ide.0", nvme: "nvme" }[bus];
  return [
    ...["-drive", `if=none,id=disk,format=qcow2,file=${dir}/disk.qcow2,cache=unsafe,discard=unmap`],
    ...["-device", `${device},drive=disk,bootindex=1,serial=secai-system`],
    ...(agentDisk === undefined ? [] : ["-drive", `if=none,id=agent,format=raw,readonly=on,file=${agentDisk}`]),
    ...(agentDisk === undefined ? [] : ["-device", `virtio-blk-pci,drive=agent,serial=${AGENT_DISK}`]),
  ];
}

/** Firmware numbers go on after the system disk's; the SATA port after its. */
function driveArguments({ kind, path }: Drive, index: number): string[] {
  const id = `drive${index}`;
  const device = { optical: `ide-cd,bus=ide.${index + 1}`, stick: "usb-storage,bus=xhci.0", disk: "virtio-blk-pci" }[kind];
  return [
    ...["-drive", `if=none,id=${id},format=raw,readonly=${kind === "disk" ? "off" : "on"},file=${escapeOption(path)}`],
    ...["-device", `${device},drive=${id},bootindex=${index + 2}`],
  ];
}

function channelArguments({ dir, agentDisk, terminal }: MachineFiles): string[] {
  const agent = [
    ...["-device", "virtio-serial-pci", "-chardev", `socket,id=agent,path=${dir}/agent.sock,server=on,wait=off`],
    ...["-device", `virtserialport,chardev=agent,name=${AGENT_PORT}`],
  ];
  return [
    ...["-qmp", `unix:${dir}/qmp.sock,server=on,wait=off`],
    ...(terminal === true ? terminalArguments() : socketArguments(dir)),
    ...["-serial", "chardev:serial"],
    ...(agentDisk === undefined ? [] : agent),
  ];
}

function socketArguments(dir: string): string[] {
  return ["-chardev", `socket,id=serial,path=${dir}/serial.sock,server=on,wait=off,logfile=${dir}/serial.log,logappend=on`];
}

/** signal=off: Ctrl-C is a key for the guest. mux=on: Ctrl-A is QEMU's own prefix (QEMU manual, "Keys in the character backend multiplexer"). */
function terminalArguments(): string[] {
  return ["-chardev", "stdio,id=serial,mux=on,signal=off"];
}

function tpmArguments({ dir, platform }: MachineFiles): string[] {
  return [
    ...["-chardev", `socket,id=tpm,path=${dir}/tpm.sock`, "-tpmdev", "emulator,id=tpm,chardev=tpm"],
    ...["-device", `${platform.tpmDevice},tpmdev=tpm`],
  ];
}

/** restrict=on: no packet leaves for the host's network. Every packet the guest sends is written to net.pcap. */
function networkArguments(shape: MachineShape, { dir }: MachineFiles): string[] {
  const peers = shape.peers.map(({ port, command }) => `,guestfwd=tcp:10.0.2.100:${port}-cmd:${escapeOption(command)}`).join("");
  return [
    ...["-netdev", `user,id=net,restrict=on${peers}`, "-device", "virtio-net-pci,netdev=net,romfile="],
    ...["-object", `filter-dump,id=dump,netdev=net,file=${dir}/net.pcap`],
  ];
}

/** QEMU reads `,` as the end of an option and `,,` as a comma. */
function escapeOption(text: string): string {
  return text.replaceAll(",", ",,");
}
