import { execFileSync } from "node:child_process";
import { chmodSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Bundle, buildBundle, SERVICE_FLAGS } from "./bundle.ts";
import { createHome, type Home, type Service, startService } from "./service.ts";
import { createTree, type Tree } from "./tree.ts";

/** A user as systemd makes one up for a service. */
const UID = "61190";
const CAPABILITIES = ["dac_read_search", "net_admin"];

let bundle: Bundle;
let tree: Tree;
let home: Home;
let service: Service | undefined;
beforeAll(() => {
  bundle = buildBundle();
  chmodSync(bundleFolder(), 0o755);
});
afterAll(() => bundle.remove());
beforeEach(() => {
  tree = createTree();
  home = createHome(tree);
  execFileSync("chown", ["-R", `${UID}:${UID}`, home.path]);
});
afterEach(async () => {
  await service?.end("SIGKILL");
  service = undefined;
  await Promise.all([tree.remove(), home.remove()]);
});

/** @throws Error without a tool root: a test that cannot run must not pass */
function toolRoot(): string {
  const path = process.env.SECAI_TOOL_ROOT;
  if (path !== undefined && existsSync(join(path, "usr/bin/node"))) return path;
  throw new Error(
    "SECAI_TOOL_ROOT names no tool root with Node in it; `make test` sets it, `secai tools machine --path` prints it",
  );
}

const bundleFolder = (): string => dirname(bundle.path);

/**
 * The bundle on the image's own Node, as nobody in particular with two capabilities, below Landlock: it may read what it watches and write
 * where its state lies. bubblewrap gives it the image's distribution.
 */
function confined(capabilities: readonly string[]): readonly string[] {
  const rule = (rights: string, path: string): string[] => ["--landlock-rule", `path-beneath:${rights}:${path}`];
  const caps = (flag: string): string[] => [flag, ["-all", ...capabilities.map((name) => `+${name}`)].join(",")];
  const writable = "read-file,write-file,read-dir,make-reg,remove-file,truncate,refer";
  return [
    ...["bwrap", "--ro-bind", toolRoot(), "/", "--dev", "/dev", "--bind", "/proc", "/proc", "--tmpfs", "/tmp"],
    ...["--bind", tree.path, tree.path, "--bind", home.path, home.path, "--ro-bind", bundleFolder(), bundleFolder()],
    ...[...CAPABILITIES, "setuid", "setgid", "setpcap"].flatMap((name) => ["--cap-add", `CAP_${name.toUpperCase()}`]),
    ...["--die-with-parent", "--", "/usr/bin/setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", "--no-new-privs"],
    ...[...caps("--inh-caps"), ...caps("--ambient-caps"), ...caps("--bounding-set")],
    ...["--landlock-access", "fs"],
    ...rule("execute,read-file,read-dir", "/usr"),
    ...rule("read-file", "/etc/ld.so.cache"),
    ...rule("read-file", "/etc/ssl/openssl.cnf"),
    ...rule("read-file,read-dir", "/proc"),
    ...rule("read-file,write-file", "/dev/null"),
    ...rule("read-file,read-dir", bundleFolder()),
    ...rule("execute,read-file,read-dir", tree.path),
    ...rule("read-file,read-dir", join(home.path, "credentials")),
    ...["integrity", "latch", "logs", "anchor", "outbox"].flatMap((name) => rule(writable, join(home.path, name))),
    ...["/usr/bin/node", "--no-expose-wasm", ...SERVICE_FLAGS, bundle.path],
  ];
}

async function looked(capabilities: readonly string[]): Promise<Service> {
  service = await startService(home, { command: confined(capabilities), env: { UV_USE_IO_URING: "0" } });
  await service.until("looked at", ({ scan_count }) => scan_count > 0);
  return service;
}

describe("on the image's Node, below Landlock, as a user without a name", () => {
  test("it reads what only root may read, and notices by event what changes", async () => {
    const running = await looked(CAPABILITIES);
    expect(await running.status()).toMatchObject({ state: "trusted", scanned: true, violation_count: 0 });
    tree.write("/usr/lib/secure-ai/trust/release.pub", "another key\n");
    const { active_violations } = await running.until("noticed", ({ violation_count }) => violation_count > 0);
    expect(active_violations).toEqual([expect.objectContaining({ category: "trust_material", kind: "changed" })]);
  });

  test("without the capability to read it says what it cannot see, instead of seeing nothing wrong", async () => {
    chmodSync(tree.path, 0o755);
    tree.write("/usr/lib/secure-ai/private", "for root alone", 0o600);
    const running = await looked(["net_admin"]);
    const { active_violations, baseline, state } = await running.until("told of", ({ violation_count }) => violation_count > 0);
    expect({ baseline, state }).toEqual({ baseline: null, state: "recovery_required" });
    expect(active_violations).toEqual([
      expect.objectContaining({ category: "service_binary", path: "/usr/lib/secure-ai/private", kind: "unreadable" }),
    ]);
  });
});
