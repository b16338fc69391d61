import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { authenticodeSha256 } from "../../../attest/measure/authenticode.ts";
import { ZERO_PCR } from "../../../attest/measure/pcr.ts";
import { isSignedPcr11, parsePcrKey, parsePcrSignatures } from "../../../attest/measure/pcr-signature.ts";
import { parsePe, sectionContent } from "../../../attest/measure/pe.ts";
import { certificateDer, certificateList, placeholderDbx } from "../../../attest/measure/secure-boot.ts";
import { parseUki, phaseValues } from "../../../attest/measure/uki.ts";
import { ToolFolder } from "./tool-root.ts";

// The predictor against the programs whose results it predicts: ukify and systemd-measure, osslsigncode, virt-fw-vars.

const GUID = "01234567-89ab-cdef-0123-456789abcdef";
const PHASES = ["enter-initrd", "leave-initrd", "sysinit", "ready"].map((_, index, all) => all.slice(0, index + 1).join(":"));
let folder: ToolFolder;
let measured: string;
const read = (name: string) => readFileSync(join(folder.path, name));

beforeAll(() => {
  folder = new ToolFolder();
  folder.run(`for name in PK KEK db second; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=contract $name/" -keyout $name.key -out $name.crt 2>&1
  done
  openssl rsa -in db.key -pubout -out pcr.pub
  head -c 100001 /dev/urandom > initrd`);
  // Any EFI program does for a kernel here: it is measured, not started.
  measured = folder.run(`efi=/usr/lib/systemd/boot/efi
  ukify build --linux=$efi/linuxx64.efi.stub --initrd=initrd --cmdline="roothash=${"ab".repeat(32)} quiet" \\
    --os-release=@/usr/lib/os-release --uname=6.1 --stub=$efi/linuxx64.efi.stub --pcr-private-key=db.key --pcr-public-key=pcr.pub \\
    --phases="${PHASES.join(" ")}" --pcr-banks=sha256 --measure --output=unsigned.efi
  osslsigncode sign -h sha256 -time 1760000000 -certs db.crt -key db.key -in unsigned.efi -out signed.efi >/dev/null`);
});
afterAll(() => folder?.remove());

test("PCR 11 of every phase is the one systemd-measure calculates", () => {
  const expected = [...measured.matchAll(/^11:sha256=([0-9a-f]{64})$/gm)].map(([, value]) => value);
  expect(expected).toHaveLength(PHASES.length);
  const values = phaseValues(parseUki(read("signed.efi")));
  expect(PHASES.map((phase) => values[phase])).toEqual(expected);
});

test("the signatures that ukify puts into the image allow PCR 11 of every phase, and nothing else", () => {
  const file = parsePe(read("signed.efi"));
  const section = (wanted: string) => {
    const found = file.sections.find(({ name }) => name === wanted);
    return found === undefined ? Buffer.alloc(0) : Buffer.from(sectionContent(file, found));
  };
  const { key } = parsePcrKey(section(".pcrpkey").toString("latin1").replace(/\0+$/, ""));
  const signatures = parsePcrSignatures(Buffer.from(section(".pcrsig").toString("latin1").replace(/\0+$/, "")));
  const values = Object.values(phaseValues(parseUki(read("signed.efi"))));
  expect(values.map((value) => isSignedPcr11(signatures, value, key))).toEqual(PHASES.map(() => true));
  expect(isSignedPcr11(signatures, ZERO_PCR, key)).toBe(false);
});

test("the Authenticode hash is the one osslsigncode signs, before and after signing", () => {
  const report = folder.run("osslsigncode verify -in signed.efi -CAfile db.crt");
  const [, digest = ""] = /Calculated message digest : ([0-9A-F]{64})/.exec(report) ?? [];
  expect(authenticodeSha256(read("signed.efi"))).toBe(digest.toLowerCase());
  expect(authenticodeSha256(read("unsigned.efi"))).toBe(digest.toLowerCase());
});

test("firmware variables are byte for byte what virt-fw-vars enrols", () => {
  folder.run(`virt-fw-vars --input /usr/share/OVMF/OVMF_VARS_4M.fd --output vars.fd --set-pk ${GUID} PK.crt \\
    --add-kek ${GUID} KEK.crt --add-db ${GUID} db.crt --add-db ${GUID} second.crt --secure-boot 2>/dev/null
  virt-fw-vars --input vars.fd --output-json vars.json 2>/dev/null`);
  const { variables } = JSON.parse(read("vars.json").toString("utf8")) as { variables: { name: string; data: string }[] };
  const data = new Map(variables.map((variable) => [variable.name, variable.data]));
  const list = (name: string) => certificateList(GUID, certificateDer(read(`${name}.crt`))).toString("hex");
  expect(data.get("PK")).toBe(list("PK"));
  expect(data.get("KEK")).toBe(list("KEK"));
  expect(data.get("db")).toBe(list("db") + list("second"));
  expect(data.get("dbx")).toBe(placeholderDbx().toString("hex"));
});
