import { copyFileSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import { makeBase, PLATFORM } from "./base.ts";
import { Bench } from "./bench.ts";
import { elfModule } from "./elf-module.ts";
import { makeSigner, packModule, signModule } from "./module-image.ts";
import { KERNEL, VERMAGIC } from "./rpms.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
  const digest = makeBase(bench, "image");
  bench.run("base", { image: "./image", digest, platform: PLATFORM, out: "./root", facts: "./base.json" });
  for (const name of ["signer", "other"]) makeSigner(bench, name);
});
afterAll(() => bench.remove());

interface Module {
  readonly vermagic?: string;
  readonly key?: "signer" | "other" | "none";
  readonly folder?: string;
  /** Changes the signed module before it is packed. */
  readonly spoil?: (bytes: Buffer) => Buffer;
}

/** A signed, compressed module in an RPM, as a module image holds them; the flags for the program. */
function packageOf(name: string, { vermagic = VERMAGIC, key = "signer", folder = KERNEL, spoil = (bytes) => bytes }: Module) {
  const content = elfModule({ name: "third", license: "GPL", vermagic });
  const file = packModule(bench, name, spoil(key === "none" ? content : signModule(bench, content, key)), folder);
  bench.write(
    `${name}.json`,
    JSON.stringify({ schema: 1, packages: [{ file, sha256: sha256(readFileSync(bench.at(name, file))) }] }),
  );
  return {
    root: "./root",
    image: `./${name}`,
    modules: `./${name}.json`,
    signer: "./signer.crt",
    out: `./${name}-out`,
    report: `./${name}-report.json`,
  };
}

test("a module for this kernel, signed by the recorded certificate, is taken; the rest of its package is not", () => {
  bench.run("modules", packageOf("good", {}));
  const path = `/usr/lib/modules/${KERNEL}/extra/third/third.ko.xz`;
  expect(bench.json("good-report.json")).toMatchObject({
    kernel: { release: KERNEL, vermagic: VERMAGIC.trim() },
    signer: { subject: "O=modules, CN=signer" },
    packages: [
      {
        nevra: "0:kmod-third-1.0-1.fc42.x86_64",
        modules: [{ path, sha256: sha256(readFileSync(bench.at("good-out", path))) }],
        left: ["/usr/lib/modprobe.d/third.conf"],
      },
    ],
  });
  expect(bench.read("good-out/usr/lib/secure-ai/kernel-modules.d/kmod-third-1.0-1.fc42.x86_64.json")).toBe(
    bench.read("good-report.json"),
  );
  expect(bench.tools("cd good-out; find . -type f | sort")).toBe(
    `.${path}\n./usr/lib/secure-ai/kernel-modules.d/kmod-third-1.0-1.fc42.x86_64.json\n`,
  );
});

const refused: readonly { name: string; code: string; module: Module }[] = [
  {
    name: "another kernel's vermagic",
    code: "KERNEL_MODULE_MISMATCH",
    module: { vermagic: VERMAGIC.replace("6.14.0", "6.14.1") },
  },
  {
    name: "the same release with other options",
    code: "KERNEL_MODULE_MISMATCH",
    module: { vermagic: `${KERNEL} SMP mod_unload ` },
  },
  { name: "the folder of another kernel", code: "KERNEL_MODULE_MISMATCH", module: { folder: "6.13.0-1.fc42.x86_64" } },
  { name: "no signature", code: "KERNEL_MODULE_UNSIGNED", module: { key: "none" } },
  { name: "another signer", code: "KERNEL_MODULE_UNTRUSTED", module: { key: "other" } },
  {
    name: "a byte changed after signing",
    code: "KERNEL_MODULE_UNTRUSTED",
    module: {
      spoil: (bytes) => Buffer.concat([bytes.subarray(0, 60), Buffer.from([bytes[60] === 1 ? 2 : 1]), bytes.subarray(61)]),
    },
  },
];
for (const [index, { name, code, module }] of refused.entries())
  test(`refuses a module with ${name}`, () => expect(bench.refusal("modules", packageOf(`bad-${index}`, module))).toBe(code));

test("refuses a package with other bytes than the lock's", () => {
  const flags = packageOf("swapped", {});
  copyFileSync(
    bench.at("base-rpms/library-1.0-1.fc42.x86_64.rpm"),
    bench.at("swapped/rpms/kmods/kmod-third-1.0-1.fc42.x86_64.rpm"),
  );
  expect(bench.refusal("modules", flags)).toBe("RPM_STORE_DIFFERS");
});
