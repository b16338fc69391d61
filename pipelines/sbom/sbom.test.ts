import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { parseSha256, sha256 } from "@secai/formats/digest";
import type { BackendEntry, GpuBackends } from "@secai/formats/gpu-backends";
import type { KernelModules } from "@secai/formats/kernel-modules";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { debComponent } from "./deb-component.ts";
import { parseCycloneDxVersion, serializeDocument, serializeXml } from "./document.ts";
import { loadDiversions, loadDpkg, parseRelations } from "./dpkg.ts";
import { buildImageSbom, type ImageSbomInputs } from "./image-sbom.ts";
import { expressionRepository, licenceNames, mentionedLicences, spdxIdOf } from "./licences.ts";
import { bundledFiles, bundledImports } from "./metafile.ts";
import { ownershipOf } from "./ownership.ts";
import { readRoot, rootDigest } from "./root-files.ts";
import { parseServiceDocument, type ServiceDocument } from "./service-document.ts";
import { buildServiceSbom, type ServiceSbomInputs } from "./service-sbom.ts";
import { uuidOfUrl } from "./uuid.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secai-sbom-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function put(path: string, content: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}

const md5 = { hello: "b1946ac92492d2347c6235b4d2611184" };
const status = `Package: tool
Status: install ok installed
Maintainer: A Maintainer <a@debian.example>
Architecture: amd64
Version: 1:2.0+b1
Source: tool-src (1:2.0)
Depends: libdep (>= 1) | other, missing
Conffiles:
 /etc/tool.conf ${md5.hello}
Description: a tool

Package: libdep++
Status: install ok installed
Maintainer: B
Architecture: amd64
Multi-Arch: same
Version: 3
Provides: libdep (= 1)
Description: a library

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
`;

/** A root with merged /usr, two packages, one file of each other origin, and nothing else. */
function makeRoot(): void {
  put("dpkg/status", status);
  put("dpkg/info/tool.list", "/.\n/bin\n/bin/tool\n/etc/tool.conf\n/usr/share/tool/default\n/usr/share/diverted\n");
  put("dpkg/info/tool.md5sums", `${md5.hello}  bin/tool\n`);
  put("dpkg/info/libdep++:amd64.list", "/usr/lib/libdep.so\n");
  put("dpkg/diversions", "/usr/share/diverted\n/usr/share/diverted.real\nlibdep++\n");
  put("root/usr/bin/tool", "hello\n");
  put("root/etc/tool.conf", "changed\n");
  put("root/usr/share/tool/default", "default\n");
  put("root/etc/copy-of-default", "default\n");
  put("root/usr/lib/libdep.so", "library\n");
  put("root/usr/share/diverted.real", "diverted\n");
  put("root/etc/ld.so.cache", "cache");
  put("root/etc/secure-ai/policy/x.yaml", "a: 1\n");
  put("root/usr/lib/secure-ai/services/one.mjs", "bundle one\n");
  put("root/opt/stray", "nobody's\n");
  symlinkSync("usr/bin", join(folder, "root/bin"));
}

const service: ServiceDocument = {
  name: "one",
  version: "0.1.0",
  serialNumber: "urn:uuid:12345678-1234-5234-8234-123456789abc",
  bundle: sha256("bundle one\n"),
  document: sha256("document"),
};

const locked = {
  ...{ name: "tool", version: "1:2.0+b1", architecture: "amd64", archive: "debian" },
  ...{ path: "pool/main/t/tool/tool_2.0+b1_amd64.deb", size: 1, sha256: parseSha256("a".repeat(64)) },
};

function imageInputs(changes: Partial<ImageSbomInputs> = {}): ImageSbomInputs {
  const packages = loadDpkg(join(folder, "dpkg"));
  const files = readRoot(join(folder, "root"));
  const diversions = loadDiversions(join(folder, "dpkg"));
  return {
    image: { name: "secai", version: "0.1.0" },
    ownership: ownershipOf({ files, packages, diversions, overlays: new Set() }),
    packages,
    componentOf: (deb, fileCount) =>
      debComponent({
        package: deb,
        locked: deb.name === "tool" ? locked : undefined,
        licences: deb.name === "tool" ? ["GPL-2+", "Expat", "GPL-2+ or Artistic"] : undefined,
        mentioned: deb.name === "tool" ? [] : ["GPL-3", "Apache-2.0"],
        distro: "debian-13",
        fileCount,
      }),
    declared: new Map([["/opt/stray", "the test put it there"]]),
    crossCheck: { "crosscheck:files": "equal" },
    services: [service],
    compute: { backends: [] },
    distro: "debian-13",
    sourceDateEpoch: 1_700_000_000,
    ...changes,
  };
}

