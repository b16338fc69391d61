import { copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHome, type Home, type Options, type Service, type Status, startService } from "./service.ts";
import { createTree, listening, mountLine, ruleset, setRuleset, type Tree } from "./tree.ts";

let tree: Tree;
let home: Home;
let service: Service | undefined;
beforeEach(() => {
  tree = createTree();
  home = createHome(tree);
});
afterEach(async () => {
  await service?.end("SIGKILL");
  service = undefined;
  await Promise.all([tree.remove(), home.remove()]);
});

async function start(options?: Options): Promise<Service> {
  service = await startService(home, options);
  return service;
}

async function trusted(options?: Options): Promise<Service> {
  const started = await start(options);
  const status = await started.until("looked at", ({ scanned }) => scanned);
  expect(status.active_violations).toEqual([]);
  expect(status.state).toBe("trusted");
  return started;
}

const models = "/var/lib/secure-ai/vault/models";
const manifest = (...entries: readonly object[]): string => JSON.stringify({ version: 1, models: entries });
const secondProcess = (at: Tree, mounts: string): void => {
  at.write("/proc/77/stat", "77 (node) S 1 77 77 0 -1 4194560 0\n");
  at.write("/proc/77/cgroup", "0::/system.slice/secure-ai-policy-engine.service\n");
  at.write("/proc/77/mountinfo", at.read("/proc/1/mountinfo") + mounts);
};

type Found = Status["active_violations"][number];

interface Tampering {
  readonly name: string;
  readonly tamper: (tree: Tree) => void;
  readonly category: string;
  readonly path: string;
  readonly kind: string;
  readonly state: "degraded" | "recovery_required";
}

