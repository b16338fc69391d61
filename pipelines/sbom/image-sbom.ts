import { ComponentType, ExternalReferenceType } from "@cyclonedx/cyclonedx-library/Enums";
import {
  type Bom,
  Component,
  ComponentRepository,
  ExternalReference,
  ExternalReferenceRepository,
} from "@cyclonedx/cyclonedx-library/Models";
import type { KernelModules } from "@secai/formats/kernel-modules";
import { backendComponents, type DeclaredHere } from "./backends.ts";
import { createDocument, fileComponent, properties, sha256Hash } from "./document.ts";
import { SbomError } from "./errors.ts";
import { kernelModuleComponents } from "./kernel-modules.ts";
import { type Ownership, requireDeclared } from "./ownership.ts";
import type { InstalledPackage } from "./package.ts";
import { type RootFile, rootDigest } from "./root-files.ts";
import type { ServiceDocument } from "./service-document.ts";

/** Most paths that a property list names; the count beside it is always complete. */
const MAX_LISTED = 500;

export interface ImageSbomInputs {
  readonly image: { readonly name: string; readonly version: string };
  readonly ownership: readonly Ownership[];
  readonly packages: readonly InstalledPackage[];
  /** Makes the component of a package that has so many files; deb-component.ts, rpm-component.ts. */
  readonly componentOf: (one: InstalledPackage, fileCount: number) => Component;
  readonly services: readonly ServiceDocument[];
  /** The runtime and the backends whose libraries lie in this root. */
  readonly compute: DeclaredHere;
  /** Modules that were compiled for the image, when there are any. */
  readonly kernelModules?: KernelModules;
  /** "debian-13" */
  readonly distro: string;
  /** Why a file may be nobody's, by its path. */
  readonly declared: ReadonlyMap<string, string>;
  /** What another reader of the same root found, as properties of the image. */
  readonly crossCheck: Readonly<Record<string, string>>;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
}

/** The files of one origin that is no package: each file is a component of its own, with what identifies its content. */
function filesComponent(
  name: string,
  ref: string,
  version: string,
  entries: readonly Ownership[],
  reasons: ReadonlyMap<string, string> = new Map(),
): Component {
  const nested = entries.map(({ file, owner }) => {
    const component = fileComponent(`${ref}:${file.path}`, file.path, file.type === "file" ? file.sha256 : undefined);
    component.properties = properties({
      ...(owner.kind === "generated" ? { "file:generator": owner.generator } : {}),
      ...(file.type === "link" ? { "file:link": file.target } : {}),
      ...(file.type === "special" ? { "file:type": "special" } : {}),
      ...(reasons.has(file.path) ? { "file:reason": reasons.get(file.path) ?? "" } : {}),
    });
    return component;
  });
  return new Component(ComponentType.Data, name, {
    bomRef: ref,
    group: "@secai",
    version,
    components: new ComponentRepository(nested),
  });
}

/** A service bundle of the image, linked to its own SBOM (BOM-Link, ECMA-424). */
function serviceComponent(service: ServiceDocument, path: string): Component {
  const link = `urn:cdx:${service.serialNumber.slice("urn:uuid:".length)}/1`;
  const reference = new ExternalReference(link, ExternalReferenceType.BOM, {
    hashes: sha256Hash(service.document),
    comment: `${service.name}.cdx.json of this release`,
  });
  return new Component(ComponentType.Application, service.name, {
    bomRef: `service:${service.name}`,
    group: "@secai",
    version: service.version,
    hashes: sha256Hash(service.bundle),
    externalReferences: new ExternalReferenceRepository([reference]),
    properties: properties({ "file:path": path }),
  });
}

/**
 * Each service SBOM must have its bundle in the root, found by digest, and each bundle its SBOM.
 * @throws SbomError SBOM_SERVICE_ABSENT, SBOM_SERVICE_UNDOCUMENTED
 */
