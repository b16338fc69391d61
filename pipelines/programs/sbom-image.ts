// One CycloneDX document about a finished root file system, in JSON and XML.
// sbom-image --root DIR (--dpkg DIR --lock FILE | --rpmdb DIR [--base-files FILE]) --services DIR [--overlays DIR,DIR] [--backends FILE] [--cyclonedx 1.7] --out DIR
// sbom-image --extension NAME --os-release FILE ... the same about the tree of a system extension
import { cpSync, existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sha256 } from "@secai/formats/digest";
import { extensionOf, parseGpuBackends } from "@secai/formats/gpu-backends";
import { parseKernelModules } from "@secai/formats/kernel-modules";
import { extensionRoot, type Lock, type LockedPackage } from "../lock/lock.ts";
import type { DeclaredHere } from "../sbom/backends.ts";
import { crossCheckFiles, crossCheckPackages, dpkgQueryArguments, findArguments } from "../sbom/crosscheck.ts";
import { debComponent } from "../sbom/deb-component.ts";
import { declaredFiles } from "../sbom/declared.ts";
import { DEFAULT_CYCLONEDX, parseCycloneDxVersion, serializeDocument, serializeXml } from "../sbom/document.ts";
import { debRef, loadDiversions, loadDpkg } from "../sbom/dpkg.ts";
import { SbomError } from "../sbom/errors.ts";
import { buildImageSbom, type ImageSbomInputs } from "../sbom/image-sbom.ts";
import { KERNEL_MODULES_FILE } from "../sbom/kernel-modules.ts";
import { licenceNames, mentionedLicences } from "../sbom/licences.ts";
import { type OwnershipInputs, ownershipOf } from "../sbom/ownership.ts";
import { readRoot } from "../sbom/root-files.ts";
import { parseRpmQuery, rpmQueryArguments } from "../sbom/rpm.ts";
import { rpmComponent } from "../sbom/rpm-component.ts";
import { parseServiceDocument } from "../sbom/service-document.ts";
import { listOf, sourceDateEpoch, toolOutput } from "./tool.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    ...{ root: text, dpkg: text, rpmdb: text, lock: text, services: text, overlays: text, out: text, "base-files": text },
    ...{ backends: text, extension: text, "os-release": text },
    cyclonedx: { type: "string", default: DEFAULT_CYCLONEDX },
  },
});

function flag(name: "root" | "dpkg" | "lock" | "services" | "out"): string {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is missing`);
  return value;
}

/** `KEY=value` or `KEY="value"` lines (os-release(5)). */
function osRelease(file: string): ReadonlyMap<string, string> {
  const lines = readFileSync(file, "utf8").split("\n");
  return new Map(
    lines.flatMap((line) => [...line.matchAll(/^(\w+)="?(.*?)"?$/g)].map(([, key = "", value = ""]) => [key, value] as const)),
  );
}

/** The copyright file of a package, or nothing. A link could lead out of the root; such a package gets no assertion. */
function copyrightOf(root: string, name: string): string {
  const path = join(root, "usr/share/doc", name, "copyright");
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(path, "utf8") : "";
}

/** Paths in the image of everything that the overlays hold. */
function overlayPaths(folders: readonly string[]): ReadonlySet<string> {
  return new Set(folders.flatMap((folder) => readRoot(folder).map(({ path }) => path)));
}

/** What programs/silverblue/base.ts wrote about the image that this one is made on. */
function baseFiles(path: string): ReadonlyMap<string, string> {
  const facts = JSON.parse(readFileSync(path, "utf8")) as { contents?: unknown };
  const contents = Object.entries(Object(facts.contents) as Record<string, unknown>);
  if (contents.length === 0 || contents.some(([, content]) => typeof content !== "string"))
    throw new SbomError("SBOM_INPUT_MALFORMED", { expected: "the files of a base image", actual: path });
  return new Map(contents.map(([name, content]) => [`/${name}`, String(content)]));
}

function serviceDocuments(folder: string) {
  const files = existsSync(folder) ? readdirSync(folder).sort() : [];
  return files.map((file) => {
    const json = readFileSync(join(folder, file));
    return parseServiceDocument(json.toString("utf8"), sha256(json));
  });
}

function lockedPackages(path: string): readonly LockedPackage[] {
  const lock = JSON.parse(readFileSync(path, "utf8")) as Partial<Lock>;
  const wanted = values.extension === undefined ? "image" : extensionRoot(values.extension);
  const packages = lock.roots?.[wanted];
  if (Array.isArray(packages)) return packages;
  throw new SbomError("SBOM_INPUT_MALFORMED", { expected: `a lock with the packages of ${wanted}`, actual: path });
}

/** What computes in this tree: the root's own, or the backend of the extension. */
function declaredHere(): DeclaredHere {
  if (values.backends === undefined) return { backends: [] };
  const { runtime, backends } = parseGpuBackends(readFileSync(values.backends));
  const here = backends.filter((backend) => extensionOf(backend) === values.extension);
  return values.extension === undefined ? { runtime, backends: here } : { backends: here };
}

type Database = Pick<ImageSbomInputs, "packages" | "componentOf" | "crossCheck"> & Pick<OwnershipInputs, "diversions">;

function debDatabase(root: string, distro: string): Database {
  const dpkg = flag("dpkg");
  const packages = loadDpkg(dpkg);
  const locked = new Map(lockedPackages(flag("lock")).map((entry) => [`${debRef(entry)} ${entry.version}`, entry]));
  return {
    packages,
    diversions: loadDiversions(dpkg),
    crossCheck: crossCheckPackages(packages, toolOutput("dpkg-query", dpkgQueryArguments(dpkg))),
    componentOf: (deb, fileCount) => {
      const copyright = copyrightOf(root, deb.name);
      const licences = licenceNames(copyright);
      const mentioned = licences === undefined ? mentionedLicences(copyright) : [];
      const entry = locked.get(`${deb.ref} ${deb.version}`);
      return debComponent({ package: deb, locked: entry, licences, mentioned, distro, fileCount });
    },
  };
}

function rpmDatabase(rpmdb: string, distro: string): Database {
  // SQLite writes beside the database that it reads.
  cpSync(rpmdb, "/tmp/rpmdb", { recursive: true });
  const packages = parseRpmQuery(toolOutput("rpm", rpmQueryArguments("/tmp/rpmdb")));
  const byRef = new Map(packages.map((rpm) => [rpm.ref, rpm]));
  return {
    packages,
    diversions: new Map(),
    crossCheck: { "crosscheck:packages": `${packages.length} by rpm, which is also the SBOM's reader` },
    componentOf: ({ ref }, fileCount) => {
      const rpm = byRef.get(ref);
      if (rpm === undefined) throw new Error(`${ref} is no package of the database`);
      return rpmComponent(rpm, distro, fileCount);
    },
  };
}

