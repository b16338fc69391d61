import { sha256 } from "@secai/formats/digest";
import type { RunningState } from "@secai/verify/runtime-state";
import { answer, type Case, RUNTIME_ARGS } from "./scene.ts";

// A machine that booted the release and was changed while it ran: its quote is genuine, its own collector tells.

const ENGINE = "/usr/lib/secure-ai/services/policy-engine.mjs";
const POLICY = "/etc/secure-ai/policy/policy.yaml";
const UNIT = "secure-ai-policy-engine.service";

const running = (name: string, fails: readonly string[], change: (state: RunningState) => Partial<RunningState>): Case => ({
  name: `running: ${name}`,
  args: RUNTIME_ARGS,
  fails,
  apply: (scene) => {
    const { running: state } = scene.evidence;
    if (state === undefined) throw new Error("the machine tells what runs on it");
    answer(scene, { ...scene.evidence, running: { ...state, ...change(state) } });
  },
});

/** A file as a view has it. */
const withFile = (path: string, digest: string | null, view: string | null) => (state: RunningState) => ({
  files: [...state.files.filter((file) => file.path !== path || file.view !== view), { path, sha256: digest, view }],
});
const withoutFile = (path: string) => (state: RunningState) => ({ files: state.files.filter((file) => file.path !== path) });

const files: readonly Case[] = [
  running("a changed bundle", ["runtime.bundles"], withFile(ENGINE, sha256("x"), null)),
  running("a bundle that a service alone sees changed", ["runtime.bundles"], withFile(ENGINE, sha256("x"), UNIT)),
  running("a bundle that cannot be read", ["runtime.bundles"], withFile(ENGINE, null, null)),
  running("a bundle that is gone", ["runtime.bundles"], withoutFile(ENGINE)),
  running("a program among ours", ["runtime.bundles"], withFile("/usr/libexec/secure-ai/more", sha256("x"), null)),
  running("a changed policy", ["runtime.policies"], withFile(POLICY, sha256("x"), null)),
  running("a policy that a service alone sees changed", ["runtime.policies"], withFile(POLICY, sha256("x"), UNIT)),
  running("a policy more", ["runtime.policies"], withFile("/etc/secure-ai/policy/more.yaml", sha256("x"), null)),
  running("a policy that is gone", ["runtime.policies"], withoutFile(POLICY)),
];

const network: readonly Case[] = [
  running("another ruleset file", ["runtime.firewall"], ({ firewall }) => ({ firewall: { ...firewall, file: sha256("x") } })),
  running("no rules", ["runtime.firewall"], ({ firewall }) => ({ firewall: { ...firewall, loaded: [] } })),
  running("a rule more", ["runtime.firewall"], ({ firewall }) => ({
    firewall: { ...firewall, loaded: [...(firewall.loaded ?? []), '{"rule":{}}'] },
  })),
  running("a rule less", ["runtime.firewall"], ({ firewall }) => ({
    firewall: { ...firewall, loaded: firewall.loaded?.slice(1) ?? null },
  })),
  running("rules that cannot be listed", ["runtime.firewall"], ({ firewall }) => ({ firewall: { ...firewall, loaded: null } })),
  running("a socket more", ["runtime.listeners:tcp 0.0.0.0:4444"], ({ listeners }) => ({
    listeners: [...listeners, { protocol: "tcp", address: "0.0.0.0", port: 4444, uid: 0, unit: null }],
  })),
  running("the service's socket on every address", ["runtime.listeners"], ({ listeners }) => ({
    listeners: listeners.map((one) => ({ ...one, address: "0.0.0.0" })),
  })),
  running("the service's socket held by another", ["runtime.listeners"], ({ listeners }) => ({
    listeners: listeners.map((one) => ({ ...one, unit: "evil.service" })),
  })),
  running("a service that does not listen", ["runtime.listeners"], () => ({ listeners: [] })),
];

