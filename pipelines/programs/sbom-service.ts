// One CycloneDX document about one bundle, from the bundler's own account of what went into it.
// sbom-service --metafile FILE --modules DIR --bundle FILE --name NAME --version V --out FILE
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { serializeDocument } from "../sbom/document.ts";
import { SbomError } from "../sbom/errors.ts";
import { type BundledFile, bundledFiles, bundledImports } from "../sbom/metafile.ts";
import { type BundledPart, buildServiceSbom, type NpmManifest } from "../sbom/service-sbom.ts";
import { readFlags, sourceDateEpoch } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const modules = flag("modules");

function readManifest(folder: string): NpmManifest {
  const { name, version, license } = JSON.parse(readFileSync(join(modules, folder, "package.json"), "utf8")) as Record<
    string,
    unknown
  >;
  if (typeof name !== "string" || typeof version !== "string") {
    throw new SbomError("SBOM_INPUT_MALFORMED", { expected: "a package.json with name and version", actual: folder });
  }
  return { name, version, license: typeof license === "string" ? license : undefined };
}

/** Sources of npm packages must be there; those of our own workspaces may be left out of this step. */
function digestOf({ folder, path, kind }: BundledFile) {
  const file = join(modules, folder, path);
  return kind === "npm" || existsSync(file) ? sha256(readFileSync(file)) : undefined;
}

function partOf(folder: string, files: readonly BundledFile[]): BundledPart {
  const kind = files[0]?.kind ?? "npm";
  return {
    folder,
    kind,
    manifest: kind === "npm" ? readManifest(folder) : undefined,
    files: files.map((file) => ({ path: file.path, sha256: digestOf(file) })),
  };
}

const metafile = readFileSync(flag("metafile"), "utf8");
const byFolder = new Map<string, BundledFile[]>();
for (const file of bundledFiles(metafile)) byFolder.set(file.folder, [...(byFolder.get(file.folder) ?? []), file]);
const bom = buildServiceSbom({
  name: flag("name"),
  version: flag("version"),
  bundle: sha256(readFileSync(flag("bundle"))),
  parts: [...byFolder].map(([folder, files]) => partOf(folder, files)),
  imports: bundledImports(metafile),
  sourceDateEpoch: sourceDateEpoch(),
});
writeFileSync(flag("out"), serializeDocument(bom));
console.log(`${byFolder.size} packages, ${bom.components.size} components`);
