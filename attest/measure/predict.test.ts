import { sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { commandLineDigest, parseAddon } from "./addon.ts";
import { buildPe, type TestSection, ukiSections } from "./fixtures/pe.ts";
import { replayPcr, ZERO_PCR } from "./pcr.ts";
import { parseUki, phaseValues } from "./uki.ts";

const text = (content: string) => Buffer.from(content);
const without = (name: string) => ukiSections().filter((section) => section.name !== name);

const refusedUkis: { name: string; sections: TestSection[] }[] = [
  ...[".linux", ".osrel", ".cmdline", ".initrd"].map((name) => ({ name: `without ${name}`, sections: without(name) })),
  { name: "with two command lines", sections: [...ukiSections(), { name: ".cmdline", content: text("init=/bin/sh") }] },
  { name: "with profiles", sections: [...ukiSections(), { name: ".profile", content: text("ID=debug") }] },
  { name: "with hardware ids", sections: [...ukiSections(), { name: ".hwids", content: text("x") }] },
  {
    name: "with a command line that is not UTF-8",
    sections: [...without(".cmdline"), { name: ".cmdline", content: Buffer.from([0xff]) }],
  },
];
for (const { name, sections } of refusedUkis) {
  test(`parseUki refuses an image ${name}`, () =>
    expect(() => parseUki(buildPe(sections))).toThrow(expect.objectContaining({ code: "UKI_UNSUPPORTED" })));
}

test("PCR 11 does not depend on the order of sections in the file, nor on .pcrsig and code sections", () => {
  const values = phaseValues(parseUki(buildPe(ukiSections())));
  expect(phaseValues(parseUki(buildPe(ukiSections().reverse())))).toEqual(values);
  const more = [...ukiSections(), { name: ".pcrsig", content: text("{}") }, { name: ".data", content: text("x") }];
  expect(phaseValues(parseUki(buildPe(more)))).toEqual(values);
  expect(phaseValues(parseUki(buildPe([...ukiSections(), { name: ".pcrpkey", content: text("key") }])))).not.toEqual(values);
});

test("PCR 11 is what systemd's documentation says: name, content, then the phases", () => {
  const digests = [".linux", ".osrel", ".cmdline", ".initrd", ".uname"].flatMap((name) => {
    const content = ukiSections().find((section) => section.name === name)?.content ?? Buffer.alloc(0);
    return [sha256(`${name}\0`), sha256(content)];
  });
  const values = phaseValues(parseUki(buildPe(ukiSections())));
  expect(values["enter-initrd"]).toBe(replayPcr([...digests, sha256("enter-initrd")]));
  expect(Object.keys(values)).toHaveLength(4);
});

const refusedAddons: { name: string; sections: TestSection[] }[] = [
  { name: "without a command line", sections: [{ name: ".text", content: text("x") }] },
  { name: "with an empty command line", sections: [{ name: ".cmdline", content: text(" \n") }] },
  { name: "with two command lines", sections: [1, 2].map(() => ({ name: ".cmdline", content: text("quiet") })) },
  {
    name: "with an initrd",
    sections: [
      { name: ".cmdline", content: text("quiet") },
      { name: ".initrd", content: text("x") },
    ],
  },
  { name: "with letters beyond ASCII", sections: [{ name: ".cmdline", content: Buffer.from("ä") }] },
];
for (const { name, sections } of refusedAddons) {
  test(`parseAddon refuses an addon ${name}`, () =>
    expect(() => parseAddon(buildPe(sections))).toThrow(expect.objectContaining({ code: "ADDON_UNSUPPORTED" })));
}

test("an addon's command line is measured trimmed, in UTF-16 with its NUL", () => {
  const addon = parseAddon(buildPe([{ name: ".cmdline", content: text("\n a\tb \0junk") }]));
  expect(addon.commandLine).toBe("a b");
  expect(addon.commandLineDigest).toBe(sha256(Buffer.from("a\0 \0b\0\0\0", "latin1")));
  expect(commandLineDigest("a b")).toBe(addon.commandLineDigest);
});

test("no addon, no change: PCR 12 stays zero", () => expect(replayPcr([])).toBe(ZERO_PCR));
