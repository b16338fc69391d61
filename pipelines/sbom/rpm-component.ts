import { ComponentType, ExternalReferenceType } from "@cyclonedx/cyclonedx-library/Enums";
import {
  Component,
  ExternalReference,
  ExternalReferenceRepository,
  OrganizationalEntity,
} from "@cyclonedx/cyclonedx-library/Models";
import { PackageURL } from "packageurl-js";
import { properties } from "./document.ts";
import { expressionRepository } from "./licences.ts";
import type { RpmPackage } from "./rpm.ts";

/** Package URL (purl specification, type rpm): the epoch is a qualifier, not part of the version. */
function purlOf({ name, version, epoch, architecture, sourceRpm }: RpmPackage, distro: string): string {
  const namespace = distro.slice(0, distro.lastIndexOf("-"));
  const qualifiers = {
    arch: architecture,
    distro,
    ...(epoch === 0 ? {} : { epoch: String(epoch) }),
    ...(sourceRpm === "" ? {} : { upstream: sourceRpm }),
  };
  return new PackageURL("rpm", namespace, name, version.replace(/^\d+:/, ""), qualifiers, undefined).toString();
}

/** `distro` is "fedora-42"; `fileCount` how many files of the root are its. */
export function rpmComponent(rpm: RpmPackage, distro: string, fileCount: number): Component {
  const references = new ExternalReferenceRepository();
  if (rpm.homepage !== undefined) references.add(new ExternalReference(rpm.homepage, ExternalReferenceType.Website));
  return new Component(ComponentType.Library, rpm.name, {
    bomRef: rpm.ref,
    version: rpm.version,
    purl: purlOf(rpm, distro),
    supplier: new OrganizationalEntity({ name: rpm.supplier }),
    licenses: expressionRepository(rpm.licence),
    externalReferences: references,
    properties: properties({
      "rpm:source": `${rpm.source.name} ${rpm.source.version}`,
      "rpm:architecture": rpm.architecture,
      "rpm:files": fileCount,
      // Not among the component's hashes: those are of files, and no file has this one.
      "rpm:header:sha256": rpm.headerSha256 ?? "absent",
      ...(rpm.licence === "" ? { licence: "NOASSERTION" } : {}),
    }),
  });
}
