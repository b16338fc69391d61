import { open } from "node:fs/promises";
import { RawDisk } from "../vm/disk.ts";
import { expectEqual } from "../vm/expect.ts";
import type { Scenario } from "../vm/suite.ts";
import { addAgent, expectAttested, mediumPath, scratch, withAgent } from "./medium.ts";

const OVA_DISK = "secai-os.vmdk";

/** An empty disk larger than the image, as hardware has. */
async function grow(path: string, bytes: number): Promise<void> {
  const file = await open(path, "r+");
  await file.truncate(bytes);
  await file.close();
}

export const diskScenarios: readonly Scenario[] = [
  {
    id: "media.raw",
    title: "disk.raw.zst, unpacked onto a larger NVMe disk, boots and attests",
    needs: "boot",
    async run(test) {
      const path = scratch(test, "raw");
      const medium = mediumPath(test, "disk.raw.zst");
      await test.bench.tools.run(["zstd", "-q", "-d", "--sparse", medium, "-o", path], { timeoutMs: 300_000 });
      await grow(path, 8 * 2 ** 30);
      const disk = await RawDisk.open(test.bench.tools, path);
      await addAgent(test, disk);
      await expectAttested(test, await test.machine(disk, { bus: "nvme" }));
    },
  },
  {
    id: "media.qcow2",
    title: "disk.qcow2 boots as it is and attests",
    needs: "boot",
    async run(test) {
      const backing = await withAgent(test, mediumPath(test, "disk.qcow2"), "qcow2");
      await expectAttested(test, await test.machine(backing));
    },
  },
  {
    id: "media.ova",
    title: "The disk inside disk.ova is the image, boots on the SATA controller that the descriptor names, and attests",
    needs: "boot",
    async run(test) {
      const { tools, dir, releaseDisk } = test.bench;
      await tools.run(["tar", "-C", dir, "-xf", mediumPath(test, "disk.ova")], { timeoutMs: 300_000 });
      const disk = `${dir}/${OVA_DISK}`;
      const compare = ["qemu-img", "compare", "-f", "vmdk", "-F", "raw", disk, releaseDisk.path];
      const { stdout } = await tools.run(compare, { timeoutMs: 300_000 });
      expectEqual(/identical/.test(stdout.toString("utf8")), true, "qemu-img compare");
      const backing = await withAgent(test, disk, "vmdk");
      await expectAttested(test, await test.machine(backing, { bus: "sata" }));
    },
  },
];
