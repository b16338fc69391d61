import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { sha256 } from "@secai/formats/digest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sandboxCommand } from "../../../pipelines/engine/sandbox.ts";
import { parseRpmQuery, type RpmPackage, rpmQueryArguments } from "../../../pipelines/sbom/rpm.ts";
import { loadSources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";
import { ToolFolder } from "../measure/tool-root.ts";

// Packages made by rpmbuild and installed by rpm into a root of their own, both of the tool root: nothing here was recorded.
const folder = new ToolFolder();
afterAll(() => folder.remove());
const at = (path: string) => join(folder.path, path);
const DATABASE = "/usr/lib/sysimage/rpm";

const spec = (name: string, head: string, install: string, files: string) => `Name: ${name}
Version: 2.0
Release: 3.fc42
Summary: ${name}
BuildArch: noarch
${head}
%description
${name}
%install
${install}
%files
${files}
`;

const library = spec(
  "libdep",
  "Epoch: 1\nLicense: MIT AND (GPL-2.0-or-later OR BSD-3-Clause)\nURL: https://libdep.example/\nVendor: Example\nProvides: virtual-dep = 1",
  'mkdir -p %{buildroot}/usr/lib %{buildroot}/usr/share/ű\necho library > "%{buildroot}/usr/lib/lib dep.txt"\nln -s "lib dep.txt" %{buildroot}/usr/lib/link\ntouch %{buildroot}/usr/share/ű/é',
  '"/usr/lib/lib dep.txt"\n/usr/lib/link\n/usr/share/ű/é',
);
const tool = spec(
  "tool",
  "License: GPLv2+\nRequires: virtual-dep\nRequires: (something if somebody)",
  "mkdir -p %{buildroot}/usr/bin\necho tool > %{buildroot}/usr/bin/tool",
  "/usr/bin/tool",
);

/** No files, no vendor. */
const meta = spec("meta", "License: MIT\nRequires: tool", "true", "");

let packages: readonly RpmPackage[];

beforeAll(() => {
  writeFileSync(at("libdep.spec"), library);
  writeFileSync(at("tool.spec"), tool);
  writeFileSync(at("meta.spec"), meta);
  const where = `--define '_topdir ${at("build")}' --define '_rpmdir ${at("rpms")}' --define '_tmppath /tmp' --dbpath /tmp/none`;
  asTree(`rpmbuild -bb --nodeps ${where} libdep.spec tool.spec meta.spec
    mkdir root; rpm --root "$PWD/root" --dbpath ${DATABASE} --initdb
    rpm --root "$PWD/root" --dbpath ${DATABASE} -i --nodeps --noscripts rpms/noarch/*.rpm
    printf 'ID=fedora\\nVERSION_ID=42\\n' > root/usr/lib/os-release; mkdir out`);
  packages = parseRpmQuery(query());
});

/** Runs a script with what a step that makes a root may do: rpm changes its root directory. @throws Error with its output */
function asTree(script: string): void {
  const [command = "", ...args] = sandboxCommand({
    root: { kind: "tree", path: process.env.SECAI_TOOL_ROOT ?? "" },
    argv: ["/bin/bash", "-euo", "pipefail", "-c", script],
    binds: [{ src: folder.path, dst: folder.path, writable: true }],
    ...{ env: {}, network: "none", privileges: "tree", cwd: folder.path },
  });
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 120_000 });
  if (status !== 0) throw new Error(`${script}\nended with ${status}:\n${stdout}`);
}

/** Our query, asked of a real rpm, by way of a file so that no shell reads the format. */
function query(): string {
  writeFileSync(at("arguments"), rpmQueryArguments(at(`root${DATABASE}`)).join("\0"));
  return folder.run("xargs -0 rpm < arguments");
}

test("every package with its files, contents, licence, dependencies and header digest, as rpm itself tells them", () => {
  expect(packages.map(({ name }) => name)).toEqual(["libdep", "meta", "tool"]);
  const [lib, empty, program] = packages;
  expect(empty).toMatchObject({ ref: "rpm:meta:2.0-3.fc42:noarch", paths: [], depends: [["tool"]], homepage: undefined });
  expect(lib).toMatchObject({
    version: "1:2.0-3.fc42",
    supplier: "Example",
    homepage: "https://libdep.example/",
    source: { name: "libdep", version: "2.0-3.fc42" },
    licence: "MIT AND (GPL-2.0-or-later OR BSD-3-Clause)",
    paths: ["/usr/lib/lib dep.txt", "/usr/lib/link", "/usr/share/ű/é"],
  });
  expect(lib?.digests.get("/usr/lib/lib dep.txt")).toBe(sha256("library\n"));
  expect(lib?.provides).toContain("virtual-dep");
  expect(program).toMatchObject({ licence: "GPLv2+", supplier: "Fedora Project", depends: [["virtual-dep"]] });
  const header = folder.run(`rpm --dbpath ${at(`root${DATABASE}`)} -q --qf '%{SHA256HEADER}' tool`);
  expect(program?.headerSha256).toBe(header);
});

test("the image's SBOM of that root is valid, names what changed, and every file belongs to a package", async () => {
  const sources = await loadSources(top, at("cache"), { sources: [], programs: ["sbom-image"] });
  writeFileSync(at("program.mjs"), readFileSync(sources.programPath("sbom-image")));
  writeFileSync(at("node"), readFileSync(process.execPath), { mode: 0o755 });
  folder.run("mkdir services; mv root/usr/lib/sysimage/rpm db; rmdir root/usr/lib/sysimage; echo changed > root/usr/bin/tool");
  const command = "SOURCE_DATE_EPOCH=1700000000 ./node program.mjs --root root --rpmdb db --services services --out out";
  // No package made os-release, so it is nobody's until an overlay says that it is ours.
  expect(() => folder.run(command)).toThrow(/SBOM_FILE_UNOWNED.*os-release/);
  const text = folder.run(
    `mkdir -p overlay/usr/lib; cp root/usr/lib/os-release overlay/usr/lib; ${command} --overlays overlay; cat out/image.cdx.json`,
  );
  expect(await new JsonStrictValidator(Version.v1dot6).validate(text)).toBeNull();
  const { components, metadata, dependencies } = JSON.parse(text);
  expect(metadata.component.properties).toContainEqual({ name: "secai:files:modified:path", value: "/usr/bin/tool" });
  expect(metadata.component.properties).toContainEqual({ name: "secai:files:package", value: "4" });
  const lib = components.find(({ name }: { name: string }) => name === "libdep");
  expect(lib).toMatchObject({
    purl: "pkg:rpm/fedora/libdep@2.0-3.fc42?arch=noarch&distro=fedora-42&epoch=1&upstream=libdep-2.0-3.fc42.src.rpm",
    licenses: [{ expression: "MIT AND (GPL-2.0-or-later OR BSD-3-Clause)" }],
  });
  expect(dependencies).toContainEqual({ ref: "rpm:tool:2.0-3.fc42:noarch", dependsOn: ["rpm:libdep:2.0-3.fc42:noarch"] });
});
