import fc from "fast-check";
import { expect, test } from "vitest";
import { VmError } from "./errors.ts";
import { isHousekeeping, parsePackets } from "./packets.ts";

const MAC = "525400123456";
const ethernet = (type: string, payload: string): Buffer => Buffer.from(`ffffffffffff${MAC}${type}${payload}`, "hex");
const ipv4 = (protocol: string, payload: string): string => `4500001c00000000ff${protocol}00000a00020f0a000202${payload}`;
const ipv6 = (next: string, payload: string): string =>
  `60000000000${"8"}${next}ff${"fe80000000000000"}${"0000000000000001"}${"fec0000000000000"}${"0000000000000002"}${payload}`;

function pcap(...frames: Buffer[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(1, 20);
  const records = frames.map((frame) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return Buffer.concat([record, frame]);
  });
  return Buffer.concat([header, ...records]);
}

const strays = [
  { name: "TCP", frame: ethernet("0800", ipv4("06", "c00001bb0000")), protocol: "tcp", port: 443 },
  { name: "a DNS query", frame: ethernet("0800", ipv4("11", "c0000035")), protocol: "udp", port: 53 },
  { name: "a ping", frame: ethernet("0800", ipv4("01", "0800f7fd")), protocol: "icmp" },
  { name: "an unknown IP protocol", frame: ethernet("0800", ipv4("fd", "00")), protocol: "other" },
  { name: "UDP over IPv6", frame: ethernet("86dd", ipv6("11", "c0000035")), protocol: "udp", port: 53 },
  { name: "a ping over IPv6", frame: ethernet("86dd", ipv6("3a", "8000")), protocol: "icmpv6" },
  {
    name: "an announcement with something in it",
    frame: ethernet("8035", `0001080006040003${MAC}00000000${MAC}0a000202${"00".repeat(18)}`),
    protocol: "other",
  },
  { name: "an unknown Ethernet type", frame: ethernet("88b5", "00"), protocol: "other" },
];
for (const { name, frame, protocol, port } of strays) {
  test(`${name} counts as traffic`, () => {
    const [packet] = parsePackets(pcap(frame));
    expect(packet).toMatchObject({
      protocol,
      sender: "52:54:00:12:34:56",
      ...(port === undefined ? {} : { destinationPort: port }),
    });
    expect(packet && isHousekeeping(packet)).toBe(false);
  });
}

const housekeeping = [
  { name: "ARP", frame: ethernet("0806", "00") },
  { name: "a DHCP request", frame: ethernet("0800", ipv4("11", "00440043")) },
  { name: "neighbour solicitation", frame: ethernet("86dd", ipv6("3a", "8700")) },
  { name: "QEMU's announcement", frame: ethernet("8035", `0001080006040003${MAC}00000000${MAC}${"00".repeat(22)}`) },
  { name: "a multicast listener report", frame: ethernet("86dd", ipv6("00", "3a000502000001008f00")) },
];
for (const { name, frame } of housekeeping) {
  test(`${name} does not count`, () => {
    expect(parsePackets(pcap(frame)).map(isHousekeeping)).toEqual([true]);
  });
}

test("a frame that is still being written is left out", () => {
  const whole = pcap(...strays.map(({ frame }) => frame));
  expect(parsePackets(whole.subarray(0, whole.length - 1))).toHaveLength(strays.length - 1);
});

test("any bytes give packets or a VmError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        parsePackets(Buffer.concat([pcap(), bytes]));
        parsePackets(Buffer.from(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(VmError);
      }
    }),
  );
});
