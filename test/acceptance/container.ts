import { existsSync } from "node:fs";
import { Container } from "../vm/container.ts";
import { expectEqual, expectMatch } from "../vm/expect.ts";
import type { Scenario } from "../vm/suite.ts";

/** Whether the host has the hierarchy that a container's systemd lives in; a bare chroot or container may not (cgroups(7)). */
function hasCgroups(): boolean {
  return (
    existsSync("/sys/fs/cgroup/cgroup.controllers") ||
    existsSync("/sys/fs/cgroup/systemd") ||
    existsSync("/sys/fs/cgroup/unified")
  );
}

export const containerScenarios: readonly Scenario[] = [
  {
    id: "container.services",
    title: "The same root file system comes up in a container and its services answer",
    needs: "container",
    smoke: true,
    async run(test) {
      if (!hasCgroups()) test.missing("control groups mounted at /sys/fs/cgroup, which systemd-nspawn needs");
      const started = performance.now();
      const container = await Container.start(test.bench, test.world.uniqueName("container"));
      try {
        test.measure("runningMs", performance.now() - started);
        const { stdout } = await container.run(
          "exec 5<>/dev/tcp/127.0.0.1/8500; printf 'GET /health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&5; cat <&5",
        );
        expectMatch(stdout, /^HTTP\/1\.1 200 /, "policy-engine's health");
        const addresses = await container.run("ip -o link | grep -vc ' lo:'");
        expectEqual(addresses.stdout.trim(), "0", "network interfaces besides lo");
      } finally {
        await container.stop();
      }
    },
  },
];
