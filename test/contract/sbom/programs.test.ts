import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadSources, type Sources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";
import { ToolFolder } from "../measure/tool-root.ts";

// The programs as the plan runs them: bundled to one file, in a sandbox with no network and nothing of the checkout but their inputs.
const scratch = mkdtempSync(join(tmpdir(), "secai-sbom-"));
let sources: Sources;

beforeAll(async () => {
  sources = await loadSources(top, join(scratch, "cache"), { sources: [], programs: ["sbom-image", "sbom-service"] });
});
afterAll(() => rmSync(scratch, { recursive: true }));

function put(path: string, content: string): void {
  mkdirSync(dirname(join(scratch, path)), { recursive: true });
  writeFileSync(join(scratch, path), content);
}

/** Runs a bundled program under bubblewrap; `mounts` are paths of the scratch folder, read-only. */
function sandboxed(program: string, mounts: readonly string[], args: readonly string[]) {
  const ro = (from: string, to: string) => ["--ro-bind", from, to];
  return spawnSync(
    "bwrap",
    [
      ...["--unshare-all", "--die-with-parent", "--clearenv", "--setenv", "SOURCE_DATE_EPOCH", "1700000000"],
      ...["--setenv", "PATH", "/in/bin:/usr/bin:/bin", "--setenv", "LANG", "C.UTF-8"],
      ...["/usr", "/lib", "/lib64"].flatMap((path) => ["--ro-bind-try", path, path]),
      ...["--proc", "/proc", "--dev", "/dev", "--bind", join(scratch, "out"), "/out"],
      ...ro(process.execPath, "/in/node"),
      ...ro(sources.programPath(program), "/in/program.mjs"),
      ...mounts.flatMap((path) => ro(join(scratch, path), `/in/${path}`)),
      ...["/in/node", "/in/program.mjs", ...args],
    ],
    { encoding: "utf8" },
  );
}

const validate = async (path: string) =>
  await new JsonStrictValidator(Version.v1dot6).validate(readFileSync(join(scratch, path), "utf8"));

async function bundleWithYaml(): Promise<void> {
  const result = await build({
    stdin: { contents: 'import { parse } from "yaml"; console.log(parse("a: 1"));', resolveDir: join(top, "pipelines") },
    ...{ absWorkingDir: top, bundle: true, platform: "node", format: "esm", metafile: true, write: false, outfile: "bundle.mjs" },
  });
  // The bundler names standard input as a file of its own; ours are files of workspaces.
  put("metafile.json", JSON.stringify(result.metafile).replaceAll("<stdin>", "pipelines/probe.ts"));
  put("bundle.mjs", result.outputFiles[0]?.text ?? "");
}

test("a bundle, its SBOM, and an image that holds it: both documents are valid, and the image's points at the bundle's", async () => {
  mkdirSync(join(scratch, "out"));
  await bundleWithYaml();
  execFileSync("cp", ["-a", join(top, "node_modules/yaml"), join(scratch, "yaml")]);
  mkdirSync(join(scratch, "modules/node_modules"), { recursive: true });
  execFileSync("mv", [join(scratch, "yaml"), join(scratch, "modules/node_modules/yaml")]);
  const flags = ["--metafile", "/in/metafile.json", "--modules", "/in/modules", "--bundle", "/in/bundle.mjs"];
  const serviceRun = sandboxed(
    "sbom-service",
    ["metafile.json", "modules", "bundle.mjs"],
    [...flags, "--name", "probe", "--version", "0.1.0", "--out", "/out/probe.cdx.json"],
  );
  expect(serviceRun).toMatchObject({ status: 0, stderr: "" });
  expect(await validate("out/probe.cdx.json")).toBeNull();

  put(
    "dpkg/status",
    "Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nMaintainer: M\nDescription: d\n",
  );
  put("dpkg/info/base.list", "/.\n/usr\n/usr/lib\n/usr/lib/os-release\n");
  put("root/usr/lib/os-release", 'ID=debian\nVERSION_ID="13"\nIMAGE_ID=secai\nIMAGE_VERSION=0.1.0\n');
  put("root/usr/lib/secure-ai/services/probe.mjs", readFileSync(join(scratch, "bundle.mjs"), "utf8"));
  put("lock.json", '{"roots":{"image":[]}}');
  put("services/probe.cdx.json", readFileSync(join(scratch, "out/probe.cdx.json"), "utf8"));
  expect(imageSbom()).toMatchObject({ status: 0 });
  expect(await validate("out/image.cdx.json")).toBeNull();
  const service = JSON.parse(readFileSync(join(scratch, "out/probe.cdx.json"), "utf8"));
  const image = readFileSync(join(scratch, "out/image.cdx.json"), "utf8");
  expect(image).toContain(`urn:cdx:${service.serialNumber.replace("urn:uuid:", "")}/1`);
  expect(service.components.map(({ name }: { name: string }) => name).sort()).toEqual(["pipelines", "yaml"]);
  const { properties } = JSON.parse(image).metadata.component;
  expect(properties).toContainEqual({ name: "secai:crosscheck:packages", value: "1 by dpkg-query, equal" });
  expect(properties).toContainEqual({ name: "secai:crosscheck:files", value: "2 by find, equal" });
});

