import { ComponentType, ExternalReferenceType } from "@cyclonedx/cyclonedx-library/Enums";
import {
  Component,
  ComponentEvidence,
  ExternalReference,
  ExternalReferenceRepository,
  OrganizationalEntity,
} from "@cyclonedx/cyclonedx-library/Models";
import { PackageURL } from "packageurl-js";
import type { LockedPackage } from "../lock/lock.ts";
import { properties, sha256Hash } from "./document.ts";
import { evidenceRepository, licenceRepository } from "./licences.ts";
import type { InstalledPackage } from "./package.ts";

/** purl of a binary package, with its source package (the name security trackers use) as the `upstream` qualifier. */
function purlOf({ name, version, architecture, source }: InstalledPackage, distro: string): string {
  const upstream = source.version === version ? source.name : `${source.name}@${source.version}`;
  return new PackageURL("deb", "debian", name, version, { arch: architecture, distro, upstream }, undefined).toString();
}

/** The archive file it was unpacked from: path below the archive, and digest. */
function distribution({ path, sha256 }: LockedPackage): ExternalReference {
  return new ExternalReference(path, ExternalReferenceType.Distribution, { hashes: sha256Hash(sha256) });
}

export interface DebComponentInputs {
  readonly package: InstalledPackage;
  /** Undefined when the lock does not hold this very version; the component then says so. */
  readonly locked: LockedPackage | undefined;
  /** Undefined when its copyright file is absent or not machine readable. */
  readonly licences: readonly string[] | undefined;
  /** Licences that a copyright file only points to. */
  readonly mentioned: readonly string[];
  /** "debian-13" */
  readonly distro: string;
  /** How many files of the root are its. */
  readonly fileCount: number;
}

export function debComponent({ package: deb, locked, licences, mentioned, distro, fileCount }: DebComponentInputs): Component {
  const references = new ExternalReferenceRepository();
  if (locked !== undefined) references.add(distribution(locked));
  if (deb.homepage !== undefined) references.add(new ExternalReference(deb.homepage, ExternalReferenceType.Website));
  return new Component(ComponentType.Library, deb.name, {
    bomRef: deb.ref,
    version: deb.version,
    purl: purlOf(deb, distro),
    supplier: new OrganizationalEntity({ name: deb.supplier }),
    licenses: licenceRepository(licences ?? []),
    externalReferences: references,
    ...(mentioned.length === 0 ? {} : { evidence: new ComponentEvidence({ licenses: evidenceRepository(mentioned) }) }),
    ...(locked === undefined ? {} : { hashes: sha256Hash(locked.sha256) }),
    properties: properties({
      "deb:source": `${deb.source.name} ${deb.source.version}`,
      "deb:architecture": deb.architecture,
      "deb:files": fileCount,
      ...(locked === undefined ? { "deb:lock": "absent" } : {}),
      ...(licences === undefined ? { licence: "NOASSERTION" } : {}),
    }),
  });
}
