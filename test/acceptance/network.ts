import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { attempts, bringRawSender, prepareNetwork, strayPackets } from "../vm/egress.ts";
import { expectEqual, expectMatch, expectNone } from "../vm/expect.ts";
import { SERVICES } from "../vm/services.ts";
import type { Scenario } from "../vm/suite.ts";

/** Whether a byte ever comes back through a forwarded port; QEMU itself accepts the connection in any case. */
async function answers(port: number): Promise<boolean> {
  const socket = createConnection(port, "127.0.0.1");
  const answer = new Promise<boolean>((resolve) => {
    socket.once("data", () => resolve(true));
    socket.once("close", () => resolve(false));
    socket.once("error", () => resolve(false));
  });
  socket.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  const result = await Promise.race([answer, sleep(5_000, false)]);
  socket.destroy();
  return result;
}

export const networkScenarios: readonly Scenario[] = [
  {
    id: "network.firewall",
    title: "All three chains of the firewall drop what they do not name",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      for (const chain of ["input", "output", "forward"]) {
        const rules = await machine.succeeds(`nft list chain inet secure_ai ${chain}`);
        expectMatch(rules, new RegExp(`hook ${chain} .*policy drop;`), chain);
      }
      expectEqual((await machine.succeeds("nft list tables")).trim(), "table inet secure_ai", "tables");
    },
  },
  {
    id: "network.egress",
    title: "Nothing leaves: TCP, UDP, DNS, ping, IPv4 and IPv6, counted on the wire",
    needs: "fork",
    smoke: true,
    async run(test) {
      const machine = await test.fork();
      await prepareNetwork(machine);
      await bringRawSender(test.bench, machine);
      for (const { name, script } of attempts) await machine.fails(`: ${name}; ${script}`, { timeoutMs: 30_000 });
      await sleep(500);
      expectNone(await strayPackets(machine), "packets on the wire");
    },
  },
  {
    id: "network.egress-control",
    title: "The same attempts do put packets on the wire once the firewall is gone: the check can fail",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await prepareNetwork(machine);
      await bringRawSender(test.bench, machine);
      await machine.succeeds("nft flush ruleset");
      for (const { script } of attempts) await machine.run(script, { timeoutMs: 30_000 });
      await sleep(500);
      const seen = new Set((await strayPackets(machine)).map((line) => line.split(" ", 1)[0]));
      expectEqual(
        ["tcp", "udp", "icmp", "icmpv6", "other"].filter((protocol) => !seen.has(protocol)).join(" "),
        "",
        "protocols that the control did not see",
      );
    },
  },
  {
    id: "network.listening",
    title: "Nothing listens but the documented services, on the loopback interface only",
    needs: "shared",
    smoke: true,
    async run(test) {
      const machine = await test.shared();
      const sockets = (await machine.succeeds("ss -H -l -n -t -u -o | awk '{print $1, $5}'")).trim().split("\n");
      const documented = new Set(Object.values(SERVICES).map(({ port }) => `tcp 127.0.0.1:${port}`));
      expectNone(
        sockets.filter((line) => line !== "" && !documented.has(line) && !/^udp \S+%?\S*:68$/.test(line)),
        "listening sockets",
      );
      expectNone(
        [...documented].filter((line) => !sockets.includes(line)),
        "documented services that do not listen",
      );
      expectNone(
        await machine.succeeds("ss -H -l -n --raw; ss -H -l -n --sctp 2>/dev/null; ss -H -l -n --vsock"),
        "other sockets",
      );
    },
  },
  {
    id: "network.ingress",
    title: "A port forwarded to the machine from outside is not answered",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await prepareNetwork(machine);
      const port = await machine.forwardPort(8500);
      expectEqual(await answers(port), false, "an answer to a connection from outside");
    },
  },
  {
    id: "network.ingress-control",
    title: "The same forwarded port is answered when a program listens and the firewall is gone",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      await prepareNetwork(machine);
      await machine.succeeds("nft flush ruleset");
      const listener = `require("net").createServer(s => s.end("x")).listen(9000, "0.0.0.0", () => require("fs").writeFileSync("/run/secai-listening", ""))`;
      await machine.succeeds(
        `(setsid node -e '${listener}' >/dev/null 2>&1 &) ; until [ -e /run/secai-listening ]; do sleep 0.2; done`,
      );
      expectEqual(await answers(await machine.forwardPort(9000)), true, "an answer to a connection from outside");
    },
  },
];
