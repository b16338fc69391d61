import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ExecStep } from "../step.ts";

/** One host path as the sandbox sees it. */
export interface Bind {
  readonly src: string;
  readonly dst: string;
  readonly writable: boolean;
}

/** The root file system inside: a tree on disk, or the few read-only parts of the host's own that tools need. */
export type SandboxRoot =
  /** `seenAt`: the same tree as the executing machine sees it, when that is another machine than the one that lists `path`. */
  { readonly kind: "tree"; readonly path: string; readonly seenAt?: string } | { readonly kind: "host" };

export interface SandboxSpec {
  readonly root: SandboxRoot;
  readonly argv: readonly string[];
  readonly binds: readonly Bind[];
  readonly env: Readonly<Record<string, string>>;
  /** "host" keeps the host's network, as QEMU's user networking needs. */
  readonly network: "host" | "none";
  readonly privileges: ExecStep["privileges"];
  /** Device files of the host, e.g. "/dev/kvm"; none by default. */
  readonly devices?: readonly string[];
  readonly cwd?: string;
  /** Keeps the caller's terminal, so that a shell has job control. */
  readonly interactive?: boolean;
}

/** Part of every cache key: raise it when what a step can see of its sandbox changes. */
export const SANDBOX_REVISION = 1;

/** Beside these the environment holds only what a step declares. */
const BASE_ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/tmp", TZ: "UTC", LANG: "C.UTF-8" } as const;

/** What making a root file system takes (mmdebstrap --mode=root, chroot, dpkg maintainer scripts); see capabilities(7). */
const TREE_CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SYS_ADMIN",
  "CAP_SYS_CHROOT",
] as const;

/** Directories that the sandbox makes itself, whatever the root holds there. */
const OWN_DIRECTORIES = new Set(["proc", "dev", "sys", "tmp", "run", "in", "out", "secrets"]);

/** What apt, dpkg and mmdebstrap read of the host when they make the first tool root. Never a home, never a credential. */
const HOST_ETC = [
  "alternatives",
  "apt",
  "debian_version",
  "dpkg",
  "group",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "mke2fs.conf",
  "nsswitch.conf",
  "os-release",
  "passwd",
  "perl",
] as const;

/**
 * The command line that runs `spec.argv` in a bubblewrap sandbox. Run it as uid 0 (of the machine or of a user namespace, see
 * user-namespace.ts): the uids of the files inside are then the real ones. As another user bubblewrap makes a user namespace
 * with that one user mapped to 0, which is enough for tools but not for steps.
 *
 * The root inside is a read-only tmpfs on which the top-level entries of the tool root are mounted read-only, because bubblewrap
 * cannot make mount points below a read-only bind.
 */
export function sandboxCommand(spec: SandboxSpec, uid: number = process.geteuid?.() ?? 0): string[] {
  const options = [
    ...namespaceOptions(spec, uid),
    ...environmentOptions(spec.env),
    ...(spec.root.kind === "tree" ? treeOptions(spec.root.path, spec.root.seenAt) : hostOptions()),
    ...kernelOptions(spec.privileges === "machine"),
    ...(spec.devices ?? []).flatMap((device) => ["--dev-bind", device, device]),
    ...bindOptions(spec.binds),
    ...["--remount-ro", "/", "--chdir", spec.cwd ?? "/"],
  ];
  // bubblewrap has no umask option; 2>&1 puts both streams in one pipe, so a log keeps their order.
  const script = spec.interactive === true ? 'umask 022; exec "$@"' : 'umask 022; exec "$@" 2>&1';
  return ["/bin/sh", "-c", script, "sh", "bwrap", ...options, "--", ...spec.argv];
}

/** A command of a tool root outside of a plan (QEMU, swtpm, openssl): no capabilities, clean environment, works as any user. */
export interface ToolCommand extends Omit<SandboxSpec, "root" | "privileges" | "interactive"> {
  readonly root: string;
}