type Json = Record<string, unknown>;
interface Document {
  readonly serialNumber: string;
  readonly metadata: {
    readonly timestamp: string;
    readonly component: { readonly properties: { name: string; value: string }[] };
  };
  readonly components: (Json & { readonly name: string; readonly "bom-ref": string })[];
  readonly dependencies: { readonly ref: string; readonly dependsOn?: string[] }[];
}
const documentOf = (text: string): Document => JSON.parse(text);

describe("image", () => {
  beforeEach(makeRoot);

  test("the document is valid CycloneDX 1.6, strictly, and 1.7 when asked", async () => {
    const bom = buildImageSbom(imageInputs());
    expect(await new JsonStrictValidator(Version.v1dot6).validate(serializeDocument(bom))).toBeNull();
    const newer = serializeDocument(bom, "1.7");
    expect(JSON.parse(newer)).toMatchObject({ specVersion: "1.7" });
    expect(await new JsonStrictValidator(Version.v1dot7).validate(newer)).toBeNull();
  });

  test.each(["1.5", "1.8", "", "constructor"])("CycloneDX %j is refused", (version) => {
    expect(() => parseCycloneDxVersion(version)).toThrow(expect.objectContaining({ code: "SBOM_INPUT_MALFORMED" }));
  });

  test("XML is the same document: serial number, every component, deterministic", () => {
    const bom = buildImageSbom(imageInputs());
    const [json, xml] = [serializeDocument(bom), serializeXml(bom)];
    const refs = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, ref]) => ref).sort();
    expect(refs(xml, / bom-ref="([^"]+)"/g)).toEqual(refs(json, /"bom-ref": "([^"]+)"/g));
    expect(xml).toContain(`serialNumber="${documentOf(json).serialNumber}"`);
    expect(serializeXml(buildImageSbom(imageInputs()))).toBe(xml);
  });

  test("a file that nobody owns and nobody declared stops the build, by name", () => {
    put("root/opt/other", "x");
    expect(() => buildImageSbom(imageInputs())).toThrow(
      expect.objectContaining({ code: "SBOM_FILE_UNOWNED", actual: "/opt/other" }),
    );
  });

  const library = "/usr/lib/secure-ai/backends/vulkan/libggml-vulkan.so";
  const vulkan: BackendEntry = {
    ...{ name: "vulkan", version: "0.25.1", place: "root", architectures: ["spirv1.3"], libraries: ["libvulkan.so.1"] },
    files: [{ path: library, sha256: sha256("a backend\n"), size: 10 }],
    source: { kind: "npm", lock: ["npm:@one/vulkan@1.2.3"] },
    licences: ["MIT"],
  };

  const runtime: GpuBackends["runtime"] = {
    ...{ package: "@one/runtime", version: "1.2.3", llamaCpp: "v0.5.0", ggml: "0.25.1", licences: ["MIT"] },
    files: [{ path: "/usr/lib/secure-ai/runtime/llama-addon.node", sha256: sha256("the addon\n"), size: 10 }],
  };

  test("a runtime and a backend are components, each with its package URL, licence and files", () => {
    put(`root${library}`, "a backend\n");
    put(`root${runtime.files[0]?.path}`, "the addon\n");
    const { components, metadata } = documentOf(
      serializeDocument(buildImageSbom(imageInputs({ compute: { runtime, backends: [vulkan] } }))),
    );
    const component = components.find(({ name }) => name === "ggml-vulkan");
    expect(component).toMatchObject({ purl: "pkg:npm/%40one/vulkan@1.2.3", components: [{ name: library }] });
    expect(metadata.component.properties).toContainEqual({ name: "secai:files:backend", value: "2" });
    const own = components.find(({ name }) => name === runtime.package);
    expect(own).toMatchObject({ purl: "pkg:npm/%40one/runtime@1.2.3", components: [{ name: runtime.files[0]?.path }] });
  });

  test.each([
    ["missing", (): void => undefined, [vulkan], "no such file"],
    ["of other bytes", () => put(`root${library}`, "another\n"), [vulkan], sha256("another\n")],
    ["that nothing declares", () => put(`root${library}`, "a backend\n"), [], library],
    ["in the runtime that nothing declares", () => put("root/usr/lib/secure-ai/runtime/x.so", "x"), [], "runtime/x.so"],
  ])("a library of a backend %s stops the build, by name", (_, arrange, backends, actual) => {
    arrange();
    expect(() => buildImageSbom(imageInputs({ compute: { backends } }))).toThrow(
      expect.objectContaining({ code: "SBOM_BACKEND_DIFFERS", actual: expect.stringContaining(actual) }),
    );
  });

  const module = "/usr/lib/modules/6.12.1-amd64/updates/secai/hello.ko.xz";
  const kernelModules: KernelModules = {
    schema: 1,
    kernel: { release: "6.12.1-amd64", vermagic: "6.12.1-amd64 SMP" },
    compiler: "gcc 14",
    source: { package: "hello-source", version: "1.0-1", patches: [] },
    signer: { subject: "CN=db", certificate: sha256("certificate") },
    modules: [
      {
        ...{ name: "hello", path: module, sha256: sha256("a module\n"), size: 9, version: "1.0", licence: "GPL-2.0-only" },
        ...{ vermagic: "6.12.1-amd64 SMP", depends: [], firmware: [] },
      },
    ],
  };

  test("kernel modules are a component with their package and signer, and nobody's no longer", () => {
    put(`root${module}`, "a module\n");
    const { components, metadata } = documentOf(serializeDocument(buildImageSbom(imageInputs({ kernelModules }))));
    const component = components.find(({ name }) => name === "hello-source");
    expect(component).toMatchObject({ version: "1.0-1", components: [{ name: module, version: "1.0" }] });
    expect(metadata.component.properties).toContainEqual({ name: "secai:files:module", value: "1" });
  });

  test.each([
    ["missing", (): void => undefined, { kernelModules }, "no such file"],
    ["of other bytes", () => put(`root${module}`, "another\n"), { kernelModules }, sha256("another\n")],
    ["that no list has", () => put(`root${module}`, "a module\n"), {}, module],
  ])("a kernel module %s stops the build, by name", (_, arrange, list, actual) => {
    arrange();
    expect(() => buildImageSbom(imageInputs(list))).toThrow(
      expect.objectContaining({ code: "SBOM_MODULE_DIFFERS", actual: expect.stringContaining(actual) }),
    );
  });

  test("a file whose content dpkg does not know is named as modified", () => {
    put("root/usr/bin/tool", "other\n");
    const { metadata } = documentOf(serializeDocument(buildImageSbom(imageInputs())));
    expect(metadata.component.properties).toContainEqual({ name: "secai:files:modified:path", value: "/usr/bin/tool" });
  });

  test.each(["a\u0001b", "a\nb"])("a file name with a control character (%j) is refused", (name) => {
    put(`root/opt/${name}`, "");
    expect(() => readRoot(join(folder, "root"))).toThrow(expect.objectContaining({ code: "SBOM_INPUT_MALFORMED" }));
  });

  test("every file has an owner or is named with the reason, and the counts add up", () => {
    const { metadata, components } = documentOf(serializeDocument(buildImageSbom(imageInputs())));
    const values = Object.fromEntries(
      metadata.component.properties.map(({ name, value }) => [name.replace("secai:files:", ""), value]),
    );
    expect(values).toMatchObject({ package: "7", service: "1", appliance: "1", generated: "1", total: "11", unowned: "1" });
    expect(values).toMatchObject({ modified: "1", "modified:path": "/etc/tool.conf" });
    const unowned = metadata.component.properties
      .filter(({ name }) => name === "secai:files:unowned:path")
      .map(({ value }) => value);
    expect(unowned).toEqual(["/opt/stray"]);
    expect(components.find(({ name }) => name === "unowned-files")?.components).toMatchObject([
      { name: "/opt/stray", properties: [{ name: "secai:file:reason", value: "the test put it there" }] },
    ]);
    expect(metadata.component.properties).toContainEqual({ name: "secai:crosscheck:files", value: "equal" });
  });

  test("a package carries its purl, archive file, licences and what it depends on", () => {
    const { components, dependencies } = documentOf(serializeDocument(buildImageSbom(imageInputs())));
    const [tool, lib] = ["tool", "libdep++"].map((name) => components.find((component) => component.name === name));
    expect(tool).toMatchObject({
      purl: "pkg:deb/debian/tool@1:2.0+b1?arch=amd64&distro=debian-13&upstream=tool-src%401%3A2.0",
      hashes: [{ alg: "SHA-256", content: "a".repeat(64) }],
      externalReferences: [{ type: "distribution", url: "pool/main/t/tool/tool_2.0+b1_amd64.deb" }],
      licenses: [
        { license: { name: "GPL-2+ or Artistic" } },
        { license: { id: "GPL-2.0-or-later" } },
        { license: { id: "MIT" } },
      ],
    });
    expect(lib).toMatchObject({ purl: expect.stringContaining("pkg:deb/debian/libdep%2B%2B@3?") });
    expect(lib?.properties).toContainEqual({ name: "secai:licence", value: "NOASSERTION" });
    expect(lib?.properties).toContainEqual({ name: "secai:deb:lock", value: "absent" });
    expect(lib).toMatchObject({ evidence: { licenses: [{ license: { name: "GPL-3" } }, { license: { id: "Apache-2.0" } }] } });
    expect(dependencies.find(({ ref }) => ref === "deb:tool:amd64")?.dependsOn).toEqual(["deb:libdep++:amd64"]);
    expect(components.map(({ name }) => name)).not.toContain("gone");
  });

  test("a service points at its own SBOM", () => {
    const { components } = documentOf(serializeDocument(buildImageSbom(imageInputs())));
    expect(components.find(({ name }) => name === "one")).toMatchObject({
      hashes: [{ alg: "SHA-256", content: service.bundle }],
      externalReferences: [{ type: "bom", url: "urn:cdx:12345678-1234-5234-8234-123456789abc/1" }],
    });
  });

  test("the same root gives the same bytes; one changed byte gives another serial number", () => {
    const first = serializeDocument(buildImageSbom(imageInputs()));
    expect(serializeDocument(buildImageSbom(imageInputs()))).toBe(first);
    expect(documentOf(first).metadata.timestamp).toBe("2023-11-14T22:13:20.000Z");
    put("root/opt/stray", "other\n");
    expect(documentOf(serializeDocument(buildImageSbom(imageInputs()))).serialNumber).not.toBe(documentOf(first).serialNumber);
  });

  test("a bundle without an SBOM is refused", () => {
    expect(() => buildImageSbom(imageInputs({ services: [] }))).toThrow(
      expect.objectContaining({ code: "SBOM_SERVICE_UNDOCUMENTED" }),
    );
  });

  test("an SBOM of another bundle is refused", () => {
    const other = { ...service, bundle: sha256("bundle two\n") };
    expect(() => buildImageSbom(imageInputs({ services: [other] }))).toThrow(
      expect.objectContaining({ code: "SBOM_SERVICE_ABSENT" }),
    );
  });

  test("a file of an overlay belongs to the appliance, also over a package's", () => {
    const { packages } = imageInputs();
    const files = readRoot(join(folder, "root"));
    const owned = ownershipOf({ files, packages, diversions: new Map(), overlays: new Set(["/etc/tool.conf", "/opt/stray"]) });
    const appliance = owned.filter(({ owner }) => owner.kind === "appliance").map(({ file }) => file.path);
    expect(appliance).toEqual(expect.arrayContaining(["/etc/tool.conf", "/opt/stray"]));
  });

  test("a link out of the root is recorded, not followed", () => {
    symlinkSync("/etc/hostname", join(folder, "root/opt/out"));
    expect(readRoot(join(folder, "root"))).toContainEqual({ path: "/opt/out", type: "link", target: "/etc/hostname" });
  });

  test("the digest of a root tells a file from a link with the same text", () => {
    const file = { path: "/a", type: "file", size: 1, sha256: sha256("x"), md5: "" } as const;
    expect(rootDigest([file])).not.toBe(rootDigest([{ path: "/a", type: "link", target: file.sha256 }]));
  });
});

