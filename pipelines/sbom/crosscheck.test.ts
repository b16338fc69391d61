import { sha256 } from "@secai/formats/digest";
import { expect, test } from "vitest";
import { crossCheckFiles, crossCheckPackages } from "./crosscheck.ts";
import type { InstalledPackage } from "./package.ts";
import type { RootFile } from "./root-files.ts";

const files: readonly RootFile[] = [
  { path: "/a", type: "file", size: 3, sha256: sha256("abc"), md5: "" },
  { path: "/b c", type: "link", target: "a" },
  { path: "/dev/x", type: "special" },
];
const found = "f\x003\x00/a\x00\x00l\x001\x00/b c\x00a\x00c\x000\x00/dev/x\x00\x00";
const bash = { name: "bash", version: "5.2-1", architecture: "amd64" } as InstalledPackage;
const queried = "installed\tbash\tamd64\t5.2-1\nconfig-files\tgone\tamd64\t1\n";

test("two readers that agree say so", () => {
  expect(crossCheckFiles(files, found)).toEqual({ "crosscheck:files": "3 by find, equal" });
  expect(crossCheckPackages([bash], queried)).toEqual({ "crosscheck:packages": "1 by dpkg-query, equal" });
});

const differences = [
  { name: "a file more", found: `${found}f\x001\x00/new\x00\x00`, actual: "only the other: /new: file of 1 bytes" },
  { name: "a file less", found: found.slice(found.indexOf("l")), actual: "only the SBOM: /a: file of 3 bytes" },
  {
    name: "another size",
    found: found.replace("f\x003", "f\x004"),
    actual: /only the other: \/a: file of 4 bytes; only the SBOM: \/a/,
  },
  { name: "another target", found: found.replace("\x00a\x00c", "\x00z\x00c"), actual: /link to z.*link to a/ },
  { name: "another type", found: found.replace("c\x000", "f\x000"), actual: /file of 0 bytes.*special/ },
  { name: "a file twice", found: `${found}f\x003\x00/a\x00\x00`, actual: "the same names, in other numbers" },
  { name: "nothing", found: "", actual: /only the SBOM: \/a/ },
];
for (const { name, found: answer, actual } of differences) {
  test(`find sees ${name}: refused, and said what`, () => {
    const code = { code: "SBOM_CROSSCHECK_DIFFERS", actual: typeof actual === "string" ? actual : expect.stringMatching(actual) };
    expect(() => crossCheckFiles(files, answer)).toThrow(expect.objectContaining(code));
  });
}

test.each([
  ["another version", queried.replace("5.2-1", "5.2-2")],
  ["another architecture", queried.replace("amd64", "arm64")],
  ["a package more", queried.replace("config-files", "installed")],
  ["no package", ""],
])("dpkg-query sees %s: refused", (_, answer) => {
  expect(() => crossCheckPackages([bash], answer)).toThrow(expect.objectContaining({ code: "SBOM_CROSSCHECK_DIFFERS" }));
});
