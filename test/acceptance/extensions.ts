import { runtimeVerdict } from "../vm/attest.ts";
import { expectEqual, expectMatch, expectNone } from "../vm/expect.ts";
import { declaredExtension, extensionState, VULKAN, VULKAN_LIBRARY } from "../vm/extension.ts";
import type { Scenario } from "../vm/suite.ts";

export const extensionScenarios: readonly Scenario[] = [
  {
    id: "extensions.merged",
    title:
      "With a display controller the Vulkan extension is merged: below dm-verity with the root hash that the sealed root names",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      const { merged, refused } = await extensionState(machine);
      expectEqual(merged.includes(VULKAN), true, `${VULKAN} among the merged extensions: ${merged.join(" ")}`);
      expectEqual(refused.map(({ name, reason }) => `${name} ${reason}`).join(" "), "", "refused extensions");
      await machine.succeeds(`test -r ${VULKAN_LIBRARY}`);
      const { rootHash, dataBytes } = await declaredExtension(machine, VULKAN);
      const status = await machine.succeeds(`veritysetup status extension-${VULKAN}`);
      expectMatch(status, new RegExp(`root hash: +${rootHash}`), "root hash of the device");
      expectMatch(status, /status: +verified/, "status of the device");
      expectMatch(status, new RegExp(`size: +${dataBytes / 512} `), "size of the device");
      expectMatch(
        await machine.succeeds(`findmnt -n -o OPTIONS /run/extensions/${VULKAN}`),
        /^ro,nosuid,nodev,/,
        "mount options",
      );
      const log = await machine.succeeds("journalctl -b -u secure-ai-extensions.service -o short-monotonic --no-pager");
      const [, started = "0"] = /\[ *(\d+\.\d+)\][^\n]*Starting /.exec(log) ?? [];
      const [, finished = "0"] = /\[ *(\d+\.\d+)\][^\n]*Finished /.exec(log) ?? [];
      test.measure("mergeMs", (Number(finished) - Number(started)) * 1000);
    },
  },
  {
    id: "extensions.read-only",
    title: "Nothing below the merged /usr can be written, by root either",
    needs: "shared",
    async run(test) {
      const machine = await test.shared();
      for (const path of [VULKAN_LIBRARY, "/usr/bin/node", "/usr/lib/new"]) {
        expectMatch(await machine.fails(`echo x >> ${path}`), /Read-only file system/, `writing to ${path}`);
      }
    },
  },
  {
    id: "extensions.no-hardware",
    title: "Without a display controller nothing is merged, and the machine is accepted all the same",
    needs: "boot",
    long: true,
    async run(test) {
      const machine = await test.machine(await test.disk(), { display: false });
      test.measure("agentMs", await machine.boot());
      await machine.waitForRunning();
      const { merged, refused } = await extensionState(machine);
      expectEqual(merged.join(" "), "", "merged extensions");
      expectEqual(refused.length, 0, "refused extensions");
      await machine.fails(`test -e ${VULKAN_LIBRARY}`);
      expectNone((await machine.run("findmnt -n -t overlay /usr")).stdout, "overlays on /usr");
      const { verdict, findings } = await runtimeVerdict(test.release, test.bench, machine, { trust: "test" });
      expectEqual(findings.join(" | "), "", "findings");
      expectEqual(verdict, "accepted", "verdict");
    },
  },
];