function serviceComponents(services: readonly ServiceDocument[], files: readonly RootFile[]): ReadonlyMap<string, Component> {
  const byPath = new Map<string, Component>();
  for (const service of services) {
    const bundle = files.find((file) => file.type === "file" && file.sha256 === service.bundle);
    if (bundle === undefined) {
      throw new SbomError("SBOM_SERVICE_ABSENT", {
        expected: `${service.name}, sha256 ${service.bundle}`,
        actual: "not in the root",
      });
    }
    byPath.set(bundle.path, serviceComponent(service, bundle.path));
  }
  const undocumented = files.find(({ path }) => /^\/usr\/lib\/secure-ai\/services\/[^/]+\.mjs$/.test(path) && !byPath.has(path));
  if (undocumented !== undefined) {
    throw new SbomError("SBOM_SERVICE_UNDOCUMENTED", { expected: "an SBOM of this very bundle", actual: undocumented.path });
  }
  return byPath;
}

/** Adds the edges of what packages need (Depends and Pre-Depends, Requires): for each, the first alternative that is installed, by name or as provided. */
function linkPackages(packages: readonly InstalledPackage[], components: ReadonlyMap<string, Component>): void {
  const providers = new Map<string, InstalledPackage>();
  for (const one of [...packages].reverse()) for (const name of one.provides) providers.set(name, one);
  for (const one of packages) providers.set(one.name, one);
  for (const one of packages) {
    for (const alternatives of one.depends) {
      const found = alternatives.map((name) => providers.get(name)).find((candidate) => candidate !== undefined);
      const target = found === undefined || found === one ? undefined : components.get(found.ref);
      if (target !== undefined) components.get(one.ref)?.dependencies.add(target.bomRef);
    }
  }
}

function packageComponents({ packages, ownership, componentOf }: ImageSbomInputs): ReadonlyMap<string, Component> {
  const counts = new Map<string, number>();
  for (const { owner } of ownership) {
    if (owner.kind === "package") counts.set(owner.package, (counts.get(owner.package) ?? 0) + 1);
  }
  const components = new Map(packages.map((one) => [one.ref, componentOf(one, counts.get(one.ref) ?? 0)]));
  linkPackages(packages, components);
  return components;
}

const paths = (entries: readonly Ownership[]): readonly string[] => entries.slice(0, MAX_LISTED).map(({ file }) => file.path);

/**
 * One CycloneDX document in which every file of the root belongs to a component.
 * @throws SbomError SBOM_FILE_UNOWNED, SBOM_SERVICE_ABSENT, SBOM_SERVICE_UNDOCUMENTED, SBOM_BACKEND_DIFFERS, SBOM_MODULE_DIFFERS
 */
export function buildImageSbom(inputs: ImageSbomInputs): Bom {
  const { image, ownership, declared } = inputs;
  const files = ownership.map(({ file }) => file);
  const services = serviceComponents(inputs.services, files);
  const backends = backendComponents(inputs.compute, files);
  const modules = kernelModuleComponents(inputs.kernelModules, files, inputs.distro);
  const known = new Map([...services, ...backends, ...modules]);
  requireDeclared(
    ownership.filter(({ file }) => !known.has(file.path)),
    declared,
  );
  const packages = packageComponents(inputs);
  const of = (kind: Ownership["owner"]["kind"]) =>
    ownership.filter(({ file, owner }) => owner.kind === kind && !known.has(file.path));
  const [appliance, generated, unowned] = [of("appliance"), of("generated"), of("unowned")];
  const modified = ownership.filter(({ owner }) => owner.kind === "package" && owner.modified);
  const digest = rootDigest(files);
  const component = new Component(ComponentType.OperatingSystem, image.name, {
    bomRef: "image",
    version: image.version,
    properties: properties({
      "root:sha256": digest,
      "files:total": ownership.length,
      "files:package": of("package").length,
      "files:service": services.size,
      "files:backend": backends.size,
      "files:module": modules.size,
      "files:appliance": appliance.length,
      "files:generated": generated.length,
      "files:unowned": unowned.length,
      "files:modified": modified.length,
      "files:unowned:path": paths(unowned),
      "files:modified:path": paths(modified),
      ...inputs.crossCheck,
    }),
  });
  const bom = createDocument({ component, digest }, inputs.sourceDateEpoch);
  const parts = [
    ...packages.values(),
    ...new Set(known.values()),
    filesComponent("appliance-files", "appliance", image.version, appliance),
    filesComponent("generated-files", "generated", image.version, generated),
    filesComponent("unowned-files", "unowned", image.version, unowned, declared),
  ];
  for (const part of parts) {
    bom.components.add(part);
    component.dependencies.add(part.bomRef);
  }
  return bom;
}
