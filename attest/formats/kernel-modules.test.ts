import { strict as assert } from "node:assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { test } from "vitest";
import { canonicalJson, type JsonValue } from "./canonical-json.ts";
import { sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { type KernelModules, kernelModulesBytes, kernelModulesShape, parseKernelModules } from "./kernel-modules.ts";

const release = "6.12.107+deb13-amd64";
const vermagic = `${release} SMP preempt mod_unload modversions`;
const folder = `/usr/lib/modules/${release}/updates/secai`;
const uvm: KernelModules["modules"][number] = {
  name: "nvidia_uvm",
  path: `${folder}/nvidia-uvm.ko.xz`,
  sha256: sha256("uvm"),
  size: 3,
  version: "550.163.01",
  licence: "Dual MIT/GPL",
  vermagic,
  depends: ["nvidia"],
  firmware: [],
};
const nvidia: KernelModules["modules"][number] = {
  ...uvm,
  name: "nvidia",
  path: `${folder}/nvidia.ko.xz`,
  depends: ["drm"],
  firmware: ["nvidia/550.163.01/gsp_ga10x.bin"],
};
const example: KernelModules = {
  schema: 1,
  kernel: { release, vermagic },
  compiler: "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0",
  source: {
    package: "nvidia-open-kernel-source",
    version: "550.163.01-2",
    patches: [{ name: "0001-x.patch", sha256: sha256("patch") }],
  },
  signer: { subject: "CN=SecAI dev db", certificate: sha256("certificate") },
  modules: [uvm, nvidia],
};

const print = (value: unknown) => Buffer.from(`${canonicalJson(value)}\n`);
const spoiled = (change: Partial<Record<keyof KernelModules, unknown>>) => print({ ...example, ...change });
const withModule = (change: Record<string, unknown>) => spoiled({ modules: [uvm, { ...nvidia, ...change }] });
const other = "6.12.106+deb13-amd64";
const patch = (name: string) => ({ name, sha256: sha256(name) });

const rejected: readonly { name: string; bytes: Uint8Array; code?: string }[] = [
  { name: "another schema", bytes: spoiled({ schema: 2 }) },
  { name: "an unknown member", bytes: print({ ...example, extra: 1 }) },
  { name: "no modules", bytes: spoiled({ modules: [] }) },
  { name: "a module for another kernel", bytes: withModule({ vermagic: vermagic.replace("107", "106") }) },
  { name: "a module with other options", bytes: withModule({ vermagic: `${vermagic} extra` }) },
  { name: "a kernel whose vermagic is another's", bytes: spoiled({ kernel: { release: other, vermagic } }) },
  { name: "a kernel without vermagic", bytes: spoiled({ kernel: { release } }) },
  { name: "a module of another kernel's folder", bytes: withModule({ path: nvidia.path.replace(release, other) }) },
  { name: "a module outside of the modules", bytes: withModule({ path: "/usr/lib/x/6.12.107+deb13-amd64/nvidia.ko.xz" }) },
  {
    name: "a path with ..",
    bytes: withModule({ path: `/usr/lib/modules/${release}/../${release}/nvidia.ko.xz` }),
  },
  { name: "an unpacked module", bytes: withModule({ path: `${folder}/nvidia.ko` }) },
  { name: "a file named for another module", bytes: withModule({ path: `${folder}/nvidia-x.ko.xz` }) },
  { name: "modules out of order", bytes: spoiled({ modules: [nvidia, uvm] }) },
  { name: "a file twice", bytes: spoiled({ modules: [uvm, nvidia, nvidia] }), code: "DUPLICATE_ENTRY" },
  {
    name: "a module twice",
    bytes: spoiled({ modules: [{ ...uvm, path: `${folder}/a/nvidia-uvm.ko.xz` }, uvm] }),
    code: "DUPLICATE_ENTRY",
  },
  { name: "a module without licence", bytes: withModule({ licence: "" }) },
  { name: "a module without digest", bytes: withModule({ sha256: "" }) },
  { name: "an empty module", bytes: withModule({ size: 0 }) },
  { name: "firmware outside of its folder", bytes: withModule({ firmware: ["../../etc/shadow"] }) },
  { name: "firmware by absolute path", bytes: withModule({ firmware: ["/etc/shadow"] }) },
  { name: "no signer", bytes: spoiled({ signer: undefined }) },
  { name: "a signer without certificate", bytes: spoiled({ signer: { subject: "CN=x" } }) },
  { name: "patches out of order", bytes: spoiled({ source: { ...example.source, patches: [patch("2"), patch("1")] } }) },
  { name: "a patch by path", bytes: spoiled({ source: { ...example.source, patches: [patch("a/b")] } }) },
  { name: "spare white space", bytes: Buffer.from(JSON.stringify(example, null, 1)), code: "JSON_NOT_CANONICAL" },
  { name: "2 MiB", bytes: Buffer.alloc(2 << 20, " "), code: "JSON_TOO_LARGE" },
];
for (const { name, bytes, code = "SCHEMA_MISMATCH" } of rejected) {
  test(`a list of kernel modules with ${name} is refused`, () => assert.throws(() => parseKernelModules(bytes), { code }));
}

test("a list reads back as it was", () => assert.deepEqual(parseKernelModules(kernelModulesBytes(example)), example));

test("facts that no reader would accept are not written", () => {
  assert.throws(() => kernelModulesBytes({ ...example, modules: [nvidia, uvm] }), { code: "SCHEMA_MISMATCH" });
});

test("the published schema says what the parser's shape says", () => {
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(kernelModulesShape.schema);
  assert.equal(validate(JSON.parse(canonicalJson(example))), true);
  for (const name of ["an unknown member", "no modules", "a module without licence", "an unpacked module", "no signer"]) {
    const row = rejected.find((one) => one.name === name);
    assert.ok(row !== undefined, name);
    assert.equal(validate(JSON.parse(Buffer.from(row.bytes).toString())), false, name);
  }
});

test("any JSON in any member gives a list or a FormatError", () => {
  const member = fc.constantFrom(...(Object.keys(example) as (keyof KernelModules)[]));
  fc.assert(
    fc.property(member, fc.jsonValue(), (name, value) => {
      try {
        parseKernelModules(print({ ...(example as unknown as Record<string, JsonValue>), [name]: value as JsonValue }));
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
      }
    }),
  );
});
