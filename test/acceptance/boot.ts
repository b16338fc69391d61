import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseExtensions } from "@secai/formats/extensions";
import { expectEqual, expectMatch, expectNone, expectTrue } from "../vm/expect.ts";
import type { Scenario } from "../vm/suite.ts";

const EFI_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

export const bootScenarios: readonly Scenario[] = [
  {
    id: "boot.first",
    title: "A first boot brings everything up, with no failed unit",
    needs: "shared",
    smoke: true,
    async run(test) {
      const { agentMs, runningMs, frozen } = await test.world.first();
      test.measure("agentMs", agentMs);
      test.measure("runningMs", runningMs);
      test.measure("freezeMs", frozen.freezeMs);
      test.measure("frozenBytes", frozen.memoryBytes);
      const machine = await test.shared();
      expectEqual((await machine.run("systemctl is-system-running")).stdout.trim(), "running", "state of the system");
      expectNone(await machine.succeeds("systemctl --failed --plain --no-legend"), "failed units");
    },
  },
  {
    id: "boot.fork",
    title: "A fork of the frozen machine answers its first command",
    needs: "fork",
    smoke: true,
    async run(test) {
      await test.world.first();
      const started = performance.now();
      const machine = await test.fork();
      await machine.succeeds("true");
      test.measure("firstAnswerMs", performance.now() - started);
      await machine.succeeds("echo mine > /run/secai-fork");
      const other = await test.fork();
      await other.fails("test -e /run/secai-fork");
    },
  },
  {
    id: "boot.secure-boot",
    title: "Firmware enforces Secure Boot with the release's keys",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      const variable = async (name: string): Promise<number | undefined> =>
        (await machine.pullFile(`/sys/firmware/efi/efivars/${name}-${EFI_GLOBAL}`))[4];
      expectEqual(await variable("SecureBoot"), 1, "SecureBoot");
      expectEqual(await variable("SetupMode"), 0, "SetupMode");
      expectMatch(await machine.succeeds("journalctl -k -b --no-pager -o cat"), /Secure boot enabled/i, "kernel log");
    },
  },
  {
    id: "boot.lockdown",
    title: "The kernel is locked down to confidentiality",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      expectMatch(await machine.succeeds("cat /sys/kernel/security/lockdown"), /\[confidentiality\]/, "lockdown");
      expectMatch(await machine.fails("head -c 1 /dev/mem"), /not permitted|No such file/, "/dev/mem");
    },
  },
  {
    id: "boot.command-line",
    title: "The kernel got the release's command line, and after it only the test addon's",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const line = (await machine.succeeds("cat /proc/cmdline")).trim();
      const { commandLine } = test.release.measurements();
      expectEqual(line, `${commandLine} ${test.bench.media.commandLine}`, "/proc/cmdline");
    },
  },
  {
    id: "boot.kernel-arguments",
    title: "The hardening arguments are in force",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const words = new Set((await machine.succeeds("cat /proc/cmdline")).trim().split(" "));
      const wanted = [
        ...["systemd.swap=0", "zswap.enabled=0", "slab_nomerge", "init_on_alloc=1", "init_on_free=1", "page_alloc.shuffle=1"],
        ...[
          "randomize_kstack_offset=on",
          "vsyscall=none",
          "lockdown=confidentiality",
          "panic=10",
          `roothash=${test.release.rootHash}`,
        ],
      ];
      expectNone(
        wanted.filter((word) => !words.has(word)),
        "missing kernel arguments",
      );
      expectNone(await machine.succeeds("tail -n +2 /proc/swaps"), "swap");
      expectMatch(await machine.succeeds("cat /sys/module/zswap/parameters/enabled 2>/dev/null || echo N"), /^N/, "zswap");
    },
  },
  {
    id: "boot.root-verity",
    title: "The root is a read-only erofs whose blocks are verified against the release's root hash",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      expectMatch(await machine.succeeds("findmnt -n -o FSTYPE,OPTIONS /"), /^erofs\s+ro\b/, "the root file system");
      const status = await machine.succeeds("veritysetup status root");
      expectMatch(status, /^\s*status:\s+verified$/m, "dm-verity");
      expectMatch(status, new RegExp(`^\\s*root hash:\\s+${test.release.rootHash}$`, "m"), "root hash");
    },
  },
  {
    id: "boot.root-unwritable",
    title: "Neither /etc, /usr nor the root can be written, remounted or covered",
    needs: "fork",
    smoke: true,
    async run(test) {
      const machine = await test.fork();
      for (const path of ["/etc/secai-x", "/usr/secai-x", "/secai-x", "/usr/lib/secure-ai/x", "/opt/x", "/root/x"]) {
        expectMatch(await machine.fails(`echo x > ${path}`), /Read-only file system/, path);
      }
      await machine.fails("mount -o remount,rw /");
      await machine.fails("touch /etc/passwd");
      expectMatch(
        await machine.fails(
          "blockdev --setrw /dev/mapper/root && dd if=/dev/zero of=/dev/mapper/root bs=4096 count=1 conv=fsync",
        ),
        /./,
        "the verity device",
      );
    },
  },
  {
    id: "boot.slots",
    title: "First boot has made the second slot and the encrypted state, on the same disk",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      const disk = "/dev/disk/by-id/virtio-secai-system";
      const labels = (await machine.succeeds(`lsblk -n -l -o PARTLABEL "$(readlink -f ${disk})"`))
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean);
      const { version } = test.release;
      // As many second slots as first ones.
      const { extensions } = parseExtensions(Buffer.from(await machine.succeeds("cat /usr/lib/secure-ai/extensions.json")));
      const further = extensions.flatMap(({ partition }) => [partition, "_empty"]);
      expectEqual(
        [...labels].sort().join(" "),
        [...further, "_empty", "_empty", "esp", `root_${version}`, `root_${version}_verity`, "var"].sort().join(" "),
        "partitions",
      );
    },
  },
  {
    id: "boot.blessed",
    title: "A boot that proved itself is blessed: its boot entry carries no counter any more",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const list =
        "mkdir -p /run/secai-esp && umount /dev/disk/by-partlabel/esp 2>/dev/null; mount -o ro /dev/disk/by-partlabel/esp /run/secai-esp && ls /run/secai-esp/EFI/Linux";
      expectEqual((await machine.succeeds(list)).trim(), `secai_${test.release.version}.efi`, "/EFI/Linux");
    },
  },
  {
    id: "boot.clock",
    title: "A machine whose clock is decades behind still comes up",
    needs: "boot",
    long: true,
    async run(test) {
      const machine = await test.machine(await test.disk(), { clock: "2001-01-01T00:00:00" });
      test.measure("agentMs", await machine.boot());
      await machine.waitForRunning();
      const year = Number(await machine.succeeds("date +%Y"));
      expectTrue(year >= 2001, "a clock", String(year));
    },
  },
  {
    id: "bench.controls",
    title: "The bench sees the screen, moves files, plugs USB sticks and notices ports that close",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const screen = join(machine.dir, "screen.png");
      await machine.screenshot(screen);
      expectEqual((await readFile(screen)).subarray(1, 4).toString("latin1"), "PNG", "a screenshot");
      const content = randomBytes(1 << 20);
      await machine.pushFile(content, "/run/secai-pushed");
      expectTrue(content.equals(await machine.pullFile("/run/secai-pushed")), "the bytes that were pushed", "others");
      const stick = join(machine.dir, "stick.img");
      await writeFile(stick, Buffer.alloc(1 << 20));
      await machine.plugUsb("stick", stick);
      expectMatch(await machine.qmp.monitor("info usb"), /QEMU USB (HARDDRIVE|MSD)|usb-stick/i, "USB devices");
      await machine.unplugUsb("stick");
      await machine.succeeds("systemctl stop secure-ai-policy-engine.service");
      await machine.waitForClosedPort(8500, test.bench.limits.command);
    },
  },
];
