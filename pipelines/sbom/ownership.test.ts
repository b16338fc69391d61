import { sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { ownershipOf, requireDeclared } from "./ownership.ts";
import type { RootFile } from "./root-files.ts";

const file = (path: string, content: string): RootFile => ({
  path,
  type: "file",
  size: content.length,
  sha256: sha256(content),
  md5: "",
});
const link = (path: string, target: string): RootFile => ({ path, type: "link", target });
const base = new Map([
  ["/etc/brought", sha256("as it came")],
  ["/etc/link", "link:brought"],
  ["/etc/gone", sha256("gone")],
]);
const owned = (...files: readonly RootFile[]) =>
  ownershipOf({ files, packages: [], diversions: new Map(), overlays: new Set(), base });

test("what is as the base image brought it came with that image", () => {
  const owners = owned(file("/etc/brought", "as it came"), link("/etc/link", "brought")).map(({ owner }) => owner);
  expect(owners).toEqual([
    { kind: "generated", generator: "base image" },
    { kind: "generated", generator: "base image" },
  ]);
});

const strays: readonly { name: string; stray: RootFile }[] = [
  { name: "other content", stray: file("/etc/brought", "changed") },
  { name: "another target", stray: link("/etc/link", "elsewhere") },
  { name: "a link in a file's place", stray: link("/etc/brought", "as it came") },
  { name: "another path", stray: file("/etc/brought2", "as it came, in part") },
  { name: "a device in its place", stray: { path: "/etc/brought", type: "special" } },
];
for (const { name, stray } of strays)
  test(`${name} is nobody's, and stops the build`, () =>
    expect(() => requireDeclared(owned(stray), new Map())).toThrow(expect.objectContaining({ code: "SBOM_FILE_UNOWNED" })));
