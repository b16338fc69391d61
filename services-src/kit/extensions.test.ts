import type { Extension } from "@secai/formats/extensions";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ExtensionRefusal } from "./extension-errors.ts";
import { type BlockPartition, parseChoice, partitionFor, select } from "./extensions.ts";

const extension = (name: string, pciClasses: string[], pciVendors: string[] = []): Extension => ({
  name,
  title: name,
  partition: `ext_${name}_0.1.0`,
  rootHash: "ab".repeat(32),
  dataBytes: 8192,
  hashOffset: 8192,
  hardware: { pciClasses, pciVendors },
});
const vulkan = extension("vulkan", ["03"]);
const cuda = extension("cuda", ["03"], ["10de"]);
const all = [vulkan, cuda];
const display = { pciClass: "030000", vendor: "1234" };
const names = ({ wanted }: ReturnType<typeof select>) => wanted.map(({ name }) => name);

test("hardware decides: the extensions of the devices that are there, and no others", () => {
  expect(names(select(all, "hardware", []))).toEqual([]);
  expect(names(select(all, "hardware", [{ pciClass: "020000", vendor: "10de" }]))).toEqual([]);
  expect(names(select(all, "hardware", [display]))).toEqual(["vulkan"]);
  expect(names(select(all, "hardware", [display, { pciClass: "030200", vendor: "10de" }]))).toEqual(["vulkan", "cuda"]);
});

test("the kernel argument decides instead; the last one counts", () => {
  expect(parseChoice("quiet ro\n")).toBe("hardware");
  expect(parseChoice("xsecai.extensions=all")).toBe("hardware");
  expect(parseChoice("ro secai.extensions=all quiet")).toBe("all");
  expect(parseChoice("secai.extensions=all secai.extensions=none")).toEqual([]);
  expect(parseChoice("secai.extensions=cuda,cuda,x")).toEqual(["cuda", "x"]);
  expect(parseChoice("secai.extensions=")).toEqual([]);
  expect(names(select(all, "all", []))).toEqual(["vulkan", "cuda"]);
  expect(names(select(all, [], [display]))).toEqual([]);
});

test("a name that the image does not have is refused by name, printable and short", () => {
  expect(select(all, ["cuda", "rocm"], [])).toEqual({ wanted: [cuda], refused: [{ name: "rocm", reason: "EXTENSION_UNKNOWN" }] });
  const [refused] = select(all, [`A/../\u001b${"x".repeat(100)}`], []).refused;
  expect(refused?.name).toMatch(/^[a-z0-9?-]{32}$/);
});

const partition: BlockPartition = { device: "vda4", disk: "vda", label: "ext_vulkan_0.1.0", bytes: 12_288 };
const refused: readonly { name: string; partitions: readonly BlockPartition[] }[] = [
  { name: "no partition", partitions: [] },
  { name: "one of another version", partitions: [{ ...partition, label: "ext_vulkan_0.2.0" }] },
  { name: "one on another disk", partitions: [{ ...partition, disk: "sdb" }] },
  { name: "two of one name", partitions: [partition, { ...partition, device: "vda9" }] },
  { name: "one without room for a hash tree", partitions: [{ ...partition, bytes: 8192 }] },
];
for (const { name, partitions } of refused) {
  test(`partitionFor refuses ${name}`, () =>
    expect(() => partitionFor(vulkan, partitions, "vda")).toThrow(expect.objectContaining({ code: "EXTENSION_PARTITION" })));
}

test("the partition of the root's own disk is taken", () => {
  expect(partitionFor(vulkan, [{ ...partition, disk: "sdb", device: "sdb4" }, partition], "vda")).toBe(partition);
});

test("whatever the command line says, only declared extensions are wanted", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const { wanted, refused: left } = select(all, parseChoice(`secai.extensions=${text}`), [display]);
      expect(all).toEqual(expect.arrayContaining([...wanted]));
      expect(left.every(({ name }) => name.length <= 32)).toBe(true);
    }),
  );
  expect(new ExtensionRefusal("EXTENSION_UNKNOWN").exit).toBe(2);
});
