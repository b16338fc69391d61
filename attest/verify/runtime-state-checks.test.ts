import { buildBaseline } from "@secai/formats/baseline";
import { exampleBaselineFacts } from "@secai/formats/baseline.test-data";
import { sha256 } from "@secai/formats/digest";
import { vector } from "@secai/measure/fixtures/vectors";
import { parseMeasurements } from "@secai/measure/measurements";
import { expect, test } from "vitest";
import { runChecks, verdictOf } from "./check.ts";
import { requiredChecks, runtimeChecks } from "./runtime-checks.ts";
import { type Evidence, parseEvidence, printEvidence } from "./runtime-evidence.ts";
import { runtimeFacts } from "./runtime-facts.ts";
import { type RuntimePolicy, releasePolicy } from "./runtime-policy.ts";
import { runningOf } from "./runtime-state.test-data.ts";
import type { RunningState } from "./runtime-state.ts";

const NONCE = "00112233445566778899aabbccddeeff";
const measurements = parseMeasurements(vector("plain/measurements.json"));
const file = (path: string) =>
  ({ path, type: "file", mode: "0644", uid: 0, gid: 0, sha256: sha256(path), size: path.length }) as const;
const baseline = buildBaseline({
  ...exampleBaselineFacts,
  rootHash: measurements.rootHash,
  files: [
    ...exampleBaselineFacts.files,
    ...["/usr/lib/modprobe.d/secure-ai.conf", "/usr/lib/sysctl.d/90-secure-ai.conf"].map(file),
    ...["/usr/lib/modules/6.12/kernel/net/sctp/sctp.ko.xz", "/usr/lib/modules/6.12/kernel/fs/dm-crypt.ko.xz"].map(file),
    file("/usr/lib/modules/6.12/updates/secai/nvidia-uvm.ko.xz"),
    file("/usr/lib/systemd/system/debug-shell.service"),
  ],
});
const library = file("/usr/lib/secure-ai/backends/vulkan/libggml-vulkan.so");
const extended = buildBaseline({
  ...baseline,
  extensions: [{ name: "vulkan", rootHash: sha256("vulkan"), files: [library] }],
});
const policy: RuntimePolicy = releasePolicy(measurements, undefined, baseline);
const clean = runningOf(baseline);
const evidence: Evidence = parseEvidence(vector("plain/evidence.json"));

function ask(running: RunningState | undefined, expected: RuntimePolicy = policy) {
  const outcomes = runChecks(runtimeChecks, runtimeFacts({ ...evidence, running }, NONCE), expected);
  const found = outcomes.flatMap((one) => (one.status === "fail" || one.status === "undecided" ? [`${one.id} ${one.code}`] : []));
  return { verdict: verdictOf(outcomes, requiredChecks(expected)), found: [...new Set(found)] };
}

test("a machine that is as its baseline says is accepted", () => expect(ask(clean)).toEqual({ verdict: "accepted", found: [] }));

const layer = { name: "vulkan", device: "253:2", verity: "verified", hash: sha256("vulkan") } as const;
const usr = { view: null, point: "/usr", root: "/", device: "0:46", type: "overlay" };
const inService = { ...usr, view: "secure-ai-policy-engine.service" };
const merged: RunningState = {
  ...clean,
  overlay: { device: "0:46", layers: [layer] },
  mounts: [...clean.mounts, usr, inService, { ...inService, point: "/usr/bin/node", root: "/bin/node" }],
  files: [...clean.files, { path: library.path, sha256: library.sha256, view: null }],
};
const extendedPolicy: RuntimePolicy = { ...policy, baseline: extended };

test("a merged extension of the release is accepted, and so is one that was left out", () => {
  expect(ask(merged, extendedPolicy)).toEqual({ verdict: "accepted", found: [] });
  expect(ask(clean, extendedPolicy)).toEqual({ verdict: "accepted", found: [] });
  const whole = { ...evidence, running: merged };
  expect(parseEvidence(Buffer.from(printEvidence(whole)))).toEqual(whole);
});

