import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseKernelModules } from "@secai/formats/kernel-modules";
import { afterAll, beforeAll, expect, test } from "vitest";
import { splitSignedModule } from "../../../pipelines/modules/signature.ts";
import { toolRootPath } from "../measure/tool-root.ts";
import { ProgramFolder } from "../media/program.ts";

/** A module that does nothing, as a package of sources would bring it. */
const helloC = `#include <linux/module.h>
static int __init hello_init(void) { pr_info("hello\\n"); return 0; }
static void __exit hello_exit(void) { }
module_init(hello_init);
module_exit(hello_exit);
MODULE_DESCRIPTION("hello of " __FILE__ " ");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0");
`;
const makefile = `ifneq ($(KERNELRELEASE),)
obj-m := hello-world.o
else
modules:
	$(MAKE) -C /usr/lib/modules/$(KERNEL_UNAME)/build M=$(CURDIR) modules
endif
`;
const patch = `--- a/hello-world.c
+++ b/hello-world.c
@@ -1,3 +1,3 @@
 #include <linux/module.h>
-static int __init hello_init(void) { pr_info("hello\\n"); return 0; }
+static int __init hello_init(void) { pr_info("patched\\n"); return 0; }
 static void __exit hello_exit(void) { }
`;

/** In the tool root "modules", which has a kernel, its headers and a compiler. */
let folder: ProgramFolder;
let release: string;
beforeAll(async () => {
  folder = await ProgramFolder.open(["kernel-modules", "kernel-modules-build"], toolRootPath("SECAI_MODULES_ROOT"));
  release = folder.run("ls /usr/lib/modules").trim();
  writeSources("source", helloC);
  mkdirSync(folder.at("patches"));
  writeFileSync(folder.at("patches/0001-hello.patch"), patch);
  for (const name of ["db", "foreign"])
    folder.run(
      `openssl req -x509 -newkey rsa:2048 -nodes -sha256 -subj "/O=Test/CN=test ${name}" -keyout ${name}.key -out ${name}.crt`,
    );
  expect(build("built")).toMatchObject({ status: 0 });
  expect(sign("built", "signed")).toMatchObject({ status: 0 });
});
afterAll(() => folder?.remove());

function writeSources(name: string, text: string): void {
  mkdirSync(folder.at(`${name}/hello`), { recursive: true });
  writeFileSync(folder.at(`${name}/hello/hello-world.c`), text);
  writeFileSync(folder.at(`${name}/hello/Makefile`), makefile);
  folder.run(`tar -cJf ${name}.tar.xz -C ${name} hello`);
}

interface Build {
  readonly root?: string;
  readonly source?: string;
  readonly patches?: string;
  readonly modules?: string;
}

const build = (out: string, change: Build = {}, processors?: string) =>
  folder.attempt(
    "kernel-modules-build",
    {
      ...{ root: "/", source: "./source.tar.xz", folder: "hello", patches: "./patches", modules: "hello-world", make: "" },
      ...{ ...change, out: `./${out}` },
    },
    out,
    processors === undefined ? [] : ["taskset", "--cpu-list", processors],
  );

const sign = (built: string, out: string, change: { readonly root?: string; readonly "db-key"?: string } = {}) =>
  folder.attempt(
    "kernel-modules",
    {
      ...{ root: "/", built: `./${built}`, patches: "./patches", package: "hello", "package-version": "1.0-1" },
      ...{ "db-crt": "./db.crt", "db-key": "./db.key", ...change, out: `./${out}` },
    },
    out,
  );

/** Copies what was built, with the same number of other bytes where the release stood. */
function builtForOther(name: string, from: string, to: string): void {
  cpSync(folder.at("built"), folder.at(name), { recursive: true });
  folder.run(`sed -i 's/vermagic=${from}/vermagic=${to}/' ${name}/hello-world.ko`);
}

const list = () => parseKernelModules(readFileSync(folder.at("signed/modules.json")));
const packed = () => `signed/tree/usr/lib/modules/${release}/updates/secai/hello-world.ko.xz`;

/** The signature as openssl sees it, apart from the program's own check. @throws Error when it does not hold */
function verify(bytes: Uint8Array, certificate: string): string {
  const { content, signature } = splitSignedModule(bytes);
  writeFileSync(folder.at("content"), content);
  writeFileSync(folder.at("signature"), signature);
  const given = `-certfile ${certificate} -nointern -noverify -in signature -content content`;
  return folder.run(`openssl cms -verify -binary -inform DER ${given} -out /dev/null 2>&1`);
}

const signedModule = (): Buffer => {
  folder.run(`xz -dc ${packed()} > module.ko`);
  return readFileSync(folder.at("module.ko"));
};

test("the signature that the kernel will read is the certificate's over the module's bytes", () => {
  expect(verify(signedModule(), "db.crt")).toContain("successful");
  expect(folder.run("modinfo -F signer module.ko; modinfo -F sig_hashalgo module.ko")).toBe("test db\nsha256\n");
});

test("the signature holds neither certificates nor a time, so it says nothing that changes", () => {
  splitSignedModule(signedModule());
  verify(signedModule(), "db.crt");
  const printed = folder.run("openssl cms -cmsout -print -noout -inform DER -in signature");
  expect(printed).toMatch(/certificates:\s+<ABSENT>/);
  expect(printed).toMatch(/signedAttrs:\s+<ABSENT>/);
});

