import { setTimeout as sleep } from "node:timers/promises";
import { attempts, bringRawSender, prepareNetwork, strayPackets } from "../vm/egress.ts";
import { expectEqual, expectMatch, expectNone } from "../vm/expect.ts";
import type { Scenario } from "../vm/suite.ts";

/** One scenario for each way out: tried as root with an address and a route, refused by the firewall, nothing on the wire. */
const attemptScenarios: readonly Scenario[] = attempts.map(({ name, script }) => ({
  id: `egress.${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`,
  title: `${name} does not leave the machine, and the attempt is in the kernel log`,
  needs: "fork" as const,
  async run(test) {
    const machine = await test.fork();
    await prepareNetwork(machine);
    await bringRawSender(test.bench, machine);
    await machine.fails(script, { timeoutMs: 30_000 });
    await sleep(200);
    expectNone(await strayPackets(machine), "packets on the wire");
    expectMatch(await machine.succeeds("journalctl -k -b --no-pager -o cat -n 50"), /secure_ai drop out: /, "kernel log");
  },
}));

export const egressScenarios: readonly Scenario[] = [
  ...attemptScenarios,
  {
    id: "egress.firewall-stopped",
    title: "Stopping the firewall's unit does not open the machine",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await prepareNetwork(machine);
      await machine.run("systemctl stop nftables.service");
      expectMatch(await machine.succeeds("nft list chain inet secure_ai output"), /policy drop;/, "output chain");
      await machine.fails("timeout 3 bash -c 'exec 5<>/dev/tcp/10.0.2.2/443'");
      expectNone(await strayPackets(machine), "packets on the wire");
    },
  },
  {
    id: "egress.service-user",
    title: "A process confined like the policy engine reaches nothing but loopback",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await prepareNetwork(machine);
      await machine.succeeds("nft flush ruleset");
      const confined =
        "systemd-run --wait --pipe -q -p DynamicUser=yes -p IPAddressDeny=any -p IPAddressAllow=localhost -p CapabilityBoundingSet=";
      const { exitCode } = await machine.run(`${confined} timeout 3 bash -c 'exec 5<>/dev/tcp/10.0.2.2/443'`);
      expectEqual(exitCode === 0, false, "a connection even without the firewall");
      expectNone(await strayPackets(machine), "packets on the wire");
    },
  },
];
