import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadSources, type Sources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";

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

  put("dpkg/status", "Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n");
  put("root/usr/lib/os-release", 'ID=debian\nVERSION_ID="13"\nIMAGE_ID=secai\nIMAGE_VERSION=0.1.0\n');
  put("root/usr/lib/secure-ai/services/probe.mjs", readFileSync(join(scratch, "bundle.mjs"), "utf8"));
  put("lock.json", '{"roots":{"image":[]}}');
  put("services/probe.cdx.json", readFileSync(join(scratch, "out/probe.cdx.json"), "utf8"));
  const imageFlags = ["--root", "/in/root", "--dpkg", "/in/dpkg", "--lock", "/in/lock.json", "--services", "/in/services"];
  const mounts = ["root", "dpkg", "lock.json", "services"];
  const imageRun = sandboxed("sbom-image", mounts, [...imageFlags, "--out", "/out/image.cdx.json"]);
  expect(imageRun).toMatchObject({ status: 0, stderr: "" });
  expect(await validate("out/image.cdx.json")).toBeNull();
  const service = JSON.parse(readFileSync(join(scratch, "out/probe.cdx.json"), "utf8"));
  const image = readFileSync(join(scratch, "out/image.cdx.json"), "utf8");
  expect(image).toContain(`urn:cdx:${service.serialNumber.replace("urn:uuid:", "")}/1`);
  expect(service.components.map(({ name }: { name: string }) => name).sort()).toEqual(["pipelines", "yaml"]);

  put("services/probe.cdx.json", "{}");
  const refused = sandboxed("sbom-image", mounts, [...imageFlags, "--out", "/out/image.cdx.json"]);
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain("SBOM_INPUT_MALFORMED");
});
