// One CycloneDX document about a finished root file system.
// sbom-image --root DIR --dpkg DIR --lock FILE --services DIR [--overlays DIR,DIR] --out FILE
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sha256 } from "@secai/formats/digest";
import type { Lock } from "../lock/lock.ts";
import { serializeDocument } from "../sbom/document.ts";
import { type DpkgPackage, loadDiversions, loadDpkg } from "../sbom/dpkg.ts";
import { SbomError } from "../sbom/errors.ts";
import { buildImageSbom } from "../sbom/image-sbom.ts";
import { licenceNames } from "../sbom/licences.ts";
import { ownershipOf } from "../sbom/ownership.ts";
import { readRoot } from "../sbom/root-files.ts";
import { parseServiceDocument } from "../sbom/service-document.ts";
import { sourceDateEpoch } from "./tool.ts";

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { root: text, dpkg: text, lock: text, services: text, overlays: text, out: text } });

function flag(name: "root" | "dpkg" | "lock" | "services" | "out"): string {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is missing`);
  return value;
}

/** `KEY=value` or `KEY="value"` lines (os-release(5)). */
function osRelease(root: string): ReadonlyMap<string, string> {
  const lines = readFileSync(join(root, "usr/lib/os-release"), "utf8").split("\n");
  return new Map(
    lines.flatMap((line) => [...line.matchAll(/^(\w+)="?(.*?)"?$/g)].map(([, key = "", value = ""]) => [key, value] as const)),
  );
}

function readLicences(root: string, packages: readonly DpkgPackage[]): ReadonlyMap<string, readonly string[]> {
  const licences = new Map<string, readonly string[]>();
  for (const { name } of packages) {
    const path = join(root, "usr/share/doc", name, "copyright");
    // A link could lead out of the root; such a package gets no assertion.
    if (lstatSync(path, { throwIfNoEntry: false })?.isFile() !== true) continue;
    const names = licenceNames(readFileSync(path, "utf8"));
    if (names !== undefined) licences.set(name, names);
  }
  return licences;
}

/** Paths in the image of everything that the overlays hold. */
function overlayPaths(folders: readonly string[]): ReadonlySet<string> {
  return new Set(folders.flatMap((folder) => readRoot(folder).map(({ path }) => path)));
}

function serviceDocuments(folder: string) {
  const files = existsSync(folder) ? readdirSync(folder).sort() : [];
  return files.map((file) => {
    const json = readFileSync(join(folder, file));
    return parseServiceDocument(json.toString("utf8"), sha256(json));
  });
}

const root = flag("root");
const lock = JSON.parse(readFileSync(flag("lock"), "utf8")) as Partial<Lock>;
if (!Array.isArray(lock.roots?.image)) {
  throw new SbomError("SBOM_INPUT_MALFORMED", { expected: "a lock with the packages of the image", actual: flag("lock") });
}
const packages = loadDpkg(flag("dpkg"));
const release = osRelease(root);
const ownership = ownershipOf({
  files: readRoot(root),
  packages,
  diversions: loadDiversions(flag("dpkg")),
  overlays: overlayPaths((values.overlays ?? "").split(",").filter((folder) => folder !== "")),
});
const bom = buildImageSbom({
  image: {
    name: release.get("IMAGE_ID") ?? release.get("ID") ?? "image",
    version: release.get("IMAGE_VERSION") ?? release.get("VERSION_ID") ?? "0",
    distro: `${release.get("ID")}-${release.get("VERSION_ID")}`,
  },
  ownership,
  packages,
  locked: lock.roots.image,
  services: serviceDocuments(flag("services")),
  licences: readLicences(root, packages),
  sourceDateEpoch: sourceDateEpoch(),
});
writeFileSync(flag("out"), serializeDocument(bom));
for (const { name, value } of bom.metadata.component?.properties.sorted() ?? []) {
  if (!name.endsWith(":path")) console.log(`${name} ${value}`);
}
