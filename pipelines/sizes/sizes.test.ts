import fc from "fast-check";
import { expect, test } from "vitest";
import { SizeError } from "./errors.ts";
import { bytesByPackage } from "./measure.ts";
import { formatSizes, grownParts, parseSizes, requireAcceptedSizes, type Sizes } from "./sizes.ts";

const MIB = 2 ** 20;
const recorded: Sizes = {
  schema: 1,
  recipe: "debian-13",
  parts: {
    root: { bytes: 100 * MIB, packages: { nodejs: 60 * MIB, systemd: 20 * MIB, "-": MIB } },
    initrd: { bytes: 10 * MIB, packages: {} },
  },
};
const withRoot = (bytes: number, packages = recorded.parts.root?.packages ?? {}): Sizes => ({
  ...recorded,
  parts: { ...recorded.parts, root: { bytes, packages } },
});

test("a part that grew by more than a tenth is refused with what grew in it, the worst first", () => {
  const measured = withRoot(111 * MIB, { nodejs: 61 * MIB, systemd: 18 * MIB, libx1: 12 * MIB, "-": 3 * MIB });
  expect(() => requireAcceptedSizes(recorded, measured)).toThrow(
    expect.objectContaining({
      code: "SIZE_GREW",
      actual: "root 111.0 MiB (from 100.0 MiB, 11 % more): libx1 +12.0 MiB, ours +2.0 MiB, nodejs +1.0 MiB",
    }),
  );
});

test("a part that nobody accepted is refused by name", () => {
  const measured = {
    ...recorded,
    parts: { ...recorded.parts, "extension.cuda": { bytes: MIB, packages: { libcublas12: 2 * MIB } } },
  };
  expect(() => requireAcceptedSizes(recorded, measured)).toThrow(
    expect.objectContaining({ actual: "extension.cuda 1.0 MiB (new): libcublas12 +2.0 MiB" }),
  );
});

test("at most ten packages are named", () => {
  const packages = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`lib${index}`, index + 1]));
  expect(grownParts(recorded, withRoot(200 * MIB, packages))[0]?.packages.map(({ name }) => name)).toEqual(
    Array.from({ length: 10 }, (_, index) => `lib${29 - index}`),
  );
});

test("a tenth more, less, and a part that is gone are fine", () => {
  requireAcceptedSizes(recorded, withRoot(110 * MIB));
  requireAcceptedSizes(recorded, withRoot(1));
  requireAcceptedSizes(recorded, { ...recorded, parts: {} });
});

const malformed = [
  "",
  "{",
  "[]",
  '{"schema":2,"recipe":"x","parts":{}}',
  '{"schema":1,"recipe":"x","parts":{"root":{"bytes":0,"packages":{}}}}',
];
for (const text of malformed) {
  test(`parseSizes refuses ${JSON.stringify(text)}`, () =>
    expect(() => parseSizes(Buffer.from(text))).toThrow(expect.objectContaining({ code: "SIZE_RECORD_MALFORMED" })));
}

test("parseSizes returns or throws SizeError, and reads back what was written", () => {
  expect(parseSizes(Buffer.from(formatSizes(recorded)))).toEqual(recorded);
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        parseSizes(Buffer.from(JSON.stringify(value)));
      } catch (error) {
        expect(error).toBeInstanceOf(SizeError);
      }
    }),
  );
});

test("bytes go to the package that lists a file; the rest is ours", () => {
  const file = (path: string, size: number) =>
    ({ path, type: "file", mode: "0644", uid: 0, gid: 0, sha256: "ab".repeat(32), size }) as never;
  const packages = [{ name: "a", paths: ["/usr", "/usr/a", "/usr/b"] }];
  expect(bytesByPackage([file("/usr/a", 1), file("/usr/b", 2), file("/usr/ours", 4)], packages)).toEqual({ a: 3, "-": 4 });
});
