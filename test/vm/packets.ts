import { VmError } from "./errors.ts";

export type Protocol = "arp" | "announcement" | "tcp" | "udp" | "icmp" | "icmpv6" | "other";

export interface Packet {
  readonly protocol: Protocol;
  /** Hardware address of the sender, "52:54:00:12:34:56". */
  readonly sender: string;
  readonly destination: string;
  /** Of ICMPv6: 133 to 136 are neighbour discovery (RFC 4861), 143 announces multicast groups (RFC 3810). */
  readonly icmpType?: number;
  /** Of TCP and UDP. */
  readonly destinationPort?: number;
}

const GLOBAL_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET_HEADER = 14;

/** Ethernet frames of a little-endian pcap file (pcap-savefile(5)), as QEMU writes it. @throws VmError HARNESS_PROTOCOL */
export function parsePackets(pcap: Buffer): Packet[] {
  if (pcap.length < GLOBAL_HEADER || pcap.readUInt32LE(0) !== 0xa1b2c3d4 || pcap.readUInt32LE(20) !== 1) {
    throw new VmError("HARNESS_PROTOCOL", { expected: "a pcap file of Ethernet frames", actual: `${pcap.length} other bytes` });
  }
  const packets: Packet[] = [];
  let at = GLOBAL_HEADER;
  while (at + RECORD_HEADER <= pcap.length) {
    const length = pcap.readUInt32LE(at + 8);
    const frame = pcap.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length);
    if (frame.length < length) break; // QEMU is still writing it.
    packets.push(parseFrame(frame));
    at += RECORD_HEADER + length;
  }
  return packets;
}

function parseFrame(frame: Buffer): Packet {
  const sender = frame
    .subarray(6, 12)
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1:");
  const type = frame.length < ETHERNET_HEADER ? 0 : frame.readUInt16BE(12);
  const body = frame.subarray(ETHERNET_HEADER);
  if (type === 0x0806) return { protocol: "arp", sender, destination: "" };
  if (type === 0x8035 && isAnnouncement(body)) return { protocol: "announcement", sender, destination: "" };
  if (type === 0x0800 && body.length >= 20) return { sender, ...parseIpv4(body) };
  if (type === 0x86dd && body.length >= 40) return { sender, ...parseIpv6(body) };
  return { protocol: "other", sender, destination: `ethertype 0x${type.toString(16).padStart(4, "0")}` };
}

/**
 * QEMU, not the guest, sends this for a machine that continues elsewhere: a RARP request (RFC 903) in which nothing but the machine's
 * own hardware address stands (qemu/net/announce.c). Any other byte makes it a packet that counts.
 */
function isAnnouncement(body: Buffer): boolean {
  return /^0001080006040003([0-9a-f]{12})00000000\1(00)*$/.test(body.toString("hex"));
}

function parseIpv4(body: Buffer): Omit<Packet, "sender"> {
  const payload = body.subarray(((body[0] ?? 0) & 15) * 4);
  return { destination: Array.from(body.subarray(16, 20)).join("."), ...transport(body[9] ?? 0, payload) };
}

/** Other extension headers are not walked: such a packet is "other", and counts. */
function parseIpv6(body: Buffer): Omit<Packet, "sender"> {
  const destination = body
    .subarray(24, 40)
    .toString("hex")
    .replace(/(....)(?=.)/g, "$1:");
  // Multicast listener reports carry a hop-by-hop header (RFC 3810 section 5): next header, length, options.
  const hopByHop = body[6] === 0 && body.length >= 48;
  return hopByHop
    ? { destination, ...transport(body[40] ?? 0, body.subarray(40 + ((body[41] ?? 0) + 1) * 8)) }
    : { destination, ...transport(body[6] ?? 0, body.subarray(40)) };
}

function transport(number: number, payload: Buffer): Pick<Packet, "protocol" | "destinationPort" | "icmpType"> {
  const port = payload.length >= 4 ? { destinationPort: payload.readUInt16BE(2) } : {};
  switch (number) {
    case 1:
      return { protocol: "icmp" };
    case 6:
      return { protocol: "tcp", ...port };
    case 17:
      return { protocol: "udp", ...port };
    case 58:
      return { protocol: "icmpv6", icmpType: payload[0] ?? 0 };
    default:
      return { protocol: "other" };
  }
}

/** What an interface needs to have an address: ARP, neighbour discovery, DHCP. Everything else carries somebody's data. */
export function isHousekeeping({ protocol, destinationPort, icmpType }: Packet): boolean {
  const discovery = icmpType !== undefined && ((icmpType >= 133 && icmpType <= 136) || icmpType === 143);
  return protocol === "arp" || protocol === "announcement" || discovery || (protocol === "udp" && destinationPort === 67);
}
