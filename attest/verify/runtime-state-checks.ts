import type { SubjectResult } from "./check.ts";
import type { Listener, MountState, OverlayState, ProcessState, RunningState } from "./runtime-state.ts";
import { type RuntimeCheck, type StateQuestion, stateCheck, wrong } from "./runtime-state-check.ts";

const NONE = "none";

const baselineCheck = stateCheck(
  "runtime.baseline",
  "The baseline that the machine is held to is that of the root it promises to run",
  "Compares the root hash in baseline.json with the one in measurements.json.",
  ["BASELINE_OTHER_IMAGE"],
  ({ baseline, policy: { rootHash } }) =>
    baseline.rootHash === rootHash
      ? []
      : [wrong("baseline.json", "BASELINE_OTHER_IMAGE", `root hash ${rootHash}`, baseline.rootHash)],
);

/**
 * Sockets that the system itself opens: systemd-networkd's for DHCP (port 68), DHCPv6 (546), and its packet and ICMPv6 sockets for leases
 * and neighbour discovery. The firewall, not this list, decides what reaches them.
 */
const SYSTEM_SOCKETS: readonly { readonly unit: string; readonly protocol: Listener["protocol"]; readonly port?: number }[] = [
  { unit: "systemd-networkd.service", protocol: "udp", port: 68 },
  { unit: "systemd-networkd.service", protocol: "udp", port: 546 },
  { unit: "systemd-networkd.service", protocol: "raw", port: 58 },
  { unit: "systemd-networkd.service", protocol: "packet" },
];
export const socketName = ({ protocol, address, port }: Omit<Listener, "uid" | "unit">) => `${protocol} ${address}:${port}`;
const unitOfService = (service: string) => `secure-ai-${service}.service`;

const listenersCheck = stateCheck(
  "runtime.listeners",
  "Exactly the sockets of the release listen, each held by its service",
  "Compares TCP, UDP, raw and packet sockets, and the units that hold them, with the baseline's ports.",
  ["LISTENER_UNEXPECTED", "LISTENER_MISSING"],
  ({ running, baseline }) => {
    const promised = new Map(
      baseline.ports.map(({ service, address, port }) => [
        socketName({ protocol: "tcp", address, port }),
        unitOfService(service),
      ]),
    );
    const known = (one: Listener) =>
      (one.unit !== null && promised.get(socketName(one)) === one.unit) ||
      SYSTEM_SOCKETS.some(
        ({ unit, protocol, port }) => one.unit === unit && one.protocol === protocol && (port ?? one.port) === one.port,
      );
    const unexpected = running.listeners.filter((one) => !known(one));
    const open = new Set(running.listeners.map(socketName));
    return [
      ...unexpected.map((one) => {
        const name = socketName(one);
        return wrong(name, "LISTENER_UNEXPECTED", promised.get(name) ?? NONE, `held by ${one.unit ?? "no unit"}, uid ${one.uid}`);
      }),
      ...[...promised].flatMap(([name, unit]) => (open.has(name) ? [] : [wrong(name, "LISTENER_MISSING", unit, NONE)])),
    ];
  },
);

const firewallCheck = stateCheck(
  "runtime.firewall",
  "The firewall rules in force are those of the release's ruleset file, no more and no less",
  "Compares the ruleset file with the baseline, and the rules in force with what that file gives in an empty network namespace.",
  ["FIREWALL_FILE", "FIREWALL_RULES"],
  ({ running: { firewall }, baseline }) => {
    const { path, sha256 } = baseline.firewall;
    const results: SubjectResult[] = [];
    if (firewall.file !== sha256) results.push(wrong(path, "FIREWALL_FILE", sha256, firewall.file ?? NONE));
    const difference = firstDifference(firewall.expected, firewall.loaded);
    if (difference !== undefined) results.push(wrong("rules", "FIREWALL_RULES", difference.expected, difference.actual));
    return results;
  },
);

/** The first line in which two listings differ; a listing that could not be made differs from every other. */
export function firstDifference(
  expected: readonly string[] | null,
  actual: readonly string[] | null,
): { readonly expected: string; readonly actual: string } | undefined {
  if (expected === null) return { expected: "a ruleset file that loads", actual: "one that does not" };
  if (actual === null) return { expected: "rules that can be listed", actual: NONE };
  const at = Array.from({ length: Math.max(expected.length, actual.length) }, (_, index) => index).find(
    (index) => expected[index] !== actual[index],
  );
  return at === undefined ? undefined : { expected: expected[at] ?? "no further rule", actual: actual[at] ?? "no further rule" };
}