/** The argv that runs one tool; stdout and stderr stay separate. The tool dies with the process that started it. */
export function toolCommand(tool: ToolCommand, uid: number = process.geteuid?.() ?? 0): string[] {
  const command = sandboxCommand({ ...tool, root: { kind: "tree", path: tool.root }, privileges: "none" }, uid);
  return command.with(2, 'umask 022; exec "$@"');
}

function namespaceOptions(spec: SandboxSpec, uid: number): string[] {
  const capabilities = { none: [], tree: TREE_CAPABILITIES, machine: ["ALL"] }[spec.privileges];
  return [
    ...(uid === 0 ? [] : ["--unshare-user", "--uid", "0", "--gid", "0"]),
    ...(spec.network === "none" ? ["--unshare-net"] : []),
    ...["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "build"],
    ...["--die-with-parent", ...(spec.interactive === true ? [] : ["--new-session"])],
    ...["--cap-drop", "ALL", ...capabilities.flatMap((capability) => ["--cap-add", capability])],
  ];
}

function environmentOptions(env: Readonly<Record<string, string>>): string[] {
  const all = { ...BASE_ENV, ...env };
  return ["--clearenv", ...Object.entries(all).flatMap(([name, value]) => ["--setenv", name, value])];
}

function treeOptions(root: string, seenAt: string = root): string[] {
  return readdirSync(root)
    .filter((name) => !OWN_DIRECTORIES.has(name))
    .sort()
    .flatMap((name) => mountEntry(join(root, name), `/${name}`, join(seenAt, name)));
}

function hostOptions(): string[] {
  const top = readdirSync("/").filter((name) => name === "usr" || /^(bin|sbin|lib(32|64|x32)?)$/.test(name));
  return [
    ...top.sort().flatMap((name) => mountEntry(`/${name}`, `/${name}`)),
    ...["--perms", "0755", "--dir", "/etc"],
    ...HOST_ETC.flatMap((name) => ["--ro-bind-try", `/etc/${name}`, `/etc/${name}`]),
    ...["--perms", "0755", "--tmpfs", "/var"],
  ];
}

/** Top-level symbolic links (bin -> usr/bin) stay links. */
function mountEntry(src: string, dst: string, seenAt: string = src): string[] {
  return lstatSync(src).isSymbolicLink() ? ["--symlink", readlinkSync(src), dst] : ["--ro-bind", seenAt, dst];
}

/**
 * Own /proc and a minimal /dev; with the privileges of a machine its devices and what it says of them. uid 0 may write /proc/sys without any capability (proc_sys_permission in fs/proc/proc_sysctl.c),
 * so those doors to the host's kernel are covered read-only.
 */
function kernelOptions(isMachine: boolean): string[] {
  return [
    ...["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--ro-bind-try", "/proc/sysrq-trigger", "/proc/sysrq-trigger"],
    ...(isMachine ? ["--dev-bind", "/dev", "/dev"] : ["--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]),
    ...["--perms", "0755", "--tmpfs", "/run"],
    ...(isMachine ? ["--bind", "/sys", "/sys"] : ["--perms", "0755", "--dir", "/sys"]),
    ...["--perms", "1777", "--tmpfs", "/tmp"],
  ];
}

/** Parents of mount points are made 0755 explicitly: bubblewrap's own default is 0700, which locks out a step's non-root helpers. */
function bindOptions(binds: readonly Bind[]): string[] {
  const made = new Set<string>();
  return binds.flatMap(({ src, dst, writable }) => [
    ...parentsOf(dst)
      .filter((parent) => !made.has(parent) && made.add(parent))
      .flatMap((parent) => ["--perms", "0755", "--dir", parent]),
    writable ? "--bind" : "--ro-bind",
    src,
    dst,
  ]);
}

function parentsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === "/" ? [] : [...parentsOf(parent), parent];
}
