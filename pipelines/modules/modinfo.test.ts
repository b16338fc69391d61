import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { KernelModuleError } from "./errors.ts";
import { parseModinfo, releaseOf, requireSameKernel } from "./modinfo.ts";

const vermagic = "6.12.107+deb13-amd64 SMP preempt mod_unload modversions";
const print = (...fields: readonly string[]) => `filename:       /tmp/x.ko\0${fields.map((field) => `${field}\0`).join("")}`;
const all = ["version=1.0", "license=Dual MIT/GPL", "name=x_y", `vermagic=${vermagic} `];
const without = (name: string) => print(...all.filter((field) => !field.startsWith(`${name}=`)));

const undescribed: readonly { name: string; text: string }[] = [
  { name: "nothing at all", text: "" },
  ...["version", "license", "name", "vermagic"].map((name) => ({ name: `no ${name}`, text: without(name) })),
  { name: "an empty licence", text: print(...all.filter((field) => !field.startsWith("license=")), "license=") },
  { name: "two licences", text: print(...all, "license=Proprietary") },
  { name: "two vermagics", text: print(...all, "vermagic=5.10 SMP") },
  { name: "fields that end in line breaks", text: print(...all).replaceAll("\0", "\n") },
];
for (const { name, text } of undescribed) {
  test(`a module with ${name} is refused`, () => assert.throws(() => parseModinfo(text), { code: "KERNEL_MODULE_UNDESCRIBED" }));
}

test("a module's own words are read; lists are sorted, and a line break in a value starts no field", () => {
  const info = parseModinfo(
    print(...all, "depends=b,a", "firmware=x/2.bin", "firmware=x/1.bin", "description=one\nlicense=Proprietary", "alias=a=b"),
  );
  assert.deepEqual(info, {
    name: "x_y",
    version: "1.0",
    licence: "Dual MIT/GPL",
    vermagic,
    depends: ["a", "b"],
    firmware: ["x/1.bin", "x/2.bin"],
  });
  assert.deepEqual(parseModinfo(print(...all, "depends=")).depends, []);
  assert.equal(releaseOf(info.vermagic), "6.12.107+deb13-amd64");
});

const foreign: readonly { name: string; words: string }[] = [
  { name: "the release before", words: vermagic.replace("107", "106") },
  { name: "the cloud kernel of the same release", words: vermagic.replace("deb13-amd64", "deb13-cloud-amd64") },
  { name: "a release that only starts the same", words: vermagic.replace("amd64", "amd64x") },
  { name: "another preemption model", words: vermagic.replace("preempt", "preempt_rt") },
  { name: "one option less", words: vermagic.replace(" modversions", "") },
  { name: "no kernel", words: "" },
];
for (const { name, words } of foreign) {
  test(`a module for ${name} is refused`, () =>
    assert.throws(() => requireSameKernel({ name: "x", vermagic: words }, vermagic), { code: "KERNEL_MODULE_MISMATCH" }));
}
test("a module for this very kernel passes", () => requireSameKernel({ name: "x", vermagic }, vermagic));

test("any text gives a description or a KernelModuleError", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      try {
        parseModinfo(text);
      } catch (error) {
        assert.ok(error instanceof KernelModuleError, String(error));
      }
    }),
  );
});
