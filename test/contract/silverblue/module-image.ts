import { readFileSync } from "node:fs";
import { sha256 } from "../../../attest/formats/digest.ts";
import { archiveOf, writeImage } from "./base.ts";
import type { Bench } from "./bench.ts";
import type { FixtureImage } from "./chain.ts";
import { elfModule } from "./elf-module.ts";
import { buildRpms, KERNEL, VERMAGIC } from "./rpms.ts";

/** Makes a key and a certificate for modules: NAME.key, NAME.crt, NAME.der. */
export function makeSigner(bench: Bench, name: string): void {
  bench.tools(`openssl req -x509 -newkey rsa:2048 -nodes -subj "/O=modules/CN=${name}" -keyout ${name}.key -out ${name}.crt 2>/dev/null
    openssl x509 -in ${name}.crt -outform DER -out ${name}.der`);
}

/** What scripts/sign-file of the kernel makes: PKCS#7 without attributes and certificates, its length, and the mark. */
export function signModule(bench: Bench, content: Buffer, signer: string): Buffer {
  bench.write("module.content", content);
  const key = `-signer ${signer}.crt -inkey ${signer}.key`;
  bench.tools(`openssl cms -sign -binary -noattr -nocerts -md sha256 -outform DER ${key} -in module.content -out module.sig`);
  const signature = readFileSync(bench.at("module.sig"));
  const trailer = Buffer.alloc(12);
  trailer[2] = 2;
  trailer.writeUInt32BE(signature.length, 8);
  return Buffer.concat([content, signature, trailer, Buffer.from("~Module signature appended~\n")]);
}

/** An RPM with one compressed module and its configuration, in `folder`; its path. */
export function packModule(bench: Bench, folder: string, module: Uint8Array, release = KERNEL): string {
  bench.write(`${folder}.ko`, module);
  const place = `usr/lib/modules/${release}/extra/third`;
  const install = `mkdir -p ${place} usr/lib/modprobe.d; cp ${bench.at(folder)}.ko ${place}/third.ko; xz ${place}/third.ko; echo x > usr/lib/modprobe.d/third.conf`;
  const files = `/usr/lib/modules/${release}/extra/third/third.ko.xz\n/usr/lib/modprobe.d/third.conf`;
  buildRpms(bench, `${folder}/rpms/kmods`, [{ name: "kmod-third", install, files }]);
  return "rpms/kmods/kmod-third-1.0-1.fc42.x86_64.rpm";
}

/** An image with prebuilt modules, as the recipe's are, and the certificate of their signer in DER. */
export function makeModuleImage(bench: Bench, folder: string): { readonly image: FixtureImage; readonly certificate: Buffer } {
  makeSigner(bench, "akmods");
  const module = signModule(bench, elfModule({ name: "third", license: "GPL", vermagic: VERMAGIC }), "akmods");
  const file = packModule(bench, `${folder}-tree`, module);
  const packages = [{ file, sha256: sha256(readFileSync(bench.at(`${folder}-tree`, file))) }];
  const digest = writeImage(bench, folder, [{ archive: archiveOf(bench, `${folder}-tree`), compression: "gzip" }]);
  return { image: { name: "modules.nvidia", folder, digest, packages }, certificate: readFileSync(bench.at("akmods.der")) };
}