const withLayers = (...layers: NonNullable<RunningState["overlay"]>["layers"]): RunningState => ({
  ...merged,
  overlay: { device: "0:46", layers },
});
const overlaid: { name: string; running: RunningState; codes: readonly string[] }[] = [
  {
    name: "an extension beside the release's",
    running: withLayers({ ...layer, name: "evil" }, layer),
    codes: ["runtime.extensions EXTENSION_FOREIGN"],
  },
  {
    name: "a layer that is no extension",
    running: withLayers({ name: "/run/evil", device: null, verity: "absent", hash: null }, layer),
    codes: ["runtime.extensions EXTENSION_FOREIGN"],
  },
  {
    name: "an extension with another root hash",
    running: withLayers({ ...layer, hash: sha256("other") }),
    codes: ["runtime.extensions EXTENSION_HASH"],
  },
  {
    name: "an extension that is a folder",
    running: withLayers({ ...layer, device: null, verity: "absent", hash: null }),
    codes: ["runtime.extensions EXTENSION_HASH"],
  },
  {
    name: "an extension with corrupted blocks",
    running: withLayers({ ...layer, verity: "corrupted" }),
    codes: ["runtime.extensions EXTENSION_CORRUPTED"],
  },
  {
    name: "a second overlay over the first",
    running: { ...merged, mounts: [...merged.mounts, { ...usr, device: "0:47" }] },
    codes: ["runtime.mounts MOUNT_UNEXPECTED"],
  },
  {
    name: "a part of the overlay over another",
    running: { ...merged, mounts: [...merged.mounts, { ...inService, point: "/usr/bin/node", root: "/bin/sh" }] },
    codes: ["runtime.mounts MOUNT_UNEXPECTED"],
  },
  {
    name: "an overlay that nobody tells the layers of",
    running: { ...clean, mounts: merged.mounts },
    codes: ["runtime.mounts MOUNT_UNEXPECTED"],
  },
  {
    name: "another library in the extension's place",
    running: { ...merged, files: [...clean.files, { path: library.path, sha256: sha256("x"), view: null }] },
    codes: ["runtime.bundles BUNDLE_CHANGED"],
  },
  {
    name: "an extension's library without the extension",
    running: { ...clean, files: merged.files },
    codes: ["runtime.bundles BUNDLE_UNKNOWN"],
  },
];
for (const { name, running, codes } of overlaid) {
  test(`rejected: ${name}`, () => expect(ask(running, extendedPolicy)).toEqual({ verdict: "rejected", found: codes }));
}

test("rejected: an extension that the release does not have", () =>
  expect(ask({ ...merged, files: clean.files })).toEqual({
    verdict: "rejected",
    found: ["runtime.extensions EXTENSION_FOREIGN"],
  }));

test("a running system survives printing", () => {
  const whole = { ...evidence, running: clean };
  expect(parseEvidence(Buffer.from(printEvidence(whole)))).toEqual(whole);
});

const [listener] = clean.listeners;
const [unit] = clean.units;
if (listener === undefined || unit?.fragment == null) throw new Error("the example has a listener and a unit");
const bundle = "/usr/lib/secure-ai/services/policy-engine.mjs";
const policyFile = "/etc/secure-ai/policy/policy.yaml";
const runFile = { path: "/run/systemd/system/evil.service", sha256: sha256("evil") };
const withFiles = (change: (one: RunningState["files"][number]) => RunningState["files"]): Partial<RunningState> => ({
  files: clean.files.flatMap(change),
});
const withUnit = (change: Partial<typeof unit>): Partial<RunningState> => ({
  units: clean.units.map((one) => (one === unit ? { ...one, ...change } : one)),
});
const mounted = (change: Partial<RunningState["mounts"][number]>): Partial<RunningState> => ({
  mounts: [...clean.mounts, { view: null, point: "/usr/share", root: "/", device: "0:50", type: "tmpfs", ...change }],
});
const process = { exe: "/usr/bin/bash", sealed: true, unit: "maint.service", terminal: null, foreignCode: [] };

