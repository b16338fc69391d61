import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry, Metadata } from "./baseline.ts";
import { createConfirmation } from "./confirm.ts";
import { createMounts } from "./look-mounts.ts";
import { lookAtFirewall, lookAtListeners, openHooks, parseRuleset } from "./look-network.ts";
import { rollingRate } from "./rehash.ts";
import { sealedRootHash } from "./root.ts";
import { machineAfter } from "./take-baseline.ts";
import { violation } from "./violation.ts";

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "secai-look-")));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, content: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

const mount = (device: string, from: string, point: string, type: string, options = "rw"): string =>
  `30 1 ${device} ${from} ${point} rw,relatime shared:1 - ${type} source ${options}\n`;
const SYSTEM = mount("254:0", "/", "/", "erofs") + mount("0:22", "/", "/proc", "proc") + mount("254:5", "/", "/var", "ext4");

describe("mounts", () => {
  const look = (allowed: { point: string; types: string[] }[] = []) => createMounts(root).look({ allowed }).violations;
  const OVERLAY = mount(
    "0:50",
    "/",
    "/usr",
    "overlay",
    "ro,lowerdir=/run/systemd/sysext/meta/usr:/run/systemd/sysext/extensions/vulkan/usr:/usr",
  );
  const LAYER = mount("254:7", "/", "/run/extensions/vulkan", "erofs");
  const extensions = (...names: readonly string[]): string => {
    const one = (name: string) =>
      `{"dataBytes":1,"hardware":{"pciClasses":[],"pciVendors":[]},"hashOffset":1,"name":"${name}","partition":"ext_${name}_1","rootHash":"${"0".repeat(64)}","title":"t"}`;
    return `{"extensions":[${names.map(one).join(",")}],"schema":1}\n`;
  };

  test("those of the system are expected", () => {
    put("/proc/1/mountinfo", SYSTEM);
    expect(look()).toEqual([]);
  });

  const wrong: readonly { name: string; line: string; path: string }[] = [
    { name: "a file of /etc", line: mount("0:23", "/x", "/etc/passwd", "tmpfs"), path: "/etc/passwd" },
    {
      name: "an interface of the kernel",
      line: mount("0:23", "/x", "/proc/sys/kernel/kptr_restrict", "tmpfs"),
      path: "/proc/sys/kernel/kptr_restrict",
    },
    { name: "the root itself", line: mount("254:0", "/etc", "/usr", "erofs"), path: "/usr" },
    { name: "another type in a usual place", line: mount("0:9", "/", "/boot", "tmpfs"), path: "/boot" },
  ];
  for (const { name, line, path } of wrong)
    test(`over ${name} none is expected`, () => {
      put("/proc/1/mountinfo", SYSTEM + line);
      expect(look()).toEqual([expect.objectContaining({ category: "mount", path, kind: "unexpected" })]);
    });

  test("one that the policy names is expected, of that type alone", () => {
    put("/proc/1/mountinfo", SYSTEM + mount("0:60", "/", "/mnt/data", "ext4"));
    expect(look([{ point: "/mnt/data", types: ["ext4"] }])).toEqual([]);
    expect(look([{ point: "/mnt/data", types: ["xfs"] }]).length).toBe(1);
  });

  test("without the system's mounts nothing is right", () => {
    mkdirSync(join(root, "proc"));
    expect(look()).toEqual([expect.objectContaining({ kind: "unreadable" })]);
  });

  test("an extension of the release below dm-verity is expected; another, or one from elsewhere, is not", () => {
    put("/proc/1/mountinfo", SYSTEM + LAYER + OVERLAY);
    put("/sys/dev/block/254:7/dm/uuid", "CRYPT-VERITY-1-vulkan\n");
    put("/usr/lib/secure-ai/extensions.json", extensions("vulkan"));
    expect(look()).toEqual([]);
    put("/sys/dev/block/254:7/dm/uuid", "LVM-1\n");
    expect(look()).toEqual([expect.objectContaining({ path: "/usr: vulkan", kind: "covered" })]);
    put("/usr/lib/secure-ai/extensions.json", extensions("cuda"));
    expect(look()).toEqual([expect.objectContaining({ path: "/usr: vulkan", kind: "unexpected" })]);
  });

  test("what the system's view passes on to others is told once, and again once the system's is gone", () => {
    const cover = mount("0:23", "/x", "/etc/secure-ai/policy/policy.yaml", "tmpfs");
    put("/proc/1/mountinfo", SYSTEM + cover);
    put("/proc/50/mountinfo", `${SYSTEM}${mount("0:70", "/", "/tmp", "tmpfs")}${cover}`);
    put("/proc/50/stat", "50 (a) S 1 1 1 0 -1 4194560 0\n");
    put("/proc/50/cgroup", "0::/system.slice/a.service\n");
    const mounts = createMounts(root);
    const paths = () => mounts.look({ allowed: [] }).violations.map(({ path }) => path);
    for (let time = 0; time < 3; time += 1) expect(paths()).toEqual(["/etc/secure-ai/policy/policy.yaml"]);
    put("/proc/1/mountinfo", SYSTEM);
    expect(paths()).toEqual([]);
    expect(paths()).toEqual(["/etc/secure-ai/policy/policy.yaml in a.service"]);
  });

  test("in another namespace a mount counts when it is still there a moment later, under its unit's name; kernel threads have no view", () => {
    put("/proc/1/mountinfo", SYSTEM);
    const other = SYSTEM + mount("0:23", "/x", "/etc/secure-ai/policy/policy.yaml", "tmpfs");
    for (const [pid, flags] of [
      ["50", "4194560"],
      ["2", "2129984"],
    ]) {
      put(`/proc/${pid}/mountinfo`, pid === "50" ? other : `${other}${mount("0:1", "/", "/etc/x", "tmpfs")}`);
      put(`/proc/${pid}/stat`, `${pid} (a) b) S 1 1 1 0 -1 ${flags} 0\n`);
      put(`/proc/${pid}/cgroup`, "0::/system.slice/a.service\n");
    }
    const mounts = createMounts(root);
    expect(mounts.look({ allowed: [] })).toMatchObject({ violations: [], againMs: 500 });
    expect(mounts.look({ allowed: [] }).violations).toEqual([
      expect.objectContaining({ path: "/etc/secure-ai/policy/policy.yaml in a.service" }),
    ]);
  });
});

