// Signs compiled kernel modules with the key that firmware trusts, packs them as the kernel package packs its own, and makes the module
// indexes of the image anew.
// kernel-modules --root DIR --built DIR --patches DIR --package NAME --package-version V --db-crt F --db-key F --out DIR
// Writes OUT/tree (files for the image's root) and OUT/modules.json (attest/formats/kernel-modules.ts), which is in the tree as well.
import { X509Certificate } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type KernelModules, kernelModulesBytes } from "@secai/formats/kernel-modules";
import { KernelModuleError } from "../modules/errors.ts";
import { headersOf, kernelRelease, kernelVermagic, MODULES, modinfo } from "../modules/image-kernel.ts";
import { requireSameKernel } from "../modules/modinfo.ts";
import { splitSignedModule } from "../modules/signature.ts";
import { readFlags, tool } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const root = flag("root");
const tree = join(flag("out"), "tree");
const release = kernelRelease(root);
const vermagic = kernelVermagic(root, release);
const certificate = new X509Certificate(readFileSync(flag("db-crt")));
const subject = certificate.subject.replaceAll("\n", ", ");
/** depmod prefers what lies below "updates" over the kernel's own modules (depmod.d(5)). */
const folder = join(MODULES, release, "updates/secai");

/**
 * The kernel's own tool: PKCS#7 over the module without signed attributes, so no signing time, and with RSA the same bytes each time.
 * The kernel looks the key up among those that firmware's db gave it (.platform), as the certificate is not in the signature.
 */
function sign(unsigned: string): string {
  const signed = join("/tmp/signed", basename(unsigned));
  copyFileSync(unsigned, signed);
  trusted(unsigned, join(headersOf(release), "scripts/sign-file"), ["sha256", flag("db-key"), flag("db-crt"), signed]);
  return signed;
}

/** Runs what fails when key, certificate and bytes do not belong together. @throws KernelModuleError KERNEL_MODULE_UNTRUSTED */
function trusted(path: string, command: string, args: readonly string[]): void {
  try {
    tool(command, args);
  } catch (cause) {
    const expected = `${basename(path)} signed by ${subject}`;
    throw new KernelModuleError("KERNEL_MODULE_UNTRUSTED", { expected, actual: "another key or other bytes", cause });
  }
}

/** A second reader's word that the kernel will find the signature, and find it good. @throws KernelModuleError */
function verify(path: string): void {
  const { content, signature } = splitSignedModule(readFileSync(path));
  writeFileSync("/tmp/content", content);
  writeFileSync("/tmp/signature", signature);
  trusted(path, "openssl", [
    ...["cms", "-verify", "-binary", "-inform", "DER", "-in", "/tmp/signature", "-content", "/tmp/content", "-out", "/dev/null"],
    ...["-certfile", flag("db-crt"), "-nointern", "-noverify"],
  ]);
}

/** With the options of the kernel's own Makefile.modinst: its decompressor knows CRC32 and keeps the dictionary in memory. */
function pack(signed: string): string {
  const packed = join(folder, `${basename(signed)}.xz`);
  tool("xz", ["--check=crc32", "--lzma2=dict=1MiB", "--threads=1", signed]);
  copyFileSync(`${signed}.xz`, join(tree, packed));
  return packed;
}

function install(name: string): KernelModules["modules"][number] {
  const unsigned = join(flag("built"), name);
  const info = modinfo(unsigned);
  requireSameKernel(info, vermagic);
  const signed = sign(unsigned);
  verify(signed);
  const path = pack(signed);
  const bytes = readFileSync(join(tree, path));
  return { ...info, path: `/${path}`, sha256: sha256(bytes), size: bytes.length };
}

/** Indexes over the kernel's modules and ours. Only what depmod writes lands in the tree. */
function indexModules(): void {
  const merged = "/tmp/merged";
  mkdirSync(join(merged, MODULES, release), { recursive: true });
  // depmod reads and writes below /lib.
  for (const base of [merged, tree]) symlinkSync("usr/lib", join(base, "lib"));
  const own = join(root, MODULES, release);
  for (const name of ["kernel", "modules.builtin", "modules.builtin.modinfo", "modules.order"])
    symlinkSync(join(own, name), join(merged, MODULES, release, name));
  symlinkSync(join(tree, MODULES, release, "updates"), join(merged, MODULES, release, "updates"));
  tool("depmod", ["--basedir", merged, "--outdir", tree, release]);
  rmSync(join(tree, "lib"));
}

const patches = readdirSync(flag("patches")).sort();
mkdirSync("/tmp/signed");
mkdirSync(join(tree, folder), { recursive: true });
const built = readdirSync(flag("built")).filter((name) => name.endsWith(".ko"));
const list = kernelModulesBytes({
  kernel: { release, vermagic },
  compiler: readFileSync(join(flag("built"), "compiler"), "utf8").trim(),
  source: {
    package: flag("package"),
    version: flag("package-version"),
    patches: patches.map((name) => ({ name, sha256: sha256(readFileSync(join(flag("patches"), name))) })),
  },
  signer: { subject, certificate: sha256(certificate.raw) },
  modules: built.sort().map(install),
});
indexModules();
mkdirSync(join(tree, "usr/lib/secure-ai"), { recursive: true });
writeFileSync(join(tree, "usr/lib/secure-ai/kernel-modules.json"), list);
writeFileSync(join(flag("out"), "modules.json"), list);