/** One thing wrong, and the refusals that must follow: all of them, and no others. */
const rejected: { name: string; change: Partial<RunningState>; codes: readonly string[] }[] = [
  {
    name: "a changed bundle",
    change: withFiles((one) => [one.path === bundle ? { ...one, sha256: sha256("x") } : one]),
    codes: ["runtime.bundles BUNDLE_CHANGED"],
  },
  {
    name: "a bundle that is gone",
    change: withFiles((one) => (one.path === bundle ? [] : [one])),
    codes: ["runtime.bundles BUNDLE_MISSING"],
  },
  {
    name: "a bundle that cannot be read",
    change: withFiles((one) => [one.path === bundle ? { ...one, sha256: null } : one]),
    codes: ["runtime.bundles BUNDLE_CHANGED"],
  },
  {
    name: "another bundle in one service's view",
    change: { files: [...clean.files, { path: bundle, sha256: sha256("x"), view: "secure-ai-policy-engine.service" }] },
    codes: ["runtime.bundles BUNDLE_CHANGED"],
  },
  {
    name: "a program of nobody's among ours",
    change: { files: [...clean.files, { path: "/usr/libexec/secure-ai/more", sha256: sha256("x"), view: null }] },
    codes: ["runtime.bundles BUNDLE_UNKNOWN"],
  },
  {
    name: "a changed policy",
    change: withFiles((one) => [one.path === policyFile ? { ...one, sha256: sha256("x") } : one]),
    codes: ["runtime.policies POLICY_CHANGED"],
  },
  {
    name: "a policy seen by a service alone",
    change: withFiles((one) => [one.path === policyFile ? { ...one, view: "x.service" } : one]),
    codes: ["runtime.policies POLICY_MISSING"],
  },
  {
    name: "another ruleset file",
    change: { firewall: { ...clean.firewall, file: sha256("x") } },
    codes: ["runtime.firewall FIREWALL_FILE"],
  },
  { name: "no rules", change: { firewall: { ...clean.firewall, loaded: [] } }, codes: ["runtime.firewall FIREWALL_RULES"] },
  {
    name: "unlistable rules",
    change: { firewall: { ...clean.firewall, loaded: null } },
    codes: ["runtime.firewall FIREWALL_RULES"],
  },
  {
    name: "a file that does not load",
    change: { firewall: { ...clean.firewall, expected: null } },
    codes: ["runtime.firewall FIREWALL_RULES"],
  },
  {
    name: "one rule more",
    change: { firewall: { ...clean.firewall, loaded: [...(clean.firewall.loaded ?? []), "{}"] } },
    codes: ["runtime.firewall FIREWALL_RULES"],
  },
  {
    name: "rules in another order",
    change: { firewall: { ...clean.firewall, loaded: clean.firewall.loaded?.toReversed() ?? null } },
    codes: ["runtime.firewall FIREWALL_RULES"],
  },
  { name: "a changed setting", change: { sysctl: { "kernel.sysrq": "1" } }, codes: ["runtime.sysctl SYSCTL_VALUE"] },
  { name: "a setting that is not told", change: { sysctl: {} }, codes: ["runtime.sysctl SYSCTL_UNREPORTED"] },
  {
    name: "another listener",
    change: { listeners: [...clean.listeners, { ...listener, port: 4444 }] },
    codes: ["runtime.listeners LISTENER_UNEXPECTED"],
  },
  {
    name: "the service's port on every address",
    change: { listeners: [{ ...listener, address: "0.0.0.0" }] },
    codes: ["runtime.listeners LISTENER_UNEXPECTED", "runtime.listeners LISTENER_MISSING"],
  },
  {
    name: "the service's port held by another unit",
    change: { listeners: clean.listeners.map((one) => (one === listener ? { ...one, unit: "evil.service" } : one)) },
    codes: ["runtime.listeners LISTENER_UNEXPECTED"],
  },
  {
    name: "a sniffer",
    change: { listeners: [...clean.listeners, { protocol: "packet", address: "*", port: 3, uid: 0, unit: null }] },
    codes: ["runtime.listeners LISTENER_UNEXPECTED"],
  },
  { name: "nobody at the service's port", change: { listeners: [] }, codes: ["runtime.listeners LISTENER_MISSING"] },
  {
    name: "a changed unit",
    change: withUnit({ fragment: { ...unit.fragment, sha256: sha256("x") } }),
    codes: ["runtime.units UNIT_CHANGED"],
  },
  { name: "a unit in /run", change: withUnit({ fragment: runFile }), codes: ["runtime.units UNIT_UNKNOWN"] },
  {
    name: "a unit that the baseline does not know",
    change: withUnit({ fragment: { path: "/usr/lib/systemd/system/x.service", sha256: sha256("x") } }),
    codes: ["runtime.units UNIT_UNKNOWN"],
  },
  { name: "a service without a file", change: withUnit({ fragment: null }), codes: ["runtime.units UNIT_UNKNOWN"] },
  {
    name: "a drop-in",
    change: withUnit({ dropIns: [{ ...runFile, path: `${runFile.path}.d/x.conf` }] }),
    codes: ["runtime.units DROP_IN_UNKNOWN"],
  },
  {
    name: "a drop-in that was the release's",
    change: withUnit({ dropIns: [{ ...unit.fragment, sha256: sha256("x") }] }),
    codes: ["runtime.units DROP_IN_CHANGED"],
  },
  {
    name: "a file that waits to be loaded",
    change: { unitFiles: [...clean.unitFiles, runFile] },
    codes: ["runtime.units UNIT_FILE_UNKNOWN"],
  },
  {
    name: "a generated file that was changed",
    change: { unitFiles: clean.unitFiles.map((one) => ({ ...one, sha256: sha256("x") })) },
    codes: ["runtime.units UNIT_FILE_UNKNOWN"],
  },
  { name: "a failed unit", change: withUnit({ active: "failed" }), codes: ["runtime.failed-units UNIT_FAILED"] },
  { name: "a mount over /usr", change: mounted({}), codes: ["runtime.mounts MOUNT_UNEXPECTED"] },
  { name: "a second root", change: mounted({ point: "/" }), codes: ["runtime.mounts MOUNT_UNEXPECTED"] },
  {
    name: "a part of the root in another place",
    change: mounted({ device: "253:0", type: "erofs", root: "/etc" }),
    codes: ["runtime.mounts MOUNT_UNEXPECTED"],
  },
  {
    name: "a mask over a setting",
    change: mounted({ point: "/proc/sys/kernel/sysrq" }),
    codes: ["runtime.mounts MOUNT_UNEXPECTED"],
  },
  { name: "another file system at /proc", change: mounted({ point: "/proc" }), codes: ["runtime.mounts MOUNT_UNEXPECTED"] },
  {
    name: "an object's own name as a mount point",
    change: mounted({ point: "constructor" }),
    codes: ["runtime.mounts MOUNT_UNEXPECTED"],
  },
  { name: "a mount in a service's view", change: mounted({ view: "x.service" }), codes: ["runtime.mounts MOUNT_UNEXPECTED"] },
  {
    name: "something hidden from the system",
    change: mounted({ root: "/systemd/inaccessible/dir" }),
    codes: ["runtime.mounts MOUNT_UNEXPECTED"],
  },
  {
    name: "a module of nobody's",
    change: { modules: { ...clean.modules, loaded: ["rootkit"] } },
    codes: ["runtime.modules MODULE_UNKNOWN"],
  },
  {
    name: "a barred module",
    change: { modules: { ...clean.modules, loaded: ["sctp"] } },
    codes: ["runtime.modules MODULE_BARRED"],
  },
  {
    name: "an unsigned module",
    change: { modules: { ...clean.modules, taint: 8192 } },
    codes: ["runtime.modules KERNEL_TAINTED"],
  },
  {
    name: "a module built elsewhere where none of the release's own is loaded",
    change: { modules: { ...clean.modules, taint: 4096 } },
    codes: ["runtime.modules KERNEL_TAINTED"],
  },
  {
    name: "an unsigned module beside one that was built with the image",
    change: { modules: { ...clean.modules, loaded: ["nvidia_uvm"], taint: 4096 + 8192 } },
    codes: ["runtime.modules KERNEL_TAINTED"],
  },
  {
    name: "changed rules for modules",
    change: withFiles((one) => [one.path.startsWith("/usr/lib/modprobe.d/") ? { ...one, sha256: sha256("x") } : one]),
    codes: ["runtime.modules MODPROBE_CHANGED"],
  },
  {
    name: "a program from elsewhere",
    change: { processes: [{ ...process, sealed: false }] },
    codes: ["runtime.processes PROCESS_FOREIGN"],
  },
  {
    name: "a library from elsewhere",
    change: { processes: [{ ...process, foreignCode: ["/run/x.so"] }] },
    codes: ["runtime.processes CODE_FOREIGN"],
  },
  {
    name: "a shell on a terminal",
    change: { processes: [{ ...process, terminal: "4:9" }] },
    codes: ["runtime.shells SHELL_ON_TERMINAL"],
  },
  {
    name: "a debug shell of the release's own that somebody started",
    change: {
      units: [
        ...clean.units,
        {
          ...{ name: "debug-shell.service", load: "loaded", active: "active", dropIns: [] },
          fragment: {
            path: "/usr/lib/systemd/system/debug-shell.service",
            sha256: sha256("/usr/lib/systemd/system/debug-shell.service"),
          },
        },
      ],
    },
    codes: ["runtime.shells SHELL_UNIT"],
  },
];
for (const { name, change, codes } of rejected) {
  test(`rejected: ${name}`, () => expect(ask({ ...clean, ...change })).toEqual({ verdict: "rejected", found: codes }));
}