const oneBlank = (value: string) => value.trim().replaceAll(/\s+/g, " ");

const sysctlCheck = stateCheck(
  "runtime.sysctl",
  "Every kernel setting of the release is in force",
  "Compares the values in /proc/sys with the baseline's; a setting that this kernel does not have is nobody's.",
  ["SYSCTL_VALUE", "SYSCTL_UNREPORTED", "SYSCTL_CHANGED", "SYSCTL_UNKNOWN", "SYSCTL_MISSING"],
  (question) => {
    const { running, baseline } = question;
    const settings = Object.entries(baseline.sysctl).filter(([key]) => !key.includes("*"));
    return [
      ...changedFiles(question, ["/etc/sysctl.d/", "/usr/lib/sysctl.d/"], "SYSCTL"),
      ...settings.flatMap(([key, expected]) => {
        const actual = running.sysctl[key];
        if (actual === undefined) return [wrong(key, "SYSCTL_UNREPORTED", expected, "not reported")];
        return actual === null || actual === oneBlank(expected) ? [] : [wrong(key, "SYSCTL_VALUE", expected, actual)];
      }),
    ];
  },
);

/**
 * Files of the sealed root below these folders that anybody sees otherwise than the baseline has them, or that it does not have, or that
 * the system does not see. Codes are PREFIX_CHANGED, PREFIX_UNKNOWN and PREFIX_MISSING.
 */
function changedFiles(
  { running, baseline, sealed }: StateQuestion,
  folders: readonly string[],
  prefix: "POLICY" | "BUNDLE" | "SYSCTL" | "MODPROBE",
): readonly SubjectResult[] {
  const inside = (path: string) => folders.some((folder) => path.startsWith(folder));
  const links = new Set(baseline.files.flatMap(({ type, path }) => (type === "symlink" && inside(path) ? [path] : [])));
  const files = running.files.filter(({ path }) => inside(path) && !links.has(path));
  const seen = new Set(files.flatMap(({ path, view }) => (view === null ? [path] : [])));
  return [
    ...files.flatMap(({ path, sha256, view }) => {
      const expected = sealed.get(path);
      const subject = view === null ? path : `${path} in ${view}`;
      if (expected === undefined) return [wrong(subject, `${prefix}_UNKNOWN`, NONE, sha256 ?? "unreadable")];
      return expected === sha256 ? [] : [wrong(subject, `${prefix}_CHANGED`, expected, sha256 ?? "unreadable")];
    }),
    ...[...sealed].flatMap(([path, digest]) =>
      inside(path) && !seen.has(path) ? [wrong(path, `${prefix}_MISSING`, digest, NONE)] : [],
    ),
  ];
}

const policiesCheck = stateCheck(
  "runtime.policies",
  "Every policy file is the release's, in every service's view",
  "Compares the digests of the files in /etc/secure-ai, as the system and each service with a mount namespace of its own see them.",
  ["POLICY_CHANGED", "POLICY_UNKNOWN", "POLICY_MISSING"],
  (question) => changedFiles(question, ["/etc/secure-ai/"], "POLICY"),
);

const bundlesCheck = stateCheck(
  "runtime.bundles",
  "Every service bundle and program of ours is the release's, in every service's view",
  "Compares the digests of the files in /usr/lib/secure-ai and /usr/libexec/secure-ai, as the system and each service see them.",
  ["BUNDLE_CHANGED", "BUNDLE_UNKNOWN", "BUNDLE_MISSING"],
  (question) => changedFiles(question, ["/usr/lib/secure-ai/", "/usr/libexec/secure-ai/"], "BUNDLE"),
);

/** Where the system itself mounts something, and what. Everything else, above all over a sealed path, is not the release's. */
const SYSTEM_MOUNTS: Readonly<Record<string, readonly string[]>> = {
  "/boot": ["autofs", "vfat"],
  "/dev": ["devtmpfs"],
  "/dev/hugepages": ["hugetlbfs"],
  "/dev/mqueue": ["mqueue"],
  "/dev/pts": ["devpts"],
  "/dev/shm": ["tmpfs"],
  "/efi": ["autofs", "vfat"],
  "/proc": ["proc"],
  "/run": ["tmpfs"],
  "/sys": ["sysfs"],
  "/sys/firmware/efi/efivars": ["efivarfs"],
  "/sys/fs/bpf": ["bpf"],
  "/sys/fs/cgroup": ["cgroup2"],
  "/sys/fs/fuse/connections": ["fusectl"],
  "/sys/fs/pstore": ["pstore"],
  "/sys/kernel/security": ["securityfs"],
  "/tmp": ["tmpfs"],
  "/var": ["ext4"],
};

