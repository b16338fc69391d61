import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bench } from "./bench.ts";
import type { Machine } from "./machine.ts";
import { isHousekeeping, parsePackets } from "./packets.ts";

/**
 * Gives the machine an address and a route, as root inside it could: what follows must be stopped by the firewall, not by a lack of
 * network. QEMU's own network would answer DNS at 10.0.2.3 and ping at 10.0.2.2.
 */
export async function prepareNetwork(machine: Machine): Promise<void> {
  await machine.succeeds(
    [
      "i=$(ls /sys/class/net | grep -v '^lo$' | head -1)",
      "ip link set $i up",
      "ip addr replace 10.0.2.15/24 dev $i",
      "ip route replace default via 10.0.2.2 dev $i",
      "ip -6 addr replace fec0::15/64 dev $i nodad",
      "ip -6 route replace default via fec0::2 dev $i",
      "ip neigh replace 10.0.2.2 lladdr 52:55:0a:00:02:02 dev $i",
      "ip -6 neigh replace fec0::2 lladdr 52:56:00:00:00:02 dev $i",
    ].join("; "),
  );
}

/** Where a scenario puts the Perl of the tool root: the image need not have one, and bash has no raw sockets. */
const PERL = "/run/secai-exec/perl";

/** Copies the one program that can send raw packets into the machine. */
export async function bringRawSender(bench: Bench, machine: Machine): Promise<void> {
  await machine.succeeds("mkdir -p /run/secai-exec && mount -t tmpfs -o mode=0700 secai-exec /run/secai-exec");
  await machine.pushFile(await readFile(join(bench.tools.root, "usr/bin/perl")), PERL, 0o700);
}

/** Perl that opens a socket and sends one packet by bare system calls (x86-64: socket is 41, sendto 44), so it needs no module. */
function rawSend(family: number, protocol: number, packet: string, address: string): string {
  const program = `my $s=syscall(41,${family},3,${protocol}); $s>=0 or exit 1; my $p=pack(${packet}); my $a=pack(${address}); exit(syscall(44,$s,$p,length $p,0,$a,length $a)<0)`;
  return `${PERL} -e '${program}'`;
}

const AF_INET = 2;
const AF_INET6 = 10;
const TO_10_0_2_2 = '"SnC4x8",2,0,10,0,2,2';
const TO_FEC0_2 = '"SnNnx13Cx4",10,0,0,0xfec0,2';

/** Ways out, each a script that succeeds only if it got through or at least got rid of its bytes unhindered. */
export const attempts: readonly { readonly name: string; readonly script: string }[] = [
  { name: "TCP to a web server", script: "timeout 3 bash -c 'exec 5<>/dev/tcp/10.0.2.100/443'" },
  { name: "TCP to a public address", script: "timeout 3 bash -c 'exec 5<>/dev/tcp/1.1.1.1/443'" },
  { name: "UDP", script: "timeout 3 bash -c 'exec 5<>/dev/udp/10.0.2.2/9999; echo secret >&5'" },
  { name: "DNS query", script: dnsQuery("10.0.2.3") },
  { name: "DNS to a public resolver", script: dnsQuery("9.9.9.9") },
  { name: "NTP", script: "timeout 3 bash -c 'exec 5<>/dev/udp/10.0.2.2/123; printf \"\\x1b%047d\" 0 >&5'" },
  { name: "TCP over IPv6", script: "timeout 3 bash -c 'exec 5<>/dev/tcp/fec0::2/80'" },
  { name: "UDP over IPv6", script: "timeout 3 bash -c 'exec 5<>/dev/udp/fec0::3/53; echo secret >&5'" },
  { name: "ICMP echo", script: rawSend(AF_INET, 1, '"CCnnn",8,0,0xf7fd,1,1', TO_10_0_2_2) },
  { name: "ICMPv6 echo", script: rawSend(AF_INET6, 58, '"CCnnn",128,0,0,1,1', TO_FEC0_2) },
  { name: "a raw IP packet of an unknown protocol", script: rawSend(AF_INET, 253, '"A6","secret"', TO_10_0_2_2) },
];

/** A query for an A record of "example.com", which the resolver answers if it gets it. */
function dnsQuery(server: string): string {
  const query = "\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x07example\\x03com\\x00\\x00\\x01\\x00\\x01";
  return `timeout 3 bash -c 'exec 5<>/dev/udp/${server}/53; printf "${query}" >&5 || exit 1; read -t 2 -r -n 1 x <&5'`;
}

/** Packets the guest has sent that carry more than what an interface needs to have an address, one line each. */
export async function strayPackets(machine: Machine): Promise<string[]> {
  const packets = parsePackets(await machine.packets());
  const ours = packets.filter(({ sender }) => sender.startsWith("52:54:00"));
  return ours
    .filter((packet) => !isHousekeeping(packet))
    .map(({ protocol, destination, destinationPort }) => `${protocol} ${destination} ${destinationPort ?? ""}`.trim());
}
