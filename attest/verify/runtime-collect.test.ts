import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { normalRuleset } from "./runtime-collect-firewall.ts";
import { moduleName, parseBarred, parseSysctlKeys } from "./runtime-collect-kernel.ts";
import { parseMountInfo } from "./runtime-collect-mounts.ts";
import { parseForeignCode, parseTerminal } from "./runtime-collect-processes.ts";
import { parseInetTable, parsePacketTable } from "./runtime-collect-sockets.ts";
import { parseUnits } from "./runtime-collect-units.ts";
import { digestOf, digestOfEntry } from "./runtime-files.ts";
import { parseUnit } from "./runtime-procfs.ts";
import { isSealedPath, MAX_NAME_CHARS, visible } from "./runtime-state.ts";

// What kernel and tools print on a machine, and what an attacker could make them print.

const folder = mkdtempSync(join(tmpdir(), "secai-collect-"));
afterAll(() => rmSync(folder, { recursive: true }));

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2134 00000000:0000 0A 00000000:00000000 00:00000000 00000000 62508        0 3549 1 0000000000000000 100 0 0 10 0
   1: 0100007F:2134 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3550 1 0000000000000000 20 4 30 10 -1
`;
const TCP6 = `   0: 00000000000000000000000000000000:115C 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:115D 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 10 1 0 100 0 0 10 0
`;
const UDP = `  568: 0F02000A:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000   998        0 2176 2 0000000000000000 0
`;

test("listening TCP sockets are found, connections are not", () => {
  expect(parseInetTable(TCP, "tcp")).toEqual([{ protocol: "tcp", address: "127.0.0.1", port: 8500, uid: 62_508, inode: "3549" }]);
  expect(parseInetTable(TCP6, "tcp").map(({ address, port }) => `${address} ${port}`)).toEqual([":: 4444", "::1 4445"]);
});

test("unconnected UDP and packet sockets are found", () => {
  expect(parseInetTable(UDP, "udp")).toEqual([{ protocol: "udp", address: "10.0.2.15", port: 68, uid: 998, inode: "2176" }]);
  const packet =
    "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n0000000000000000 3      3    0003   2     1 0      0      4711\n";
  expect(parsePacketTable(packet)).toEqual([{ protocol: "packet", address: "*", port: 3, uid: 0, inode: "4711" }]);
});

test("a process belongs to the innermost unit of its control group", () => {
  expect(parseUnit("0::/system.slice/ssh.service\n")).toBe("ssh.service");
  expect(parseUnit("0::/system.slice/a.service/payload/b.scope\n")).toBe("b.scope");
  expect(parseUnit("0::/init.scope\n")).toBe("init.scope");
  expect(parseUnit("0::/user.slice\n")).toBeNull();
  expect(parseUnit("0::/\n")).toBeNull();
  expect(parseUnit("1:name=x:/evil.service\n")).toBeNull();
});

test("mounts are read with and without optional fields, and names are unescaped", () => {
  const info = `67 1 253:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro,user_xattr
21 67 0:24 /machine-id /etc/machine-id ro - tmpfs tmpfs rw
99 67 0:50 / /usr/share/a\\040b rw shared:9 master:2 - tmpfs tmpfs rw
`;
  expect(parseMountInfo(info)).toEqual([
    { device: "253:0", root: "/", point: "/", type: "erofs" },
    { device: "0:24", root: "/machine-id", point: "/etc/machine-id", type: "tmpfs" },
    { device: "0:50", root: "/", point: "/usr/share/a b", type: "tmpfs" },
  ]);
});

test("a terminal is told from none, whatever a process calls itself", () => {
  expect(parseTerminal("1071 (node) S 1 1071 1071 0 -1 4194560")).toBeNull();
  expect(parseTerminal("1 (bash) S 1 1 1 1033 1 0")).toBe("4:9");
  expect(parseTerminal("1 (a) S 1 1 1 0 (b) S 1 1 1 34816 1 0")).toBe("136:0");
});

test("only code that is mapped from files of other devices is foreign", () => {
  const maps = `55f1a963d000-55f1a9641000 r-xp 00001000 fd:00 426631                     /usr/bin/node
