import { runtimeVerdict } from "../vm/attest.ts";
import type { RawDisk } from "../vm/disk.ts";
import { VmError } from "../vm/errors.ts";
import { expectEqual, expectMatch, expectNoMatch } from "../vm/expect.ts";
import type { Machine } from "../vm/machine.ts";
import type { Scenario, Test } from "../vm/suite.ts";

/** Files that nothing needs to boot or to run a health check; the first that is there is the victim. */
const VICTIMS = ["/usr/sbin/tc", "/usr/bin/localedef", "/usr/sbin/devlink", "/usr/sbin/debugfs"];
/** Device-mapper's own words (drivers/md/dm-verity-target.c). */
const KERNEL_REFUSES = /device-mapper: verity: \S+ (data|metadata) block \d+ is corrupted/;

interface Victim {
  readonly path: string;
  /** Bytes from the start of the root partition; in the middle of the file's first extent. */
  readonly offset: number;
}

async function findVictim(machine: Machine): Promise<Victim> {
  const path = (await machine.succeeds(`ls ${VICTIMS.join(" ")} 2>/dev/null | head -1`)).trim();
  const map = await machine.succeeds(`filefrag -b1 -v ${path}`);
  const extent = /^\s*0:\s+\d+\.\.\s*\d+:\s+(\d+)\.\.\s*\d+:\s+(\d+):/m.exec(map);
  if (extent === null) throw new VmError("HARNESS_PROTOCOL", { expected: `the extents of ${path}`, actual: map });
  return { path, offset: Number(extent[1]) + 100 };
}

function rootOf(disk: RawDisk, suffix: "" | "_verity"): number {
  const pattern = suffix === "" ? /^root_[^_]+$/ : /^root_[^_]+_verity$/;
  const partition = disk.partitions.find(({ label }) => pattern.test(label));
  if (partition === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a root partition", actual: "none" });
  return partition.offset;
}

/** Boots from a root that cannot even be mounted: named, restarted, never run. */
async function refusesRoot(test: Test, position: (disk: RawDisk) => number): Promise<void> {
  const disk = await test.disk();
  await disk.flipByte(position(disk));
  const machine = await test.machine(disk);
  await machine.powerOn();
  await machine.waitForSerial(KERNEL_REFUSES, test.bench.limits.boot);
  await machine.waitForSerial(/SECAI-(SLOT-RETRY|SLOT-FALLBACK|NO-BOOTABLE-SLOT): \S.*/, test.bench.limits.failedBoot);
  test.measure("refusedAfterMs", machine.uptimeMs);
  expectEqual(machine.agent.bootId, undefined, "a started system");
  expectNoMatch(machine.serial.text(), /login:|Press Enter for maintenance|Give root password/, "console");
}

export const integrityScenarios: readonly Scenario[] = [
  {
    id: "root.superblock",
    title: "One bit flipped in the root's superblock: dm-verity refuses it and the machine does not start from it",
    needs: "boot",
    run: async (test) => await refusesRoot(test, (disk) => rootOf(disk, "") + 1024),
  },
  {
    id: "root.hash-tree",
    title: "One bit flipped in the root's hash tree: dm-verity refuses it and the machine does not start from it",
    needs: "boot",
    run: async (test) => await refusesRoot(test, (disk) => rootOf(disk, "_verity") + 4096),
  },
  {
    id: "root.data",
    title:
      "One bit flipped in a file while the machine was off: reading it is an error, attestation refuses, SECAI-VERITY-CORRUPTED",
    needs: "boot",
    async run(test) {
      const victim = await findVictim(await test.shared());
      const disk = await test.disk();
      await disk.flipByte(rootOf(disk, "") + victim.offset);
      const machine = await test.machine(disk);
      test.measure("agentMs", await machine.boot());
      await machine.waitForRunning();
      expectMatch(await machine.fails(`cat ${victim.path} >/dev/null`), /Input\/output error/, "reading the changed file");
      await detected(test, machine);
    },
  },
  {
    id: "root.data-running",
    title: "One bit flipped below the running system: the same, by root itself",
    smoke: true,
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      // The watch would go over to the other slot, with a restart, while the evidence is being collected.
      await machine.succeeds("systemctl stop secure-ai-verity-watch.timer");
      const { path, offset } = await findVictim(machine);
      const partition =
        "/dev/disk/by-partuuid/$(veritysetup status root | sed -n 's/.*root hash: *//p' | sed -E 's/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/\\1-\\2-\\3-\\4-\\5/')";
      await machine.succeeds(
        `printf X | dd of=${partition} bs=1 seek=${offset} conv=notrunc,fsync status=none && echo 3 > /proc/sys/vm/drop_caches`,
      );
      expectMatch(await machine.fails(`cat ${path} >/dev/null`), /Input\/output error/, "reading the changed file");
      await detected(test, machine, "systemctl start --no-block secure-ai-verity-watch.timer secure-ai-verity-watch.service");
    },
  },
];

/** The kernel says so, attestation fails, and the watch acts by itself. */
async function detected(test: Test, machine: Machine, watch?: string): Promise<void> {
  expectMatch(await machine.succeeds("journalctl -k -b --no-pager -o cat"), KERNEL_REFUSES, "kernel log");
  const { verdict, failures } = await runtimeVerdict(test.release, test.bench, machine, { trust: "test" });
  expectEqual(verdict, "rejected", "verdict");
  expectMatch(failures.join(" "), /ROOT_/, "refusal");
  if (watch !== undefined) await machine.succeeds(watch);
  await machine.waitForSerial(/SECAI-VERITY-CORRUPTED: /, test.bench.limits.settle);
  await machine.waitForSerial(/SECAI-(SLOT-RETRY|SLOT-FALLBACK): /, test.bench.limits.settle);
}