const malformedStatus = [
  { name: "no version", text: "Package: a\nStatus: install ok installed\nArchitecture: all\n" },
  { name: "a path as name", text: "Package: ../a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n" },
];
for (const { name, text } of malformedStatus) {
  test(`a dpkg status with ${name} is refused`, () => {
    put("dpkg/status", text);
    expect(() => loadDpkg(join(folder, "dpkg"))).toThrow(expect.objectContaining({ code: "SBOM_INPUT_MALFORMED" }));
  });
}

test("relations keep alternatives together and drop versions, architectures and profiles", () => {
  expect(parseRelations("a (>= 1) | b:any, c [amd64] <!nocheck>,\n d++")).toEqual([["a", "b"], ["c"], ["d++"]]);
  expect(parseRelations("")).toEqual([]);
});

describe("licences", () => {
  const spdx: readonly (readonly [string, string | undefined])[] = [
    ["GPL-2+", "GPL-2.0-or-later"],
    ["LGPL-2.1", "LGPL-2.1-only"],
    ["AGPL-3", "AGPL-3.0-only"],
    ["Expat", "MIT"],
    ["BSD-3-clause", "BSD-3-Clause"],
    ["Apache-2.0", "Apache-2.0"],
    ["public-domain", undefined],
    ["GPL", undefined],
    ["GPL-2+ or Artistic", undefined],
    ["constructor", undefined],
  ];
  for (const [name, id] of spdx) test(`${name} is ${id ?? "no SPDX id"}`, () => expect(spdxIdOf(name)).toBe(id));

  test("machine-readable files give each licence once, as written", () => {
    const head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";
    const text = `${head}\nFiles: *\nLicense: GPL-2+\n text\n \nFiles: b\nLicense: Expat or X\n\nFiles: c\nLicense: GPL-2+\n\nLicense: Expat\n text\n`;
    expect(licenceNames(text)).toEqual(["Expat or X", "GPL-2+"]);
  });

  for (const text of ["", "This package was debianized by hand.", "Format: other\n\nFiles: *\nLicense: MIT\n"]) {
    test(`${JSON.stringify(text.slice(0, 20))} gives no assertion`, () => expect(licenceNames(text)).toBeUndefined());
  }

  test("pointers to common licences are found once each", () => {
    const text =
      "see `/usr/share/common-licenses/GPL-3'. Or /usr/share/common-licenses/LGPL-2.1.\n/usr/share/common-licenses/GPL-3";
    expect(mentionedLicences(text)).toEqual(["GPL-3", "LGPL-2.1"]);
    expect(mentionedLicences("/usr/share/common-licenses/")).toEqual([]);
  });

  const expressions: readonly (readonly [string, string])[] = [
    ["MIT", "SpdxLicense"],
    ["MIT AND (GPL-2.0-or-later OR BSD-3-Clause)", "LicenseExpression"],
    ["GPL-2.0-or-later WITH Classpath-exception-2.0", "LicenseExpression"],
    ["LicenseRef-Fedora-Public-Domain AND MIT", "LicenseExpression"],
    ["MIT AND", "NamedLicense"],
    ["AND MIT", "NamedLicense"],
    ["MIT GPL-2.0-only", "NamedLicense"],
    ["(MIT", "NamedLicense"],
    ["MIT)", "NamedLicense"],
    ["()", "NamedLicense"],
    ["MIT (OR BSD-3-Clause)", "NamedLicense"],
    ["GPLv2+", "NamedLicense"],
    ["MIT and BSD", "NamedLicense"],
  ];
  for (const [text, kind] of expressions) {
    test(`"${text}" becomes a ${kind}`, () => {
      expect([...expressionRepository(text)].map((licence) => licence.constructor.name)).toEqual([kind]);
    });
  }

  test("any expression is taken or named, never lost", () => {
    const word = fc.constantFrom("MIT", "AND", "OR", "WITH", "(", ")", "x", " ");
    fc.assert(fc.property(fc.array(word, { minLength: 1 }), (words) => expressionRepository(`MIT${words.join(" ")}`).size === 1));
  });

  test("any text gives names or no assertion", () => {
    fc.assert(fc.property(fc.string(), (text) => licenceNames(text) === undefined || Array.isArray(licenceNames(text))));
  });
});