const tamperings: readonly Tampering[] = [
  {
    name: "a service bundle is changed",
    tamper: (at) => at.write("/usr/lib/secure-ai/services/policy-engine.mjs", "// other\n"),
    category: "service_binary",
    path: "/usr/lib/secure-ai/services/policy-engine.mjs",
    kind: "changed",
    state: "recovery_required",
  },
  {
    name: "a service bundle is replaced by one of the same size and times",
    tamper: (at) => {
      const path = at.at("/usr/lib/secure-ai/services/policy-engine.mjs");
      at.write("/tmp/other.mjs", "// evilly\n".slice(0, 10));
      utimesSync(at.at("/tmp/other.mjs"), 1, 1);
      renameSync(at.at("/tmp/other.mjs"), path);
    },
    category: "service_binary",
    path: "/usr/lib/secure-ai/services/policy-engine.mjs",
    kind: "changed",
    state: "recovery_required",
  },
  {
    name: "a program is added",
    tamper: (at) => at.write("/usr/libexec/secure-ai/helper", "#!/bin/sh\n", 0o755),
    category: "service_binary",
    path: "/usr/libexec/secure-ai/helper",
    kind: "unexpected",
    state: "recovery_required",
  },
  {
    name: "a policy is changed",
    tamper: (at) => at.write("/etc/secure-ai/policy/policy.yaml", "version: 1\n# more\n"),
    category: "policy_file",
    path: "/etc/secure-ai/policy/policy.yaml",
    kind: "changed",
    state: "degraded",
  },
  {
    name: "a policy is taken away",
    tamper: (at) => rmSync(at.at("/etc/secure-ai/policy/policy.yaml")),
    category: "policy_file",
    path: "/etc/secure-ai/policy/policy.yaml",
    kind: "missing",
    state: "degraded",
  },
  {
    name: "a policy becomes a link to a copy of itself",
    tamper: (at) => {
      const path = at.at("/etc/secure-ai/policy/policy.yaml");
      copyFileSync(path, at.at("/tmp-policy"));
      rmSync(path);
      symlinkSync(at.at("/tmp-policy"), path);
    },
    category: "policy_file",
    path: "/etc/secure-ai/policy/policy.yaml",
    kind: "linked",
    state: "degraded",
  },
  {
    name: "a trust file is changed",
    tamper: (at) => at.write("/usr/lib/secure-ai/trust/release.pub", "another key\n"),
    category: "trust_material",
    path: "/usr/lib/secure-ai/trust/release.pub",
    kind: "changed",
    state: "recovery_required",
  },
  {
    name: "a unit of the root is changed",
    tamper: (at) => at.write("/usr/lib/systemd/system/secure-ai-policy-engine.service", "[Service]\nUser=root\n"),
    category: "systemd_unit",
    path: "/usr/lib/systemd/system/secure-ai-policy-engine.service",
    kind: "changed",
    state: "degraded",
  },
  {
    name: "a drop-in appears in /run",
    tamper: (at) => at.write("/run/systemd/system/secure-ai-policy-engine.service.d/more.conf", "[Service]\n"),
    category: "systemd_unit",
    path: "/run/systemd/system/secure-ai-policy-engine.service.d/more.conf",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a transient unit appears",
    tamper: (at) => at.write("/run/systemd/transient/run-1.service", "[Service]\n"),
    category: "systemd_unit",
    path: "/run/systemd/transient/run-1.service",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a control folder that was not there gets a unit",
    tamper: (at) => at.write("/run/systemd/system.control/debug-shell.service", "[Service]\n"),
    category: "systemd_unit",
    path: "/run/systemd/system.control/debug-shell.service",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a generated unit is changed",
    tamper: (at) => at.write("/run/systemd/generator/var.mount", "[Mount]\nOptions=exec\n"),
    category: "systemd_unit",
    path: "/run/systemd/generator/var.mount",
    kind: "changed",
    state: "degraded",
  },
  {
    name: "the firewall is flushed",
    tamper: (at) => setRuleset(at, JSON.stringify({ nftables: [{ metainfo: {} }] })),
    category: "firewall",
    path: "ruleset",
    kind: "changed",
    state: "recovery_required",
  },
  {
    name: "a rule lets everything out",
    tamper: (at) =>
      setRuleset(
        at,
        ruleset({ rule: { family: "inet", table: "secure_ai", chain: "output", handle: 9, expr: [{ accept: null }] } }),
      ),
    category: "firewall",
    path: "ruleset",
    kind: "changed",
    state: "recovery_required",
  },
  {
    name: "a barred module is loaded",
    tamper: (at) => at.write("/proc/modules", "erofs 65536 1 - Live 0x0\nrds 1 0 - Live 0x0\n"),
    category: "kernel_module",
    path: "rds",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a module that the release has not is loaded",
    tamper: (at) => at.write("/proc/modules", "erofs 65536 1 - Live 0x0\nrootkit 1 0 - Live 0x0\n"),
    category: "kernel_module",
    path: "rootkit",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "the kernel is tainted by foreign code",
    tamper: (at) => at.write("/proc/sys/kernel/tainted", "8192\n"),
    category: "kernel_module",
    path: "kernel: unsigned module",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a program listens",
    tamper: (at) => at.write("/proc/1/net/tcp", at.read("/proc/1/net/tcp") + listening(4444, 0, 200)),
    category: "listener",
    path: "tcp 127.0.0.1:4444",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a service's port is held by root",
    tamper: (at) => at.write("/proc/1/net/tcp", at.read("/proc/1/net/tcp").replace("61200", "0")),
    category: "listener",
    path: "tcp 127.0.0.1:8500",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a program listens in a network namespace of its own",
    tamper: (at) => {
      secondProcess(at, "");
      at.write("/proc/77/net/tcp", listening(4445, 0, 201));
    },
    category: "listener",
    path: "tcp 127.0.0.1:4445",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "something is mounted over /usr",
    tamper: (at) => at.mount(mountLine(40, "0:99", "/", "/usr/share/doc", "tmpfs")),
    category: "mount",
    path: "/usr/share/doc",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a policy is covered in one service's view",
    tamper: (at) => secondProcess(at, mountLine(41, "0:23", "/changed", "/etc/secure-ai/policy/policy.yaml", "tmpfs")),
    category: "mount",
    path: "/etc/secure-ai/policy/policy.yaml in secure-ai-policy-engine.service",
    kind: "unexpected",
    state: "degraded",
  },
  {
    name: "a credential is replaced by another of the same size",
    tamper: (at) => {
      at.write("/tmp-token", "t".repeat(64), 0o600);
      renameSync(at.at("/tmp-token"), at.at("/var/lib/secure-ai/credentials/policy-engine.token"));
    },
    category: "state_file",
    path: "/var/lib/secure-ai/credentials/policy-engine.token",
    kind: "changed",
    state: "degraded",
  },
  {
    name: "the attestation profile is another",
    tamper: (at) => at.write("/var/lib/secure-ai/tpm-attestation/profile.json", '{"other":1}\n'),
    category: "state_file",
    path: "/var/lib/secure-ai/tpm-attestation/profile.json",
    kind: "changed",
    state: "degraded",
  },
  {
    name: "a model that nobody registered lies there",
    tamper: (at) => at.write(`${models}/rogue.gguf`, "GGUF"),
    category: "model_file",
    path: `${models}/rogue.gguf`,
    kind: "unregistered",
    state: "degraded",
  },
  {
    name: "the registry's manifest is no manifest",
    tamper: (at) => at.write("/var/lib/secure-ai/registry/manifest.json", "{}"),
    category: "model_file",
    path: "/var/lib/secure-ai/registry/manifest.json",
    kind: "manifest",
    state: "degraded",
  },
  {
    name: "a registered model is not there",
    tamper: (at) =>
      at.write(
        "/var/lib/secure-ai/registry/manifest.json",
        manifest({ name: "m", filename: "m.gguf", sha256: "0".repeat(64), size_bytes: 4 }),
      ),
    category: "model_file",
    path: `${models}/m.gguf`,
    kind: "missing",
    state: "degraded",
  },
];

