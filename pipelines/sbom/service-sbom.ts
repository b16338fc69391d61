import { ComponentType } from "@cyclonedx/cyclonedx-library/Enums";
import { type Bom, Component, ComponentRepository } from "@cyclonedx/cyclonedx-library/Models";
import type { Sha256 } from "@secai/formats/digest";
import { PackageURL } from "packageurl-js";
import { createDocument, fileComponent, properties, sha256Hash } from "./document.ts";
import { licenceRepository } from "./licences.ts";
import type { BundledFile } from "./metafile.ts";

/** What an npm package says of itself. */
export interface NpmManifest {
  readonly name: string;
  readonly version: string;
  readonly license: string | undefined;
}

export interface BundledPart {
  readonly folder: string;
  readonly kind: BundledFile["kind"];
  /** Only of npm packages. */
  readonly manifest: NpmManifest | undefined;
  /** Digest of each file inside the bundle; absent when the sources are not at hand. */
  readonly files: readonly { readonly path: string; readonly sha256: Sha256 | undefined }[];
}

export interface ServiceSbomInputs {
  readonly name: string;
  readonly version: string;
  readonly bundle: Sha256;
  readonly parts: readonly BundledPart[];
  /** Folder that imports -> folders it imports, as the bundler saw them. */
  readonly imports: ReadonlyMap<string, ReadonlySet<string>>;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
}

function npmPurl({ name, version }: NpmManifest): string {
  const [scope, base] = name.startsWith("@")
    ? [name.slice(0, name.indexOf("/")), name.slice(name.indexOf("/") + 1)]
    : [undefined, name];
  return new PackageURL("npm", scope, base, version, undefined, undefined).toString();
}

function partComponent(part: BundledPart, ownVersion: string): Component {
  const files = part.files.map(({ path, sha256 }) => fileComponent(`${part.folder}:${path}`, path, sha256));
  const common = { bomRef: part.folder, components: new ComponentRepository(files) };
  const { manifest } = part;
  if (manifest === undefined) {
    const name = part.folder.slice(part.folder.lastIndexOf("/") + 1);
    const licenses = licenceRepository(["Apache-2.0"]);
    return new Component(ComponentType.Library, name, { ...common, group: "@secai", version: ownVersion, licenses });
  }
  return new Component(ComponentType.Library, manifest.name, {
    ...common,
    version: manifest.version,
    purl: npmPurl(manifest),
    licenses: licenceRepository(manifest.license === undefined ? [] : [manifest.license]),
    properties: properties(manifest.license === undefined ? { licence: "NOASSERTION" } : {}),
  });
}

/** One CycloneDX document of exactly what is inside one bundle. */
export function buildServiceSbom({ name, version, bundle, parts, imports, sourceDateEpoch }: ServiceSbomInputs): Bom {
  const component = new Component(ComponentType.Application, name, {
    bomRef: "bundle",
    group: "@secai",
    version,
    hashes: sha256Hash(bundle),
    licenses: licenceRepository(["Apache-2.0"]),
  });
  const bom = createDocument({ component, digest: bundle }, sourceDateEpoch);
  const byFolder = new Map(parts.map((part) => [part.folder, partComponent(part, version)]));
  for (const [folder, part] of byFolder) {
    bom.components.add(part);
    component.dependencies.add(part.bomRef);
    for (const imported of imports.get(folder) ?? []) {
      const target = byFolder.get(imported);
      if (target !== undefined && target !== part) part.dependencies.add(target.bomRef);
    }
  }
  return bom;
}
