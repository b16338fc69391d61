import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { authenticodeSha256 } from "@secai/measure/authenticode";
import { vector } from "@secai/measure/fixtures/vectors";
import { parsePe, sectionContent } from "@secai/measure/pe";
import { parseUki, phaseValues } from "@secai/measure/uki";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";
import { ukiOf } from "../release/contents.ts";
import { flip } from "../release/forge.ts";

// Programs that firmware loads: signatures as osslsigncode and openssl see them, measurements as systemd-measure does.

const folder = new ToolFolder();
afterAll(() => folder.remove());
const read = (name: string) => readFileSync(join(folder.path, name));
const write = (name: string, content: Uint8Array) => writeFileSync(join(folder.path, name), content);

beforeAll(() => {
  folder.run(`for name in db other; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=interop $name/" -keyout $name.key -out $name.crt 2>&1
  done
  cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi boot.efi
  osslsigncode sign -h sha256 -time 1760000000 -certs db.crt -key db.key -in boot.efi -out signed.efi >/dev/null`);
});

const verify = (file: string, certificate: string) => folder.run(`osslsigncode verify -in ${file} -CAfile ${certificate}`);

test("osslsigncode verifies the signature over the digest that we measure", () => {
  const [, digest = ""] = /Calculated message digest : ([0-9A-F]{64})/.exec(verify("signed.efi", "db.crt")) ?? [];
  expect(authenticodeSha256(read("signed.efi"))).toBe(digest.toLowerCase());
  expect(() => verify("signed.efi", "other.crt")).toThrow(/ended with 1/);
});

test("a flipped bit changes our digest and breaks the signature", () => {
  write("changed.efi", read("signed.efi"));
  flip(folder.path, "changed.efi", 5000);
  expect(authenticodeSha256(read("changed.efi"))).not.toBe(authenticodeSha256(read("signed.efi")));
  expect(() => verify("changed.efi", "db.crt")).toThrow(/ended with 1/);
});

test("openssl finds the signer's certificate in the PKCS #7 of the file", () => {
  const [digest] = folder
    .run(`osslsigncode extract-signature -in signed.efi -out signature.der >/dev/null
    openssl pkcs7 -inform DER -in signature.der -print_certs -out signer.pem
    openssl verify -CAfile db.crt signer.pem
    openssl x509 -in signer.pem -noout -fingerprint -sha256`)
    .match(/[0-9A-F]{2}(:[0-9A-F]{2}){31}/) ?? [""];
  expect(folder.run("openssl x509 -in db.crt -noout -fingerprint -sha256")).toContain(digest);
});

test("the addon of the recorded boot is signed by the key that its firmware trusted", () => {
  write("addon.efi", vector("addon/test.addon.efi"));
  write("test.crt", vector("keys/test.crt"));
  write("PK.crt", vector("keys/PK.crt"));
  verify("addon.efi", "test.crt");
  expect(() => verify("addon.efi", "PK.crt")).toThrow(/ended with 1/);
});

/** Sections by the option of systemd-measure(1) that takes their content. */
const OPTIONS = {
  ".linux": "linux",
  ".osrel": "osrel",
  ".cmdline": "cmdline",
  ".initrd": "initrd",
  ".uname": "uname",
  ".sbat": "sbat",
  ".pcrpkey": "pcrpkey",
};

test("systemd-measure calculates the PCR 11 that we do, phase by phase", () => {
  const uki = ukiOf("roothash=00 quiet");
  const file = parsePe(uki);
  const options = file.sections.flatMap((section) => {
    const option = OPTIONS[section.name as keyof typeof OPTIONS];
    if (option === undefined) return [];
    write(option, sectionContent(file, section));
    return [`--${option}=${option}`];
  });
  expect(options.length).toBeGreaterThanOrEqual(6);
  for (const [phase, value] of Object.entries(phaseValues(parseUki(uki)))) {
    const said = folder.run(`/usr/lib/systemd/systemd-measure calculate --bank=sha256 ${options.join(" ")} --phase=${phase}`);
    expect(said).toMatch(new RegExp(`^11:sha256=${value}$`, "m"));
  }
});