describe("service", () => {
  const metafile = (inputs: Record<string, number>) => {
    const entries = Object.entries(inputs).map(([path, bytesInOutput]) => [path, { bytesInOutput }]);
    return JSON.stringify({ inputs: {}, outputs: { "out/bundle.mjs": { inputs: Object.fromEntries(entries) } } });
  };

  test("files are told apart by package, also nested ones and ones outside the working folder", () => {
    const inputs = {
      "../src/node_modules/@a/b/lib/x.js": 3,
      "src/services-src/kit/node_modules/yaml/i.js": 2,
      "src/attest/formats/d.ts": 1,
    };
    expect(bundledFiles(metafile(inputs)).map(({ kind, folder: where, path }) => [kind, where, path])).toEqual([
      ["npm", "node_modules/@a/b", "lib/x.js"],
      ["workspace", "attest/formats", "d.ts"],
      ["npm", "services-src/kit/node_modules/yaml", "i.js"],
    ]);
  });

  test("a file that tree shaking dropped is not inside", () => {
    const inputs = { "node_modules/a/i.js": 0, "node_modules/b/i.js": 1 };
    expect(bundledFiles(metafile(inputs)).map(({ folder: where }) => where)).toEqual(["node_modules/b"]);
  });

  const refused = [
    { name: "no JSON", text: "{", code: "SBOM_INPUT_MALFORMED" },
    { name: "no outputs", text: "{}", code: "SBOM_INPUT_MALFORMED" },
    { name: "no inputs", text: metafile({}), code: "SBOM_INPUT_MALFORMED" },
    { name: "a file of nobody", text: metafile({ "tmp/x.js": 1 }), code: "SBOM_BUNDLE_INPUT_UNKNOWN" },
    { name: "a bare node_modules", text: metafile({ "node_modules/x": 1 }), code: "SBOM_BUNDLE_INPUT_UNKNOWN" },
  ];
  for (const { name, text, code } of refused) {
    test(`a metafile with ${name} is refused`, () => expect(() => bundledFiles(text)).toThrow(expect.objectContaining({ code })));
  }

  test("imports are edges between packages; the platform and a package's own files are none", () => {
    const imports = [{ path: "node_modules/a/2.js" }, { path: "node_modules/b/i.js" }, { path: "node:fs", external: true }];
    const text = JSON.stringify({ inputs: { "node_modules/a/1.js": { imports } }, outputs: {} });
    expect(bundledImports(text)).toEqual(new Map([["node_modules/a", new Set(["node_modules/b"])]]));
  });

  const inputs: ServiceSbomInputs = {
    name: "one",
    version: "0.1.0",
    bundle: sha256("bundle"),
    parts: [
      {
        folder: "node_modules/@a/b",
        kind: "npm",
        manifest: { name: "@a/b", version: "1.0.0", license: "MIT" },
        files: [{ path: "lib/x.js", sha256: sha256("x") }],
      },
      { folder: "attest/formats", kind: "workspace", manifest: undefined, files: [{ path: "d.ts", sha256: undefined }] },
      { folder: "node_modules/c", kind: "npm", manifest: { name: "c", version: "2.0.0", license: undefined }, files: [] },
    ],
    imports: new Map([["attest/formats", new Set(["node_modules/@a/b", "node_modules/dropped"])]]),
    sourceDateEpoch: 1_700_000_000,
  };

  test("the document is valid, deterministic, and read back by the image's SBOM", async () => {
    const text = serializeDocument(buildServiceSbom(inputs));
    expect(await new JsonStrictValidator(Version.v1dot6).validate(text)).toBeNull();
    expect(serializeDocument(buildServiceSbom({ ...inputs, parts: [...inputs.parts].reverse() }))).toBe(text);
    const { components, dependencies } = documentOf(text);
    expect(components.map(({ purl }) => purl)).toEqual(expect.arrayContaining(["pkg:npm/%40a/b@1.0.0", "pkg:npm/c@2.0.0"]));
    expect(dependencies.find(({ ref }) => ref === "attest/formats")?.dependsOn).toEqual(["node_modules/@a/b"]);
    expect(parseServiceDocument(text, sha256(text))).toMatchObject({ name: "one", version: "0.1.0", bundle: inputs.bundle });
  });

  const foreign = [
    "",
    "[]",
    "null",
    "{}",
    '{"serialNumber":"urn:uuid:1","metadata":{"component":{"name":"../x","version":"1","hashes":[]}}}',
  ];
  for (const text of foreign) {
    test(`a service SBOM that is ${JSON.stringify(text)} is refused`, () => {
      expect(() => parseServiceDocument(text, sha256(text))).toThrow(expect.objectContaining({ code: "SBOM_INPUT_MALFORMED" }));
    });
  }
});

test("UUID version 5 is what Python's uuid module makes of the same URL", () => {
  // python3 -c 'import uuid; print(uuid.uuid5(uuid.NAMESPACE_URL, "urn:secai:test"))'
  expect(uuidOfUrl("urn:secai:test")).toBe("1be34a36-6ce1-5707-8072-ca09c9d159d5");
});