/** systemd's own mounts over sealed paths: the machine id of this boot, and what it hides from services (InaccessiblePaths=). */
function isOfSystemd({ type, root, point, view }: MountState): boolean {
  if (type !== "tmpfs") return false;
  return (point === "/etc/machine-id" && root === "/machine-id") || (view !== null && root.startsWith("/systemd/inaccessible/"));
}

/** The merged extensions, and in a service's namespace parts of them mounted over themselves. What is merged is a check of its own. */
function isOverlay({ view, point, root, device, type }: MountState, overlay: OverlayState | undefined): boolean {
  if (type !== "overlay" || device !== overlay?.device) return false;
  return point === `/usr${root === "/" ? "" : root}` && (view !== null || root === "/");
}

/** Whether the system itself mounts that there. */
export function isExpectedMount(
  mount: MountState,
  { rootDevice, overlay }: Pick<RunningState, "rootDevice" | "overlay">,
): boolean {
  const { view, point, root, device, type } = mount;
  if (isOverlay(mount, overlay)) return true;
  // The sealed root itself, and in a service's namespace parts of it mounted over themselves, read-only once more.
  if (device === rootDevice && type === "erofs" && root === point) return view !== null || point === "/";
  if (isOfSystemd(mount)) return true;
  return (
    view === null && root === "/" && (Object.hasOwn(SYSTEM_MOUNTS, point) ? SYSTEM_MOUNTS[point] : [])?.includes(type) === true
  );
}

const mountsCheck = stateCheck(
  "runtime.mounts",
  "Nothing is mounted over the sealed root or the kernel's interfaces",
  "Looks at the mounts of the system and of every service with a mount namespace of its own.",
  ["MOUNT_UNEXPECTED"],
  ({ running }) =>
    running.mounts
      .filter((mount) => !isExpectedMount(mount, running))
      .map(({ view, point, type, device, root }) =>
        wrong(view === null ? point : `${point} in ${view}`, "MOUNT_UNEXPECTED", "no mount", `${type} ${device} ${root}`),
      ),
);

/** What is wrong with a layer over /usr, or nothing. */
function layerMistakes(
  { name, verity, hash }: OverlayState["layers"][number],
  expected: string | undefined,
): readonly SubjectResult[] {
  if (expected === undefined) return [wrong(name, "EXTENSION_FOREIGN", "an extension of the release", hash ?? verity)];
  if (hash !== expected) return [wrong(name, "EXTENSION_HASH", expected, hash ?? `no root hash (${verity})`)];
  return verity === "verified" ? [] : [wrong(name, "EXTENSION_CORRUPTED", "verified", verity)];
}

const extensionsCheck = stateCheck(
  "runtime.extensions",
  "Only extensions of the release lie over /usr, each below dm-verity with its root hash",
  "Looks at the layers of the overlay on /usr, and at the device that each comes from.",
  ["EXTENSION_FOREIGN", "EXTENSION_HASH", "EXTENSION_CORRUPTED"],
  ({ running: { overlay }, baseline: { extensions = [] } }) => {
    const known = new Map(extensions.map(({ name, rootHash }) => [name, rootHash]));
    return (overlay?.layers ?? []).flatMap((layer) => layerMistakes(layer, known.get(layer.name)));
  },
);

/** Kernel taint flags that mean foreign or forced code (kernel documentation, tainted-kernels): P F R A K O E, by bit. */
const FOREIGN_CODE_TAINTS: Readonly<Record<number, string>> = {
  0: "proprietary module",
  1: "module loaded by force",
  3: "module removed by force",
  8: "ACPI table replaced",
  12: "module built elsewhere",
  13: "unsigned module",
  15: "live patch",
};
const MODULE_FILE = /^\/usr\/lib\/modules\/.+\/([^/]+)\.ko(?:\.(?:xz|zst|gz))?$/;

/** Modules that were compiled with the image: the kernel notes that they are none of its own sources, which it does of no other of ours. */
const OWN_MODULE = /^\/usr\/lib\/modules\/[^/]+\/updates\/secai\/([^/]+)\.ko\.xz$/;
const BUILT_ELSEWHERE = "12";

