import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SandboxSpec, sandboxCommand, toolCommand } from "./sandbox.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "secai-root-"));
  for (const name of ["usr", "etc", "tmp", "proc", "in"]) mkdirSync(join(root, name));
  symlinkSync("usr/bin", join(root, "bin"));
});
afterAll(() => rmSync(root, { recursive: true }));

const spec = (more: Partial<SandboxSpec> = {}): SandboxSpec => ({
  root: { kind: "tree", path: root },
  argv: ["true"],
  binds: [],
  env: {},
  network: "none",
  privileges: "none",
  ...more,
});

/** The words after each occurrence of an option. */
function optionsOf(command: readonly string[], name: string, count: number): string[][] {
  return command.flatMap((word, index) => (word === name ? [command.slice(index + 1, index + 1 + count)] : []));
}

describe("sandboxCommand", () => {
  test("always has its own namespaces, dies with its parent and drops all capabilities", () => {
    const command = sandboxCommand(spec(), 0);
    for (const option of [
      "--unshare-net",
      "--unshare-ipc",
      "--unshare-pid",
      "--unshare-uts",
      "--die-with-parent",
      "--new-session",
      "--clearenv",
    ])
      expect(command).toContain(option);
    expect(optionsOf(command, "--cap-drop", 1)).toEqual([["ALL"]]);
    expect(optionsOf(command, "--cap-add", 1)).toEqual([]);
    expect(command).not.toContain("--unshare-user");
  });

  test("tree privileges add capabilities, but none over the machine's network, clock, modules or raw devices", () => {
    const added = optionsOf(sandboxCommand(spec({ privileges: "tree" }), 0), "--cap-add", 1).flat();
    expect(added).toContain("CAP_CHOWN");
    for (const capability of [
      "CAP_NET_ADMIN",
      "CAP_SYS_TIME",
      "CAP_SYS_MODULE",
      "CAP_SYS_RAWIO",
      "CAP_SYS_PTRACE",
      "CAP_SYS_BOOT",
      "CAP_BPF",
    ])
      expect(added).not.toContain(capability);
  });

  test("mounts a tree's entries read-only, keeps its links, and leaves out what the sandbox makes itself", () => {
    const command = sandboxCommand(spec(), 0);
    expect(optionsOf(command, "--symlink", 2)).toEqual([["usr/bin", "/bin"]]);
    const mounted = optionsOf(command, "--ro-bind", 2).map(([, dst]) => dst);
    expect(mounted.filter((dst) => dst?.startsWith("/proc") !== true)).toEqual(["/etc", "/usr"]);
  });

  test("of the host it takes no home, no variable data and no whole /etc", () => {
    const command = sandboxCommand(spec({ root: { kind: "host" } }), 0);
    const sources = [...optionsOf(command, "--ro-bind", 1), ...optionsOf(command, "--ro-bind-try", 1)].flat();
    for (const source of ["/", "/etc", "/home", "/root", "/var", "/tmp", "/run", "/srv", "/etc/shadow"])
      expect(sources).not.toContain(source);
  });

  test("the root is made read-only after the last mount", () => {
    const command = sandboxCommand(spec({ binds: [{ src: "/a", dst: "/in/deep/a", writable: true }] }), 0);
    expect(command.indexOf("--remount-ro")).toBeGreaterThan(command.lastIndexOf("--bind"));
    expect(optionsOf(command, "--dir", 1)).toEqual(expect.arrayContaining([["/in"], ["/in/deep"]]));
  });

  test("another user than 0 gets a user namespace of bubblewrap's", () => {
    expect(sandboxCommand(spec(), 1000).join(" ")).toContain("--unshare-user --uid 0 --gid 0");
  });
});

describe("toolCommand", () => {
  test("the host's network only when asked, devices only those named", () => {
    const tool = { root, argv: ["qemu"], binds: [], env: {}, devices: ["/dev/kvm"] } as const;
    expect(toolCommand({ ...tool, network: "host" }, 0)).not.toContain("--unshare-net");
    expect(toolCommand({ ...tool, network: "none" }, 0)).toContain("--unshare-net");
    expect(optionsOf(toolCommand({ ...tool, network: "none" }, 0), "--dev-bind", 2)).toEqual([["/dev/kvm", "/dev/kvm"]]);
  });

  test("arguments are passed as they are, not through a shell", () => {
    const argv = ["echo", "$(id)", "a b", ";", "--", "'"];
    expect(toolCommand({ root, argv, binds: [], env: {}, network: "none" }, 0).slice(-argv.length)).toEqual(argv);
  });
});
