import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { foreignPrograms, requireOwnPrograms } from "./elf-machine.ts";

const folder = mkdtempSync(join(tmpdir(), "secai-elf-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The first 64 bytes of a little-endian 64-bit ELF file. */
function elf(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(machine, 18);
  return header;
}

mkdirSync(join(folder, "usr/lib"), { recursive: true });
const files: Readonly<Record<string, Uint8Array | string>> = {
  "usr/arm": elf(183),
  "usr/lib/arm.so": elf(183),
  "usr/lib/intel.so": elf(62),
  "usr/lib/i386.so": elf(3),
  "usr/lib/kernel.bpf": elf(247),
  "usr/script": "#!/bin/sh\n",
  "usr/empty": "",
  "usr/short": "\x7fELF",
};
for (const [path, content] of Object.entries(files)) writeFileSync(join(folder, path), content);
// What a link points to is looked at where it lies, and nothing outside of the tree.
symlinkSync("lib/intel.so", join(folder, "usr/link"));
symlinkSync("/proc/self/exe", join(folder, "usr/outside"));

test("programs of every other processor are found, and nothing else", () => {
  expect(foreignPrograms(folder, "aa64")).toEqual(["usr/lib/i386.so", "usr/lib/intel.so"]);
  expect(foreignPrograms(folder, "x64")).toEqual(["usr/arm", "usr/lib/arm.so", "usr/lib/i386.so"]);
});

test("a tree of one processor passes, a mixed one is refused by name", () => {
  expect(() => requireOwnPrograms(folder, "aa64")).toThrow("2 programs are not for aa64: usr/lib/i386.so, usr/lib/intel.so");
  for (const name of ["i386.so", "intel.so"]) rmSync(join(folder, "usr/lib", name));
  expect(() => requireOwnPrograms(folder, "aa64")).not.toThrow();
});