const accepted: { name: string; change: Partial<RunningState> }[] = [
  { name: "a setting with other white space", change: { sysctl: { "kernel.sysrq": "0", "net.x": "1 0" } } },
  { name: "a setting that this kernel lacks", change: { sysctl: { "kernel.sysrq": null } } },
  { name: "a module of the release, with the other dash", change: { modules: { ...clean.modules, loaded: ["dm_crypt"] } } },
  {
    name: "a module that was built with the image",
    change: { modules: { ...clean.modules, loaded: ["nvidia_uvm"], taint: 4096 } },
  },
  { name: "a kernel that complained about firmware", change: { modules: { ...clean.modules, taint: 512 + 2048 } } },
  {
    name: "a service's view with parts of the root mounted over themselves",
    change: mounted({ view: "x.service", point: "/usr", root: "/usr", device: "253:0", type: "erofs" }),
  },
];
for (const { name, change } of accepted) {
  test(`accepted: ${name}`, () => expect(ask({ ...clean, ...change })).toEqual({ verdict: "accepted", found: [] }));
}

test("a unit of the site's own is accepted by its digest, and nothing else of that unit's is", () => {
  const added = {
    units: [...clean.units, { name: "evil.service", load: "loaded", active: "active", fragment: runFile, dropIns: [] }],
    unitFiles: [...clean.unitFiles, runFile],
  };
  const site = (digest: string): RuntimePolicy => ({ ...policy, units: new Map([["evil.service", digest]]) });
  expect(ask({ ...clean, ...added }, site(runFile.sha256))).toEqual({ verdict: "accepted", found: [] });
  expect(ask({ ...clean, ...added }, site(sha256("another"))).verdict).toBe("rejected");
  const listens = { listeners: [...clean.listeners, { ...listener, port: 4444, unit: "evil.service" }] };
  expect(ask({ ...clean, ...added, ...listens }, site(runFile.sha256)).found).toEqual(["runtime.listeners LISTENER_UNEXPECTED"]);
});