for (const events of ["on", "off"] as const)
  describe(`with events ${events}`, () => {
    // With events the sweep is far away, so what is found was found by an event; without, it is all there is.
    const env = { EVENTS: events, SWEEP_SECONDS: events === "on" ? "600" : "1" };
    for (const { name, tamper, category, path, kind, state } of tamperings)
      test(`it is noticed that ${name}`, async () => {
        const running = await trusted({ env });
        tamper(tree);
        const isIt = (one: Found): boolean => one.category === category && one.path === path && one.kind === kind;
        const status = await running.until(
          `${category} ${path}`,
          ({ active_violations, latch_reasons }) => active_violations.some(isIt) && latch_reasons.some(isIt),
        );
        expect(status.state).toBe(state);
        expect((await running.call("GET", "/api/v1/verify")).status).toBe(503);
      });
  });

test("a kernel setting that is weakened is noticed by the sweep: the kernel tells of it by no event", async () => {
  const running = await trusted({ env: { SWEEP_SECONDS: "1" } });
  tree.write("/proc/sys/kernel/kptr_restrict", "0\n");
  const { active_violations } = await running.until("weakened", ({ violation_count }) => violation_count > 0);
  expect(active_violations).toEqual([
    expect.objectContaining({
      category: "kernel_setting",
      path: "kernel.kptr_restrict",
      kind: "changed",
      expected: "2",
      actual: "0",
    }),
  ]);
});

test("a folder of a watched path that becomes a link is noticed although every file in it is right", async () => {
  const running = await trusted();
  renameSync(tree.at("/usr/lib/secure-ai/services"), tree.at("/elsewhere"));
  symlinkSync(tree.at("/elsewhere"), tree.at("/usr/lib/secure-ai/services"));
  const { active_violations } = await running.until("linked", ({ violation_count }) => violation_count > 1);
  expect(active_violations.map(({ path, kind }) => `${path} ${kind}`)).toEqual([
    "/usr/lib/secure-ai/services unexpected",
    "/usr/lib/secure-ai/services/policy-engine.mjs missing",
  ]);
});

test("a single file below a link is no file of ours", async () => {
  const running = await trusted();
  mkdirSync(tree.at("/other"));
  renameSync(tree.at("/etc/nftables.conf"), tree.at("/other/nftables.conf"));
  renameSync(tree.at("/etc"), tree.at("/etc-real"));
  symlinkSync(tree.at("/etc-real"), tree.at("/etc"));
  copyFileSync(tree.at("/other/nftables.conf"), tree.at("/etc-real/nftables.conf"));
  const { active_violations } = await running.until("linked", ({ active_violations }) =>
    active_violations.some(({ kind }) => kind === "linked"),
  );
  expect(active_violations).toContainEqual(expect.objectContaining({ path: "/etc/nftables.conf", kind: "linked" }));
});
