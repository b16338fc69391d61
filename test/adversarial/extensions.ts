import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { runtimeVerdict } from "../vm/attest.ts";
import type { RawDisk } from "../vm/disk.ts";
import { expectEqual, expectMatch, expectNone } from "../vm/expect.ts";
import { declaredExtension, extensionPartition, extensionState, VULKAN, VULKAN_LIBRARY } from "../vm/extension.ts";
import type { Scenario, Test } from "../vm/suite.ts";

// The partition of a system extension is changed while the machine is off: the extension is refused by name, the machine is healthy without.

/** Boots from the disk and expects exactly this refusal, a system without failed units, and a verifier that accepts it. */
async function refuses(test: Test, disk: RawDisk, reason: string): Promise<void> {
  const machine = await test.machine(disk);
  test.measure("agentMs", await machine.boot());
  await machine.waitForRunning();
  const { merged, refused } = await extensionState(machine);
  expectEqual(merged.join(" "), "", "merged extensions");
  expectEqual(refused.map((one) => `${one.name} ${one.reason}`).join(" "), `${VULKAN} ${reason}`, "refused extensions");
  const log = await machine.succeeds("journalctl -b -u secure-ai-extensions.service -o cat --no-pager");
  expectMatch(log, new RegExp(`"extension refused".*"name":"${VULKAN}","code":"${reason}"`), "journal");
  expectMatch(machine.serial.text(), new RegExp(`SECAI-EXTENSION-REFUSED: ${VULKAN}: ${reason}`), "console");
  await machine.fails(`test -e ${VULKAN_LIBRARY}`);
  expectNone((await machine.run("ls /run/extensions")).stdout, "mounted extensions");
  expectNone(await machine.succeeds("systemctl --failed --plain --no-legend"), "failed units");
  const { verdict, findings } = await runtimeVerdict(test.release, test.bench, machine, { trust: "test" });
  expectEqual(findings.join(" | "), "", "findings");
  expectEqual(verdict, "accepted", "verdict");
}

/** The same data below another hash tree: an extension that is whole, and not the one that the root knows. */
async function resealed(test: Test, disk: RawDisk): Promise<void> {
  const { dataBytes } = await declaredExtension(await test.shared(), VULKAN);
  const { offset, size } = extensionPartition(disk, VULKAN);
  const dir = join(test.bench.dir, test.world.uniqueName("resealed"));
  await mkdir(dir);
  const file = join(dir, "image");
  const image = await open(file, "w");
  await image.write(await disk.read(offset, dataBytes));
  await image.close();
  await test.bench.tools.run(
    ["veritysetup", "format", `--hash-offset=${dataBytes}`, `--data-blocks=${dataBytes / 4096}`, "--salt=5ecabad0", file, file],
    { timeoutMs: 120_000 },
  );
  const sealed = await open(file, "r");
  const { buffer, bytesRead } = await sealed.read(Buffer.alloc(size), 0, size, 0);
  await sealed.close();
  await disk.write(offset, buffer.subarray(0, bytesRead));
}

export const extensionScenarios: readonly Scenario[] = [
  {
    id: "extension.data",
    title: "One bit flipped in an extension's data: EXTENSION_CORRUPTED, and the machine is healthy without it",
    needs: "boot",
    async run(test) {
      const { dataBytes } = await declaredExtension(await test.shared(), VULKAN);
      const disk = await test.disk();
      await disk.flipByte(extensionPartition(disk, VULKAN).offset + Math.floor(dataBytes / 2) + 100);
      await refuses(test, disk, "EXTENSION_CORRUPTED");
    },
  },
  {
    id: "extension.other-version",
    title: "Another sealed extension under the same name: refused by its root hash, and the machine is healthy without it",
    needs: "boot",
    async run(test) {
      const disk = await test.disk();
      await resealed(test, disk);
      await refuses(test, disk, "EXTENSION_UNVERIFIED");
    },
  },
  {
    id: "extension.partition",
    title: "The partition of another version: EXTENSION_PARTITION, and the machine is healthy without it",
    needs: "boot",
    async run(test) {
      const disk = await test.disk();
      const { number } = extensionPartition(disk, VULKAN);
      await test.bench.tools.run(["sfdisk", "-q", "--part-label", disk.path, String(number), `ext_${VULKAN}_99.0.0`]);
      await refuses(test, disk, "EXTENSION_PARTITION");
    },
  },
];