test("one changed byte, or another's certificate, and the signature does not hold", () => {
  const bytes = signedModule();
  for (const at of [100, bytes.length >> 1]) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    expect(() => verify(changed, "db.crt")).toThrow(/Verification failure/i);
  }
  expect(() => verify(bytes, "foreign.crt")).toThrow(/Verification failure/i);
});

test("modules.json says of the packed file what it is, and lies in the tree as well", () => {
  const { kernel, modules, source, signer, compiler } = list();
  const [module] = modules;
  expect(kernel.release).toBe(release);
  expect(folder.run("modinfo -F vermagic module.ko").trim()).toBe(kernel.vermagic);
  expect(compiler).toMatch(/gcc/);
  expect(source).toMatchObject({ package: "hello", version: "1.0-1", patches: [{ name: "0001-hello.patch" }] });
  expect(signer.subject).toContain("CN=test db");
  expect(modules).toHaveLength(1);
  expect(module).toMatchObject({ name: "hello_world", version: "1.0", licence: "GPL", depends: [], firmware: [] });
  expect(module?.path).toBe(`/${packed().slice("signed/tree/".length)}`);
  expect(folder.run(`sha256sum < ${packed()} | cut -d' ' -f1; stat -c %s ${packed()}`)).toBe(
    `${module?.sha256}\n${module?.size}\n`,
  );
  folder.run("cmp signed/modules.json signed/tree/usr/lib/secure-ai/kernel-modules.json");
});

test("the module is packed as the kernel's own are, and the indexes know both", () => {
  const own = folder.run("find /usr/lib/modules/*/kernel -name '*.ko.xz' | sort | sed -n 1p").trim();
  const form = (path: string) => folder.run(`xz --robot --list -vv ${path} | grep ^summary`);
  expect(folder.run(`xz --robot --list ${packed()} | grep ^totals | cut -f8`)).toBe(
    folder.run(`xz --robot --list ${own} | grep ^totals | cut -f8`),
  );
  expect(form(packed()).split("\t")[1]).toBe(form(own).split("\t")[1]);
  const index = readFileSync(folder.at(`signed/tree/usr/lib/modules/${release}/modules.dep`), "utf8");
  expect(index).toMatch(/^updates\/secai\/hello-world\.ko\.xz:$/m);
  expect(index).toMatch(/^kernel\/drivers\/net\/tun\.ko\.xz:/m);
  expect(folder.run("find signed/tree -type l; ls signed/tree")).toBe("usr\n");
});

test("patches were applied, and the place of the build is not in the module", () => {
  expect(signedModule().includes("patched")).toBe(true);
  expect(signedModule().includes("hello of ./hello/hello-world.c")).toBe(true);
  expect(signedModule().includes("/tmp/")).toBe(false);
});

test("another build on one processor gives the same bytes", () => {
  expect(build("built-again", {}, "0").status).toBe(0);
  expect(sign("built-again", "signed-again").status).toBe(0);
  folder.run("diff -r built built-again; diff -r signed signed-again");
});

/** An image with one kernel, of another release than the tool root's. */
function otherImage(): string {
  const other = release.replace(/\d/, (digit) => String((Number(digit) + 1) % 10));
  const modules = `image/usr/lib/modules/${other}/kernel`;
  mkdirSync(folder.at(modules), { recursive: true });
  builtForOther("built-other", release, other);
  cpSync(folder.at("built-other/hello-world.ko"), folder.at(`${modules}/own.ko`));
  return other;
}

test("an image with another kernel than the headers' is refused by name, before anything is compiled or signed", () => {
  const other = otherImage();
  for (const { status, output } of [build("none", { root: "./image" }), sign("built", "none-signed", { root: "./image" })]) {
    expect(status).not.toBe(0);
    expect(output).toContain("KERNEL_MODULE_MISMATCH");
    expect(output).toContain(other);
  }
});

test("a module that says it is for another kernel is refused", () => {
  for (const [name, from, to] of [
    ["built-release", release, release.replace(/\d/, "9")],
    ["built-options", `${release} SMP preempt`, `${release} SMP PREEMPT`],
  ] as const) {
    builtForOther(name, from, to);
    const { status, output } = sign(name, `${name}-signed`);
    expect(status, name).not.toBe(0);
    expect(output, name).toContain("KERNEL_MODULE_MISMATCH");
  }
});

test("a key that does not belong to the certificate is refused", () => {
  const { status, output } = sign("built", "foreign", { "db-key": "./foreign.key" });
  expect(status).not.toBe(0);
  expect(output).toContain("KERNEL_MODULE_UNTRUSTED");
});

const badBuilds: readonly { readonly name: string; readonly code: string; readonly change: () => Build }[] = [
  {
    name: "a patch that the sources have by now",
    code: "KERNEL_MODULE_PATCH",
    change() {
      writeSources("new", helloC.replace('"hello\\n"', '"patched\\n"'));
      return { source: "./new.tar.xz" };
    },
  },
  { name: "a module that nothing makes", code: "KERNEL_MODULE_MISSING", change: () => ({ modules: "hello-world,absent" }) },
  {
    name: "a module without a version",
    code: "KERNEL_MODULE_UNDESCRIBED",
    change() {
      writeSources("mute", helloC.replace('MODULE_VERSION("1.0");\n', ""));
      return { source: "./mute.tar.xz" };
    },
  },
];
for (const { name, code, change } of badBuilds) {
  test(`${name} stops the build`, () => {
    const { status, output } = build(`bad-${code}`, change());
    expect(status).not.toBe(0);
    expect(output).toContain(code);
  });
}
