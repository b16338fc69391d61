import { expect, test } from "vitest";
import { parsePartitions, partitionOf } from "./gpt.ts";

function header(entryBytes = 128): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write("EFI PART");
  bytes.writeUInt32LE(128, 80);
  bytes.writeUInt32LE(entryBytes, 84);
  return bytes;
}

function entry(label: string, first: number, last: number): Buffer {
  const bytes = Buffer.alloc(128);
  Buffer.from("28732ac11ff8d211ba4b00a0c93ec93b", "hex").copy(bytes, 0);
  Buffer.from("000102030405060708090a0b0c0d0e0f", "hex").copy(bytes, 16);
  bytes.writeBigUInt64LE(BigInt(first), 32);
  bytes.writeBigUInt64LE(BigInt(last), 40);
  bytes.write(label, 56, "utf16le");
  return bytes;
}

test("bytes without the signature are no partition table", () => {
  expect(() => parsePartitions(Buffer.alloc(512), Buffer.alloc(128))).toThrow(
    expect.objectContaining({ code: "HARNESS_PROTOCOL" }),
  );
});

test("a partition that is not there is named, with those that are", () => {
  const partitions = parsePartitions(header(), entry("esp", 2048, 4095));
  expect(() => partitionOf(partitions, ({ label }) => label === "var", "var")).toThrow(/a partition: var.*esp/);
});

test("labels, GUIDs, offsets and sizes are read; empty entries keep their number", () => {
  const table = Buffer.concat([entry("esp", 2048, 4095), Buffer.alloc(128), entry("root_1", 4096, 4096)]);
  const guid = { typeGuid: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", guid: "03020100-0504-0706-0809-0a0b0c0d0e0f" };
  expect(parsePartitions(header(), table)).toEqual([
    { number: 1, label: "esp", ...guid, offset: 1 << 20, size: 1 << 20 },
    { number: 3, label: "root_1", ...guid, offset: 2 << 20, size: 512 },
  ]);
});
