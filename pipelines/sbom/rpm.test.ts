import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { sha256 } from "@secai/formats/digest";
import fc from "fast-check";
import { expect, test } from "vitest";
import { serializeDocument } from "./document.ts";
import { SbomError } from "./errors.ts";
import { buildImageSbom } from "./image-sbom.ts";
import { ownershipOf } from "./ownership.ts";
import type { RootFile } from "./root-files.ts";
import { parseRpmQuery } from "./rpm.ts";
import { rpmComponent } from "./rpm-component.ts";

// As rpm 4.20 answers; test/contract/sbom/rpm.test.ts asks a real one.
const head = (name: string, changes: Record<string, string> = {}) => {
  const fields = {
    ...{ name: JSON.stringify(name), epoch: "0", version: '"5.2"', release: '"1.fc42"', arch: '"x86_64"', licence: '"MIT"' },
    ...{
      vendor: '"Fedora Project"',
      source: `"${name}-5.2-1.fc42.src.rpm"`,
      url: '"https://a.example/"',
      header: `"${sha256("h")}"`,
    },
    ...changes,
  };
  return `P\t${Object.values(fields).join("\t")}\n`;
};
const file = (path: string, content = "") => `F\t${JSON.stringify(path)}\t"${content === "" ? "" : sha256(content)}"\n`;
const bash = `${head("bash", { epoch: "1" })}${file("/usr/bin/bash", "bash")}${file("/usr/bin/sh")}V\t"bash"\nV\t"/bin/sh"\nR\t"libc"\nR\t"rpmlib(X)"\n`;
const glibc = `${head("glibc", { licence: '"LGPL-2.1-or-later AND MIT"', header: "(none)" })}${file("/usr/lib64/libc.so.6", "libc")}V\t"libc"\nR\t"/bin/sh"\n`;

const refused = [
  { name: "a row of another kind", answer: `${bash}X\t"x"\n` },
  { name: "a file before any package", answer: file("/x") },
  { name: "a package with a field less", answer: bash.replace('\t"x86_64"', "") },
  { name: "a package with a field more", answer: bash.replace('\t"x86_64"', '\t"x86_64"\t"x"') },
  { name: "an epoch in words", answer: bash.replace("\t1\t", "\t(none)\t") },
  { name: "a name that is a path", answer: head("../x") },
  { name: "a name that is absent", answer: head("x", { name: "(none)" }) },
  { name: "a name that is no string", answer: head("x", { name: "1" }) },
  { name: "a file name outside of quotes", answer: `${bash}F\t/x\t""\n` },
  { name: "a file name that is relative", answer: `${bash}${file("x")}` },
];
for (const { name, answer } of refused) {
  test(`${name} is refused`, () =>
    expect(() => parseRpmQuery(answer)).toThrow(expect.objectContaining({ code: "SBOM_INPUT_MALFORMED" })));
}

test("a file name with a newline and a tab stays a file name", () => {
  const name = '/a\nP\t"x"';
  expect(parseRpmQuery(`${bash}${file(name)}`)[0]?.paths).toContain(name);
});

test("signing keys are no packages", () => {
  expect(parseRpmQuery(`${head("gpg-pubkey", { arch: "(none)", source: "(none)" })}${bash}`).map(({ name }) => name)).toEqual([
    "bash",
  ]);
});

test("any text gives packages or an SbomError", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom(head("a"), file("/a"), 'V\t"a"\n'))), (parts) => {
      try {
        parseRpmQuery(parts.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(SbomError);
      }
    }),
  );
});

const content = (path: string, text: string): RootFile => ({
  path,
  type: "file",
  size: text.length,
  sha256: sha256(text),
  md5: "",
});

test("an image of RPMs: owners, changes, licences, dependencies by name and by file, in valid CycloneDX", async () => {
  const packages = parseRpmQuery(bash + glibc);
  const files: RootFile[] = [
    content("/usr/bin/bash", "changed"),
    { path: "/usr/bin/sh", type: "link", target: "bash" },
    content("/usr/lib64/libc.so.6", "libc"),
  ];
  const rpms = new Map(packages.map((rpm) => [rpm.ref, rpm]));
  const bom = buildImageSbom({
    image: { name: "secai", version: "0.1.0" },
    ownership: ownershipOf({ files, packages, diversions: new Map(), overlays: new Set() }),
    packages,
    componentOf: ({ ref }, count) => {
      const rpm = rpms.get(ref);
      if (rpm === undefined) throw new Error(ref);
      return rpmComponent(rpm, "fedora-42", count);
    },
    services: [],
    compute: { backends: [] },
    distro: "fedora-42",
    declared: new Map(),
    crossCheck: {},
    sourceDateEpoch: 1_700_000_000,
  });
  const text = serializeDocument(bom);
  expect(await new JsonStrictValidator(Version.v1dot6).validate(text)).toBeNull();
  const { components, dependencies, metadata } = JSON.parse(text);
  expect(metadata.component.properties).toContainEqual({ name: "secai:files:modified:path", value: "/usr/bin/bash" });
  const of = (name: string) => components.find((component: { name: string }) => component.name === name);
  expect(of("bash")).toMatchObject({
    version: "1:5.2-1.fc42",
    purl: "pkg:rpm/fedora/bash@5.2-1.fc42?arch=x86_64&distro=fedora-42&epoch=1&upstream=bash-5.2-1.fc42.src.rpm",
    licenses: [{ license: { id: "MIT" } }],
  });
  expect(of("bash").properties).toContainEqual({ name: "secai:rpm:header:sha256", value: sha256("h") });
  expect(of("bash").properties).toContainEqual({ name: "secai:rpm:files", value: "2" });
  expect(of("glibc")).toMatchObject({ licenses: [{ expression: "LGPL-2.1-or-later AND MIT" }] });
  expect(of("glibc").properties).toContainEqual({ name: "secai:rpm:header:sha256", value: "absent" });
  const dependsOn = (ref: string) => dependencies.find((entry: { ref: string }) => entry.ref === ref)?.dependsOn;
  expect(dependsOn("rpm:bash:5.2-1.fc42:x86_64")).toEqual(["rpm:glibc:5.2-1.fc42:x86_64"]);
  expect(dependsOn("rpm:glibc:5.2-1.fc42:x86_64")).toEqual(["rpm:bash:5.2-1.fc42:x86_64"]);
});