/** The list of modules that the build compiled, as the root itself has it. */
function modulesOf(tree: string): Pick<ImageSbomInputs, "kernelModules"> {
  const path = join(tree, KERNEL_MODULES_FILE);
  return existsSync(path) ? { kernelModules: parseKernelModules(readFileSync(path)) } : {};
}

function imageName(release: ReadonlyMap<string, string>): string {
  const name = release.get("IMAGE_ID") ?? release.get("ID") ?? "image";
  return values.extension === undefined ? name : `${name}-${values.extension}`;
}

const started = performance.now();
const root = flag("root");
const release = osRelease(values["os-release"] ?? join(root, "usr/lib/os-release"));
const distro = `${release.get("ID")}-${release.get("VERSION_ID")}`;
const database = values.rpmdb === undefined ? debDatabase(root, distro) : rpmDatabase(values.rpmdb, distro);
const files = readRoot(root);
const overlays = overlayPaths(listOf(values.overlays ?? ""));
const bom = buildImageSbom({
  ...database,
  image: {
    name: imageName(release),
    version: release.get("IMAGE_VERSION") ?? release.get("VERSION_ID") ?? "0",
  },
  ownership: ownershipOf({
    ...{ ...database, files, overlays },
    ...(values["base-files"] === undefined ? {} : { base: baseFiles(values["base-files"]) }),
  }),
  crossCheck: { ...database.crossCheck, ...crossCheckFiles(files, toolOutput("find", findArguments(root))) },
  services: serviceDocuments(flag("services")),
  compute: declaredHere(),
  distro,
  ...modulesOf(root),
  declared: declaredFiles,
  sourceDateEpoch: sourceDateEpoch(),
});
const version = parseCycloneDxVersion(values.cyclonedx);
writeFileSync(join(flag("out"), "image.cdx.json"), serializeDocument(bom, version));
writeFileSync(join(flag("out"), "image.cdx.xml"), serializeXml(bom, version));
for (const { name, value } of bom.metadata.component?.properties.sorted() ?? []) {
  if (!name.endsWith(":path")) console.error(`${name} ${value}`);
}
for (const [path, reason] of values.extension === undefined ? declaredFiles : []) {
  if (!files.some((file) => file.path === path)) console.error(`declared as nobody's, but not there: ${path} (${reason})`);
}
console.error(`CycloneDX ${version} in JSON and XML after ${((performance.now() - started) / 1000).toFixed(1)} s`);