const kernel: readonly Case[] = [
  running("a changed setting", ["runtime.sysctl:kernel.sysrq"], () => ({ sysctl: { "kernel.sysrq": "1" } })),
  running("a setting that is not told", ["runtime.sysctl:kernel.sysrq"], () => ({ sysctl: {} })),
  running("an unknown module", ["runtime.modules:rootkit"], ({ modules }) => ({ modules: { ...modules, loaded: ["rootkit"] } })),
  running("an unsigned module", ["runtime.modules"], ({ modules }) => ({ modules: { ...modules, taint: 1 << 13 } })),
  running("a live patch", ["runtime.modules"], ({ modules }) => ({ modules: { ...modules, taint: 1 << 15 } })),
  running("something over the sealed root", ["runtime.mounts:/usr"], ({ mounts }) => ({
    mounts: [...mounts, { view: null, point: "/usr", root: "/", device: "0:50", type: "overlay" }],
  })),
  running("something over a file in one service's view", ["runtime.mounts"], ({ mounts }) => ({
    mounts: [...mounts, { view: UNIT, point: ENGINE, root: "/x.mjs", device: "0:50", type: "tmpfs" }],
  })),
  running("something over the kernel's interfaces", ["runtime.mounts:/proc/cmdline"], ({ mounts }) => ({
    mounts: [...mounts, { view: null, point: "/proc/cmdline", root: "/x", device: "0:50", type: "tmpfs" }],
  })),
];

/** What lies over /usr as one layer; the overlay is the mount that belongs to it. */
type Layer = NonNullable<RunningState["overlay"]>["layers"][number];
const withLayer =
  (layer: Layer) =>
  ({ mounts }: RunningState): Partial<RunningState> => ({
    mounts: [...mounts, { view: null, point: "/usr", root: "/", device: "0:50", type: "overlay" }],
    overlay: { device: "0:50", layers: [layer] },
  });

const extensions: readonly Case[] = [
  running(
    "an extension of another release",
    ["runtime.extensions"],
    withLayer({ name: "foreign", device: "254:9", verity: "verified", hash: sha256("another root hash") }),
  ),
  running(
    "a folder laid over /usr",
    ["runtime.extensions"],
    withLayer({ name: "/run/evil", device: null, verity: "absent", hash: null }),
  ),
];

const programs: readonly Case[] = [
  running("a program from elsewhere", ["runtime.processes"], ({ processes }) => ({
    processes: [...processes, { exe: "/var/tmp/miner", sealed: false, unit: null, terminal: null, foreignCode: [] }],
  })),
  running("code from elsewhere in a program of ours", ["runtime.processes"], ({ processes }) => ({
    processes: processes.map((one) => ({ ...one, foreignCode: ["/var/lib/x.so"] })),
  })),
  running("a shell on a terminal", ["runtime.shells"], ({ processes }) => ({
    processes: [
      ...processes,
      { exe: "/usr/bin/bash", sealed: true, unit: "debug-shell.service", terminal: "4:9", foreignCode: [] },
    ],
  })),
  running("a shell that waits", ["runtime.shells:debug-shell.service"], ({ units }) => ({
    units: units.map((one) => (one.name === "debug-shell.service" ? { ...one, active: "active" } : one)),
  })),
  running("a unit of nobody's", ["runtime.units"], ({ units }) => ({
    units: [
      ...units,
      {
        name: "evil.service",
        load: "loaded",
        active: "active",
        fragment: { path: "/run/systemd/system/evil.service", sha256: sha256("evil") },
        dropIns: [],
      },
    ],
  })),
  running("a drop-in for a unit of ours", ["runtime.units"], ({ units }) => ({
    units: units.map((one) => ({ ...one, dropIns: [{ path: "/run/systemd/system/x.d/evil.conf", sha256: sha256("evil") }] })),
  })),
  running("a unit file that only waits to be loaded", ["runtime.units"], ({ unitFiles }) => ({
    unitFiles: [...unitFiles, { path: "/run/systemd/system/evil.service", sha256: sha256("evil") }],
  })),
  running("a unit that failed", ["runtime.failed-units"], ({ units }) => ({
    units: units.map((one, index) => (index === 0 ? { ...one, active: "failed" } : one)),
  })),
];

export const runningCases: readonly Case[] = [...files, ...network, ...kernel, ...extensions, ...programs];