describe("the sealed root", () => {
  const refused: readonly { name: string; cmdline: string; type: string; uuid: string }[] = [
    { name: "no root hash", cmdline: "quiet", type: "erofs", uuid: "CRYPT-VERITY-0-root" },
    { name: "half a root hash", cmdline: "roothash=abc", type: "erofs", uuid: "CRYPT-VERITY-0-root" },
    { name: "the hash in another argument", cmdline: `xroothash=${"a".repeat(64)}`, type: "erofs", uuid: "CRYPT-VERITY-0-root" },
    { name: "another file system", cmdline: `roothash=${"a".repeat(64)}`, type: "ext4", uuid: "CRYPT-VERITY-0-root" },
    { name: "no verity", cmdline: `roothash=${"a".repeat(64)}`, type: "erofs", uuid: "LVM-0" },
  ];
  for (const { name, cmdline, type, uuid } of refused)
    test(`is none with ${name}`, () => {
      put("/proc/cmdline", cmdline);
      put("/proc/1/mountinfo", mount("254:0", "/", "/", type));
      put("/sys/dev/block/254:0/dm/uuid", uuid);
      expect(() => sealedRootHash(root)).toThrow(expect.objectContaining({ code: "ROOT_UNSEALED" }));
    });
});

const chain = (hook: string, policy: string, family = "inet"): string =>
  JSON.stringify({ chain: { family, hook, name: hook, policy, prio: 0, table: "t", type: "filter" } });

describe("the firewall", () => {
  test("is open at each hook where no inet chain drops by default", () => {
    const rules = [chain("input", "drop"), chain("output", "accept"), chain("forward", "drop", "ip")];
    expect(openHooks(rules, ["input", "output", "forward"])).toEqual(["output", "forward"]);
    expect(openHooks([], ["input"])).toEqual(["input"]);
  });

  test("counters and handles make no difference, a rule does, and no listing at all does", () => {
    const json = (handle: number, ...more: object[]) =>
      JSON.stringify({ nftables: [{ table: { family: "inet", name: "t", handle } }, ...more] });
    const expected = parseRuleset(root, json(1));
    expect(lookAtFirewall(expected, parseRuleset(root, json(7))).violations).toEqual([]);
    expect(lookAtFirewall(expected, parseRuleset(root, json(1, { rule: { expr: [] } }))).violations.length).toBe(1);
    expect(lookAtFirewall(expected, null).violations).toEqual([expect.objectContaining({ category: "firewall" })]);
  });

  test("tables of the older packet filter are one rule too many", () => {
    put("/proc/net/ip_tables_names", "filter\n");
    expect(parseRuleset(root, '{"nftables":[]}')).toEqual(["legacy ip table filter"]);
  });
});