/** Runs sbom-image over the scratch root that the first test made. */
function imageSbom(...extra: string[]) {
  const flags = ["--root", "/in/root", "--dpkg", "/in/dpkg", "--lock", "/in/lock.json", "--services", "/in/services"];
  return sandboxed("sbom-image", ["root", "dpkg", "lock.json", "services"], [...flags, "--out", "/out", ...extra]);
}

test("CycloneDX 1.7 when asked, 1.5 never", () => {
  expect(imageSbom("--cyclonedx", "1.7")).toMatchObject({ status: 0 });
  expect(JSON.parse(readFileSync(join(scratch, "out/image.cdx.json"), "utf8"))).toMatchObject({ specVersion: "1.7" });
  expect(imageSbom("--cyclonedx", "1.5").stderr).toContain("SBOM_INPUT_MALFORMED");
});

test("XML and JSON of either version are valid: xmllint and the schema that CycloneDX publishes", () => {
  const folder = new ToolFolder();
  try {
    cpSync(join(top, "node_modules/@cyclonedx/cyclonedx-library/res/schema"), join(folder.path, "schema"), { recursive: true });
    for (const version of ["1.6", "1.7"]) {
      expect(imageSbom("--cyclonedx", version)).toMatchObject({ status: 0 });
      cpSync(join(scratch, "out/image.cdx.xml"), join(folder.path, `${version}.xml`));
      folder.run(`xmllint --nonet --noout --schema schema/bom-${version}.SNAPSHOT.xsd ${version}.xml`);
    }
    const spoiled = readFileSync(join(folder.path, "1.6.xml"), "utf8").replace('type="operating-system"', 'type="nothing"');
    writeFileSync(join(folder.path, "spoiled.xml"), spoiled);
    expect(() => folder.run("xmllint --nonet --noout --schema schema/bom-1.6.SNAPSHOT.xsd spoiled.xml")).toThrow(
      /fails to validate/,
    );
  } finally {
    folder.remove();
  }
});

const plants = [
  { tool: "find", shows: "a file more", script: 'printf "f\\0001\\000/usr/hidden\\000\\000"' },
  { tool: "dpkg-query", shows: "a package more", script: 'printf "installed\\tghost\\tall\\t1\\n"' },
];
for (const { tool, shows, script } of plants) {
  test(`${tool} of the tool root sees ${shows}: the build stops and says which`, () => {
    put(`bin/${tool}`, `#!/usr/bin/sh\n/usr/bin/${tool} "$@"\n${script}\n`);
    execFileSync("chmod", ["0755", join(scratch, "bin", tool)]);
    const run = sandboxed(
      "sbom-image",
      ["root", "dpkg", "lock.json", "services", "bin"],
      ["--root", "/in/root", "--dpkg", "/in/dpkg", "--lock", "/in/lock.json", "--services", "/in/services", "--out", "/out"],
    );
    rmSync(join(scratch, "bin"), { recursive: true });
    expect(run.status).not.toBe(0);
    expect(run.stderr).toMatch(/SBOM_CROSSCHECK_DIFFERS.*(hidden|ghost)/);
  });
}

test("a file that nobody owns stops the build, by name", () => {
  put("root/opt/stray", "x");
  const run = imageSbom();
  rmSync(join(scratch, "root/opt"), { recursive: true });
  expect(run.status).not.toBe(0);
  expect(run.stderr).toMatch(/SBOM_FILE_UNOWNED.*\/opt\/stray/);
});

test("a foreign service SBOM is refused", () => {
  put("services/probe.cdx.json", "{}");
  const run = imageSbom();
  expect(run.status).not.toBe(0);
  expect(run.stderr).toContain("SBOM_INPUT_MALFORMED");
});
