import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { emulatorCommand, emulatorFor } from "./emulator.ts";

const folder = mkdtempSync(join(tmpdir(), "secai-emulator-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** As the kernel reads the line it is given: name, kind, offset, magic, mask, interpreter and flags. */
function ruleOf(architecture: string) {
  const [, name, kind, offset, magic = "", mask = "", program, flags] = (emulatorCommand(architecture).at(-1) ?? "").split(":");
  const bytes = (text: string): number[] =>
    [...text.matchAll(/\\x([0-9a-f]{2})/g)].map(([, hex = ""]) => Number.parseInt(hex, 16));
  return { name, kind, offset, magic: bytes(magic), mask: bytes(mask), program, flags };
}

/** The first bytes of an ELF file (ELF gABI, chapter 4). */
function elf({ machine = 183, type = 2, wide = 2, order = 1, abi = 0 }: Readonly<Record<string, number>>): number[] {
  return [0x7f, 0x45, 0x4c, 0x46, wide, order, 1, abi, 0, 0, 0, 0, 0, 0, 0, 0, type, 0, machine, 0];
}

const matches = ({ magic, mask }: ReturnType<typeof ruleOf>, header: readonly number[]): boolean =>
  magic.every((byte, index) => ((header[index] ?? 0) & (mask[index] ?? 0)) === (byte & (mask[index] ?? 0)));

describe("the kernel gives the emulator programs of its architecture, and no other file", () => {
  const rule = ruleOf("arm64");
  test.each([
    ["an executable", elf({}), true],
    ["a position-independent executable", elf({ type: 3 }), true],
    ["one for the GNU ABI", elf({ abi: 3 }), true],
    ["an object file", elf({ type: 1 }), false],
    ["a core dump", elf({ type: 4 }), false],
    ["x86-64", elf({ machine: 62 }), false],
    ["32-bit", elf({ wide: 1 }), false],
    ["big-endian", elf({ order: 2 }), false],
    ["a script", [...Buffer.from("#!/bin/sh\n\0\0\0\0\0\0\0\0\0\0")], false],
  ])("%s", (_, header, expected) => expect(matches(rule, header)).toBe(expected));

  test("magic and mask are of one length", () => {
    expect(rule.magic).toHaveLength(20);
    expect(rule.mask).toHaveLength(20);
    expect(rule).toMatchObject({ kind: "M", offset: "", program: "/usr/bin/qemu-aarch64", flags: "OCF" });
  });
});

test("it is registered in a namespace of its own, before the command", () => {
  const command = emulatorCommand("amd64");
  expect(command.slice(0, 2)).toEqual(["unshare", "--user"]);
  expect(ruleOf("amd64").program).toBe("/usr/bin/qemu-x86_64");
});

test("an architecture without emulator is refused", () => {
  expect(() => emulatorCommand("riscv64")).toThrow("no emulator for riscv64");
});

describe("emulatorFor", () => {
  const rootWith = (header: readonly number[]): string => {
    mkdirSync(join(folder, "usr/bin"), { recursive: true });
    writeFileSync(join(folder, "usr/bin/dpkg"), Buffer.from(header));
    return folder;
  };
  const own = process.arch === "arm64" ? 183 : 62;
  test("nothing for a root of this machine", () => expect(emulatorFor(rootWith(elf({ machine: own })))).toEqual([]));
  test("an emulator for another", () => {
    const other = own === 183 ? "amd64" : "arm64";
    expect(emulatorFor(rootWith(elf({ machine: own === 183 ? 62 : 183 })))).toEqual(emulatorCommand(other));
  });
  test("an error for what nobody emulates", () => expect(() => emulatorFor(rootWith(elf({ machine: 243 })))).toThrow("243"));
});