7f0000000000-7f0000001000 r-xp 00000000 00:18 77                         /run/hook.so
7f0000002000-7f0000003000 r--p 00000000 00:18 77                         /run/data
7f0000004000-7f0000005000 r-xp 00000000 00:01 5                          /memfd:x (deleted)
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
`;
  expect(parseForeignCode(maps, new Set(["253:0"]))).toEqual(["/run/hook.so", "/memfd:x (deleted)"]);
});

test("code that comes through the overlay on /usr is not foreign when the overlay's device is among the sealed ones", () => {
  const maps = "561000-562000 r-xp 00001000 00:2e 426764                     /usr/bin/node\n";
  expect(parseForeignCode(maps, new Set(["253:0"]))).toEqual(["/usr/bin/node"]);
  expect(parseForeignCode(maps, new Set(["253:0", "0:46"]))).toEqual([]);
});

test("settings are named with dots, however a file writes them; patterns name none", () => {
  const file = "# c\n; c\nkernel.sysrq = 0\n-vm.x=1\nnet/ipv4/conf/eth0.5/rp_filter = 1\nnet.ipv4.conf.*.rp_filter = 1\nbroken\n";
  expect(parseSysctlKeys(file)).toEqual(["kernel.sysrq", "vm.x", "net.ipv4.conf.eth0/5.rp_filter"]);
});

test("modules are barred by an install line that does nothing", () => {
  expect(
    parseBarred("install n-hdlc /bin/false\n# install a /bin/false\ninstall b /sbin/modprobe c\n install d /usr/bin/true\n"),
  ).toEqual(["n_hdlc", "d"]);
  expect(moduleName("dm-crypt")).toBe("dm_crypt");
});

const ruleset = (handle: number, packets: number, set: readonly string[]) =>
  JSON.stringify({
    nftables: [
      { metainfo: { version: "1.1.3" } },
      { table: { family: "inet", name: "t", handle } },
      { rule: { handle, expr: [{ counter: { packets, bytes: packets } }, { match: { right: { set } } }, { accept: null }] } },
    ],
  });

test("two loads of one ruleset are equal, another ruleset is not", () => {
  const first = normalRuleset(ruleset(1, 0, ["a", "b"]));
  expect(normalRuleset(ruleset(9, 4711, ["b", "a"]))).toEqual(first);
  expect(normalRuleset(ruleset(1, 0, ["a", "c"]))).not.toEqual(first);
  expect(first).toHaveLength(2);
  expect(() => normalRuleset("{}")).toThrow(expect.objectContaining({ code: "STATE_COMMAND_FAILED" }));
});

test("units are read block by block, with the digest of each file", () => {
  const unit = join(folder, "a.service");
  writeFileSync(unit, "[Service]\n");
  symlinkSync(unit, join(folder, "alias.service"));
  const output = `Id=a.service\nLoadState=loaded\nActiveState=active\nFragmentPath=${join(folder, "alias.service")}\nDropInPaths=${unit} /run/gone.conf\n\nId=-.mount\nLoadState=loaded\nActiveState=active\nFragmentPath=\nDropInPaths=\n`;
  const digest = sha256("[Service]\n");
  expect(parseUnits(output)).toEqual([
    {
      ...{ name: "a.service", load: "loaded", active: "active", fragment: { path: unit, sha256: digest } },
      dropIns: [
        { path: unit, sha256: digest },
        { path: "/run/gone.conf", sha256: null },
      ],
    },
    { name: "-.mount", load: "loaded", active: "active", fragment: null, dropIns: [] },
  ]);
});

test("what is no readable file has no digest; a link's is that of its own text", () => {
  const file = join(folder, "file");
  writeFileSync(file, "x");
  mkdirSync(join(folder, "dir"));
  symlinkSync("file", join(folder, "link"));
  symlinkSync("nowhere", join(folder, "dangling"));
  expect(digestOf(file)).toBe(sha256("x"));
  expect(digestOf(join(folder, "link"))).toBe(sha256("x"));
  expect(digestOfEntry(join(folder, "link"))).toBe(sha256("file"));
  for (const name of ["dir", "dangling", "none"]) expect(digestOf(join(folder, name)), name).toBeNull();
});

test("names are printable and bounded, and a changed one never equals a plain one", () => {
  expect(visible("a.service")).toBe("a.service");
  expect(visible("a\u001b[31m\nb")).toBe("a\\u{1b}[31m\\u{a}b");
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 2000 }), (name) => {
      const shown = visible(name);
      expect(shown).toMatch(/^[ -~]*$/);
      expect(shown.length).toBeLessThanOrEqual(MAX_NAME_CHARS);
    }),
  );
});

test("sealed paths are all but the kernel's and the writable trees", () => {
  for (const path of ["/usr/bin/node", "/etc", "/", "/variable", "/runner", "/procedure/x"])
    expect(isSealedPath(path), path).toBe(true);
  for (const path of ["/run", "/run/x", "/proc/1", "/var/lib", "/boot"]) expect(isSealedPath(path), path).toBe(false);
});

test("no text makes a parser throw", () => {
  const parsers: readonly ((text: string) => unknown)[] = [
    (text) => parseInetTable(text, "tcp"),
    parsePacketTable,
    parseUnit,
    parseMountInfo,
    parseTerminal,
    (text) => parseForeignCode(text, new Set(["253:0"])),
    parseSysctlKeys,
    parseBarred,
  ];
  const line = fc.oneof(fc.string(), fc.constantFrom(...[TCP, TCP6, UDP].flatMap((table) => table.split("\n"))));
  fc.assert(fc.property(fc.array(line), (lines) => void parsers.map((parse) => parse(lines.join("\n")))));
});