const stateIds = runtimeChecks.map(({ id }) => id).filter((id) => id.startsWith("runtime."));

test("undecided: a machine that tells of its boot alone, or a release without a baseline", () => {
  expect(ask(undefined)).toEqual({ verdict: "undecided", found: stateIds.map((id) => `${id} STATE_MISSING`) });
  const release = { version: "0.1.0", services: new Map() };
  const without: RuntimePolicy = { ...policy, baseline: undefined, release };
  expect(ask(clean, without).found).toEqual(expect.arrayContaining(stateIds.map((id) => `${id} BASELINE_MISSING`)));
});

test("not asked: measurements alone", () => {
  const alone: RuntimePolicy = { ...policy, baseline: undefined };
  expect(ask(undefined, alone)).toEqual({ verdict: "accepted", found: [] });
  const outcomes = runChecks(runtimeChecks, runtimeFacts(evidence, NONCE), alone);
  expect(outcomes.filter(({ status }) => status === "not_present").map(({ id }) => id)).toEqual(expect.arrayContaining(stateIds));
});

test("a baseline of another image decides nothing in its favour", () => {
  const other = buildBaseline({ ...exampleBaselineFacts, rootHash: sha256("other") });
  expect(ask(runningOf(other), { ...policy, baseline: other }).found).toContain("runtime.baseline BASELINE_OTHER_IMAGE");
});
