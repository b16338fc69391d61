import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { AA64, peProgram, X64 } from "./efi.test-data.ts";
import { efiArchitecture, removableMediaPath } from "./efi.ts";

const folder = mkdtempSync(join(tmpdir(), "secai-efi-"));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(content: Uint8Array | string): string {
  const path = join(folder, "program.efi");
  writeFileSync(path, content);
  return path;
}

const far = peProgram(X64);
far.writeUInt32LE(0xffffffff, 0x3c);
const refused = [
  { name: "nothing", content: "" },
  { name: "an ELF program", content: "\x7fELF\x02\x01\x01" },
  { name: "a DOS program", content: `MZ${"\0".repeat(200)}` },
  { name: "32-bit x86", content: peProgram(0x014c) },
  { name: "RISC-V", content: peProgram(0x5064) },
  { name: "an offset beyond the file", content: far },
  { name: "a header that is cut off", content: peProgram(X64).subarray(0, 66) },
];
describe("efiArchitecture refuses", () => {
  for (const { name, content } of refused)
    test(name, () => expect(() => efiArchitecture(fileOf(content))).toThrow("no EFI program"));
});

test("names are those of the UEFI specification", () => {
  expect(efiArchitecture(fileOf(peProgram(X64)))).toBe("x64");
  expect(efiArchitecture(fileOf(peProgram(AA64)))).toBe("aa64");
  expect(removableMediaPath("x64")).toBe("EFI/BOOT/BOOTX64.EFI");
  expect(removableMediaPath("aa64")).toBe("EFI/BOOT/BOOTAA64.EFI");
});