/** Taints that nothing in the release explains. */
function unexplainedTaints({ loaded, taint }: RunningState["modules"], sealed: readonly string[]): readonly string[] {
  const own = new Set(sealed.map((path) => OWN_MODULE.exec(path)?.[1]?.replaceAll("-", "_")));
  const explained = loaded.some((name) => own.has(name)) ? [BUILT_ELSEWHERE] : [];
  return Object.entries(FOREIGN_CODE_TAINTS).flatMap(([bit, what]) =>
    Math.floor(taint / 2 ** Number(bit)) % 2 === 1 && !explained.includes(bit) ? [what] : [],
  );
}

export interface ModuleMistake {
  readonly name: string;
  readonly code: "MODULE_UNKNOWN" | "MODULE_BARRED" | "KERNEL_TAINTED";
  readonly expected: string;
  readonly actual: string;
}

/** What is wrong with the kernel's modules if `sealed` are the paths of the release's files, those of its modules among them. */
export function moduleMistakes(modules: RunningState["modules"], sealed: readonly string[]): readonly ModuleMistake[] {
  const shipped = new Set(sealed.map((path) => MODULE_FILE.exec(path)?.[1]?.replaceAll("-", "_")));
  return [
    ...modules.loaded.flatMap((name): ModuleMistake[] => {
      if (!shipped.has(name)) return [{ name, code: "MODULE_UNKNOWN", expected: "a module of the release", actual: "another" }];
      return modules.barred.includes(name) ? [{ name, code: "MODULE_BARRED", expected: "not loaded", actual: "loaded" }] : [];
    }),
    ...unexplainedTaints(modules, sealed).map(
      (what) => ({ name: "kernel", code: "KERNEL_TAINTED", expected: "no foreign code", actual: what }) as const,
    ),
  ];
}

const modulesCheck = stateCheck(
  "runtime.modules",
  "Every kernel module in use is one of the release, none is barred, and the kernel runs no foreign code",
  "Compares loaded modules with the baseline's files and with the modules that modprobe.d forbids, and reads the kernel's taint flags.",
  ["MODULE_UNKNOWN", "MODULE_BARRED", "KERNEL_TAINTED", "MODPROBE_CHANGED", "MODPROBE_UNKNOWN", "MODPROBE_MISSING"],
  (question) => [
    ...changedFiles(question, ["/etc/modprobe.d/", "/usr/lib/modprobe.d/"], "MODPROBE"),
    ...moduleMistakes(question.running.modules, [...question.sealed.keys()]).map(({ name, code, expected, actual }) =>
      wrong(name, code, expected, actual),
    ),
  ],
);

const processName = ({ exe, unit }: ProcessState) => `${exe} in ${unit ?? "no unit"}`;

const processesCheck = stateCheck(
  "runtime.processes",
  "Every process runs a program of the sealed root and nothing else as code",
  "Looks at the device of each process's program and of every file that it has mapped as code.",
  ["PROCESS_FOREIGN", "CODE_FOREIGN"],
  ({ running }) =>
    running.processes.flatMap((process) => [
      ...(process.sealed ? [] : [wrong(processName(process), "PROCESS_FOREIGN", "a program of the sealed root", "another file")]),
      ...process.foreignCode.map((file) => wrong(processName(process), "CODE_FOREIGN", "code of the sealed root", file)),
    ]),
);

/** Units whose purpose is a shell or a login; an active one of them is an open door. */
const SHELL_UNIT =
  /^(?:.*getty.*|debug-shell|rescue|emergency|sulogin.*|sshd?(?:@.*)?|.*login@.*|user@.*|dropbear.*)\.(?:service|socket)$/;

const shellsCheck = stateCheck(
  "runtime.shells",
  "No shell or login waits on a console or network",
  "Looks for processes with a controlling terminal, which none of the release has, and for active units that give a shell.",
  ["SHELL_ON_TERMINAL", "SHELL_UNIT"],
  ({ running }) => [
    ...running.processes.flatMap((process) =>
      process.terminal === null
        ? []
        : [wrong(processName(process), "SHELL_ON_TERMINAL", "no terminal", `device ${process.terminal}`)],
    ),
    ...running.units.flatMap(({ name, active }) =>
      SHELL_UNIT.test(name) && active !== "inactive" && active !== "failed"
        ? [wrong(name, "SHELL_UNIT", "inactive", active)]
        : [],
    ),
  ],
);

export const surroundingChecks: readonly RuntimeCheck[] = [
  baselineCheck,
  bundlesCheck,
  policiesCheck,
  firewallCheck,
  sysctlCheck,
  listenersCheck,
  mountsCheck,
  extensionsCheck,
  modulesCheck,
  processesCheck,
  shellsCheck,
];