describe("listeners", () => {
  const line = (address: string, port: number, state: string, uid: number, inode: number): string =>
    `   0: ${address}:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 ${state} 0:0 0:0 0 ${uid} 0 ${inode} 1\n`;
  const rules = [{ protocol: "tcp" as const, address: "127.0.0.1", port: 8500, uids: [61_184, 65_519] as [number, number] }];
  const LOOPBACK = "0100007F";
  const cases: readonly { name: string; line: string; wrong: boolean }[] = [
    { name: "a service's own", line: line(LOOPBACK, 8500, "0A", 61_300, 1), wrong: false },
    { name: "a connection", line: line(LOOPBACK, 9999, "01", 0, 1), wrong: false },
    { name: "the port on every address", line: line("00000000", 8500, "0A", 61_300, 1), wrong: true },
    { name: "another port", line: line(LOOPBACK, 8501, "0A", 61_300, 1), wrong: true },
    { name: "the port held by root", line: line(LOOPBACK, 8500, "0A", 0, 1), wrong: true },
    { name: "the port held by an ordinary user", line: line(LOOPBACK, 8500, "0A", 1000, 1), wrong: true },
  ];
  for (const { name, line, wrong } of cases)
    test(`${name} is ${wrong ? "" : "not "}wrong`, () => {
      put("/proc/1/net/tcp", line);
      expect(lookAtListeners(root, rules).violations.length).toBe(wrong ? 1 : 0);
    });
});

test("what must stand a while is believed then, and anew after it went away", () => {
  let now = 0;
  const confirm = createConfirmation({ nowMs: () => 0, monotonicMs: () => now }, 1000);
  const one = violation("systemd_unit", "/a", "missing", "x", "y");
  expect(confirm([one])).toEqual({ sure: [], unsure: true });
  now = 999;
  expect(confirm([one]).sure).toEqual([]);
  now = 1000;
  expect(confirm([one])).toEqual({ sure: [one], unsure: false });
  expect(confirm([])).toEqual({ sure: [], unsure: false });
  expect(confirm([one]).sure).toEqual([]);
});

test("the rolling rate always suffices to read everything within half the interval", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_080 }),
      fc.integer({ min: 1 << 20, max: 2 ** 40 }),
      fc.integer({ min: 0, max: 2 ** 42 }),
      (interval_minutes, bytes_per_second, bytes) => {
        const rate = rollingRate({ interval_minutes, bytes_per_second }, bytes);
        expect(bytes / rate).toBeLessThanOrEqual(interval_minutes * 30 + 1e-6);
        expect(rate).toBeGreaterThanOrEqual(bytes_per_second);
      },
    ),
  );
});

describe("what of the machine goes into the next baseline", () => {
  const file = (path: string, sha256: string): Entry => ({ path, category: "state_file", type: "file", sha256, size: 1 });
  const metadata = (path: string, inode: string): Metadata => ({ path, mode: "100600", inode, size: 65, uid: 0, gid: 0 });
  const before = { files: [file("/b", "1")], metadata: [metadata("/c/x", "7")] };
  const found = { files: [file("/a", "2"), file("/b", "2")], metadata: [metadata("/c/x", "8"), metadata("/c/y", "9")] };

  test("an update may add, never change", () => {
    expect(machineAfter("release", before, found)).toEqual({
      files: [file("/a", "2"), file("/b", "1")],
      metadata: [metadata("/c/x", "7"), metadata("/c/y", "9")],
    });
  });
  test("another policy adds nothing", () => {
    expect(machineAfter("policy", before, found)).toEqual(before);
  });
  test("an operator takes what is there", () => {
    expect(machineAfter("rebaseline", before, found)).toEqual(found);
  });
});
