import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { filesBelow, firstDifference, firstTreeDifference } from "./compare.ts";

const scratch = mkdtempSync(join(tmpdir(), "secai-compare-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let counter = 0;
const fresh = (): string => join(scratch, String(counter++));

function file(content: Buffer | string): string {
  const path = fresh();
  writeFileSync(path, content);
  return path;
}

const big = Buffer.alloc((2 << 20) + 5, 7);
const withByte = (offset: number): Buffer => {
  const copy = Buffer.from(big);
  copy[offset] = 8;
  return copy;
};
const different = [
  { name: "in the first byte", a: "abc", b: "xbc", says: "offset 0 (97 and 120); 3 and 3 bytes" },
  { name: "in the last byte", a: big, b: withByte(big.length - 1), says: `offset ${big.length - 1} (7 and 8)` },
  { name: "at the edge of a block", a: big, b: withByte(1 << 20), says: `offset ${1 << 20} (7 and 8)` },
  { name: "in length", a: "abc", b: "abcd", says: "one is the beginning of the other; 3 and 4 bytes" },
  { name: "in a whole block", a: big.subarray(0, 1 << 20), b: big, says: "one is the beginning of the other" },
  { name: "because one is empty", a: "", b: "a", says: "one is the beginning of the other; 0 and 1 bytes" },
];
describe("files differ", () => {
  for (const { name, a, b, says } of different)
    test(name, () => expect(firstDifference(file(a), file(b))).toEqual(expect.stringContaining(says)));
});
test("equal files have no difference", () => {
  for (const content of ["", "abc", big, big.subarray(0, 1 << 20)]) {
    expect(firstDifference(file(content), file(content))).toBeUndefined();
  }
});

function tree(change: (dir: string) => void = () => {}): string {
  const dir = fresh();
  mkdirSync(join(dir, "etc/policy"), { recursive: true });
  writeFileSync(join(dir, "etc/policy/a.yaml"), "a: 1\n", { mode: 0o644 });
  symlinkSync("policy/a.yaml", join(dir, "etc/current"));
  change(dir);
  return dir;
}
const treeChanges = [
  {
    name: "a file's content",
    change: (dir: string) => writeFileSync(join(dir, "etc/policy/a.yaml"), "a: 2\n"),
    says: "/etc/policy/a.yaml: first difference at offset 3",
  },
  {
    name: "a mode",
    change: (dir: string) => chmodSync(join(dir, "etc/policy/a.yaml"), 0o755),
    says: "/etc/policy/a.yaml is a file",
  },
  { name: "a folder's mode", change: (dir: string) => chmodSync(join(dir, "etc/policy"), 0o700), says: "mode 700" },
  { name: "a new name", change: (dir: string) => writeFileSync(join(dir, "etc/b"), ""), says: "/etc/b is only in the second" },
  {
    name: "a missing name",
    change: (dir: string) => rmSync(join(dir, "etc/current")),
    says: "/etc/current is only in the first",
  },
  {
    name: "a link's target",
    change: (dir: string) => {
      rmSync(join(dir, "etc/current"));
      symlinkSync("policy/b.yaml", join(dir, "etc/current"));
    },
    says: "to policy/b.yaml",
  },
];
describe("trees differ in", () => {
  for (const { name, change, says } of treeChanges)
    test(name, async () => expect(await firstTreeDifference(tree(), tree(change))).toEqual(expect.stringContaining(says)));
});
test("equal trees have no difference", async () => expect(await firstTreeDifference(tree(), tree())).toBeUndefined());
test("lists files and links below a folder, not folders", () =>
  expect(filesBelow(tree())).toEqual(["etc/current", "etc/policy/a.yaml"]));
