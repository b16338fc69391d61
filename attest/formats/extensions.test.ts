import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, type JsonValue } from "./canonical-json.ts";
import { sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { type Extension, extensionsBytes, isHardwareFor, mergedExtensions, parseExtensions } from "./extensions.ts";

const vulkan: Extension = {
  name: "vulkan",
  title: "Vulkan",
  partition: "ext_vulkan_0.1.0",
  rootHash: sha256("vulkan"),
  dataBytes: 4096,
  hashOffset: 4096,
  hardware: { pciClasses: ["03"], pciVendors: [] },
};
const cuda: Extension = {
  ...vulkan,
  name: "cuda",
  partition: "ext_cuda_0.1.0",
  hardware: { pciClasses: ["0300", "0302"], pciVendors: ["10de"] },
};
const print = (value: unknown) => Buffer.from(`${canonicalJson(value as JsonValue)}\n`);
const spoiled = (change: Record<string, unknown>) => print({ schema: 1, extensions: [{ ...vulkan, ...change }] });

const rejected: readonly { name: string; bytes: Uint8Array; code: string }[] = [
  { name: "another schema", bytes: print({ schema: 2, extensions: [] }), code: "SCHEMA_MISMATCH" },
  { name: "no root hash", bytes: spoiled({ rootHash: "" }), code: "SCHEMA_MISMATCH" },
  { name: "a name that leads elsewhere", bytes: spoiled({ name: "../x" }), code: "SCHEMA_MISMATCH" },
  { name: "a label of another kind", bytes: spoiled({ partition: "root_0.1.0" }), code: "SCHEMA_MISMATCH" },
  { name: "a member more", bytes: spoiled({ force: true }), code: "SCHEMA_MISMATCH" },
  {
    name: "a name twice",
    bytes: print({ schema: 1, extensions: [vulkan, { ...vulkan, partition: "ext_x_1" }] }),
    code: "DUPLICATE_ENTRY",
  },
  {
    name: "a partition twice",
    bytes: print({ schema: 1, extensions: [vulkan, { ...vulkan, name: "x" }] }),
    code: "DUPLICATE_ENTRY",
  },
  { name: "other white space", bytes: Buffer.from('{ "schema": 1, "extensions": [] }\n'), code: "JSON_NOT_CANONICAL" },
];
for (const { name, bytes, code } of rejected) {
  test(`parseExtensions rejects ${name}`, () => expect(() => parseExtensions(bytes)).toThrow(expect.objectContaining({ code })));
}

test("what was written is read back", () => {
  const document = { schema: 1, extensions: [vulkan, cuda] } as const;
  expect(parseExtensions(extensionsBytes({ schema: 1, extensions: [vulkan, cuda] }))).toEqual(document);
});

test("parseExtensions returns or throws FormatError, nothing else", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        parseExtensions(print(value));
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }),
  );
});

test("hardware is meant by the beginning of its class and, where vendors are named, by its vendor", () => {
  expect(isHardwareFor(vulkan.hardware, "030000", "1234")).toBe(true);
  expect(isHardwareFor(vulkan.hardware, "010300", "1234")).toBe(false);
  expect(isHardwareFor(cuda.hardware, "030200", "10de")).toBe(true);
  expect(isHardwareFor(cuda.hardware, "030200", "1002")).toBe(false);
  expect(isHardwareFor(cuda.hardware, "038000", "10de")).toBe(false);
});

const row = (options: string, type = "overlay") =>
  `213 67 0:46 / /usr ro,nodev,relatime shared:150 - ${type} sysext ro,${options}`;
const META = "/run/systemd/sysext/meta/usr";
const layerOf = (name: string) => `/run/systemd/sysext/extensions/${name}/usr`;

test("the layers over /usr are named, and what systemd-sysext did not lay there too", () => {
  const merged = (options: string) =>
    mergedExtensions(`67 1 253:0 / / ro shared:1 - erofs /dev/mapper/root ro\n${row(options)}\n`)?.layers;
  expect(merged(`lowerdir=${META}:${layerOf("vulkan")}:/usr,redirect_dir=on`)).toEqual(["vulkan"]);
  expect(merged(`lowerdir+=${META},lowerdir+=${layerOf("b")},lowerdir+=${layerOf("a")},lowerdir+=/usr`)).toEqual(["b", "a"]);
  expect(merged(`lowerdir=${META}:/run/evil:${layerOf("vulkan")}:/usr`)).toEqual(["/run/evil", "vulkan"]);
  expect(merged("lowerdir=/run/evil:/usr")).toEqual(["/run/evil"]);
  expect(merged(`lowerdir=${META}:${layerOf("vulkan")}`)).toEqual(["vulkan"]);
  expect(merged(`lowerdir=${META}:${layerOf("vulkan")}:/run/usr`)).toEqual(["vulkan", "/run/usr"]);
  expect(merged(`lowerdir=${META}:/usr,upperdir=/run/upper,workdir=/run/work`)).toEqual(["/usr", "/run/upper"]);
});

test("only an overlay counts, and of several the last", () => {
  expect(mergedExtensions("67 1 253:0 / / ro - erofs /dev/mapper/root ro\n")).toBeUndefined();
  expect(mergedExtensions(row("x", "tmpfs"))).toBeUndefined();
  const two = `${row(`lowerdir=${META}:${layerOf("a")}:/usr`)}\n${row(`lowerdir=${META}:${layerOf("b")}:/usr`).replace("0:46", "0:47")}`;
  expect(mergedExtensions(two)).toEqual({ device: "0:47", layers: ["b"] });
});

test("no text makes mergedExtensions throw", () => {
  fc.assert(fc.property(fc.string(), (text) => void mergedExtensions(`${text}\n${row(text)}`)));
});
