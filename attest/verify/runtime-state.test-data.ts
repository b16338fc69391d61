import type { Baseline } from "@secai/formats/baseline";
import type { RunningState } from "./runtime-state.ts";

const ROOT_DEVICE = "253:0";
const REPORTED_FOLDERS = ["/etc/secure-ai/", "/usr/lib/secure-ai/", "/usr/libexec/secure-ai/"];
const REPORTED_SETTINGS = ["/etc/sysctl.d/", "/usr/lib/sysctl.d/", "/etc/modprobe.d/", "/usr/lib/modprobe.d/"];
const RULES = ['{"table":{"family":"inet","name":"secure_ai"}}', '{"chain":{"hook":"input","name":"input","policy":"drop"}}'];
/** What systemd's generators leave in /run, as far as any test cares. */
const GENERATED = [{ path: "/run/systemd/generator/systemd-veritysetup@root.service", sha256: "ab".repeat(32) }];

/** What the collector reports of a machine on which everything is as `baseline` says. Tests spoil it one thing at a time. */
export function runningOf(baseline: Baseline): RunningState {
  const digests = new Map(
    baseline.files.flatMap((entry) => (entry.type === "file" ? [[entry.path, entry.sha256] as const] : [])),
  );
  const reported = [...digests].filter(([path]) =>
    [...REPORTED_FOLDERS, ...REPORTED_SETTINGS].some((folder) => path.startsWith(folder)),
  );
  const unitFile = (name: string, sha256: string) => {
    const path = `/usr/lib/systemd/system/${name}`;
    return { path: digests.get(path) === sha256 ? path : `/etc/systemd/system/${name}`, sha256 };
  };
  const mount = (point: string, type: string, device: string, root = "/") => ({ view: null, point, root, device, type });
  return {
    listeners: [
      ...baseline.ports.map(({ service, address, port }) => ({
        ...{ protocol: "tcp" as const, address, port, uid: 62_508 },
        unit: `secure-ai-${service}.service`,
      })),
      { protocol: "udp", address: "10.0.2.15", port: 68, uid: 998, unit: "systemd-networkd.service" },
    ],
    firewall: { file: baseline.firewall.sha256, loaded: RULES, expected: RULES },
    sysctl: { ...baseline.sysctl },
    units: [
      ...baseline.units.map(({ name, sha256 }) => ({
        ...{ name, load: "loaded", active: "active", fragment: unitFile(name, sha256), dropIns: [] },
      })),
      { name: "systemd-veritysetup@root.service", load: "loaded", active: "active", fragment: GENERATED[0] ?? null, dropIns: [] },
      { name: "-.mount", load: "loaded", active: "active", fragment: null, dropIns: [] },
      {
        name: "debug-shell.service",
        load: "masked",
        active: "inactive",
        fragment: { path: "/dev/null", sha256: null },
        dropIns: [],
      },
    ],
    unitFiles: GENERATED,
    generated: GENERATED,
    files: reported.map(([path, sha256]) => ({ path, sha256, view: null })),
    rootDevice: ROOT_DEVICE,
    mounts: [
      mount("/", "erofs", ROOT_DEVICE),
      mount("/proc", "proc", "0:20"),
      mount("/var", "ext4", "253:1"),
      mount("/etc/machine-id", "tmpfs", "0:24", "/machine-id"),
      { view: "systemd-networkd.service", point: "/", root: "/", device: ROOT_DEVICE, type: "erofs" },
      { view: "systemd-networkd.service", point: "/home", root: "/systemd/inaccessible/dir", device: "0:24", type: "tmpfs" },
    ],
    modules: { loaded: [], barred: ["sctp"], taint: 0 },
    processes: [
      { exe: "/usr/lib/systemd/systemd", sealed: true, unit: "init.scope", terminal: null, foreignCode: [] },
      { exe: "/usr/bin/node", sealed: true, unit: "secure-ai-policy-engine.service", terminal: null, foreignCode: [] },
    ],
  };
}
