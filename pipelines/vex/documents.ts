import * as Enums from "@cyclonedx/cyclonedx-library/Enums";
import { Bom, type BomRef, Component, Metadata, Vulnerability } from "@cyclonedx/cyclonedx-library/Models";
import { sha256 } from "@secai/formats/digest";
import { OPENVEX_CONTEXT, type OpenVex, openVexBytes } from "@secai/formats/openvex";
import { PackageURL } from "packageurl-js";
import type { LockedPackage } from "../lock/lock.ts";
import { serializeDocument } from "../sbom/document.ts";
import { uuidOfUrl } from "../sbom/uuid.ts";
import type { Waiver, Waivers } from "./waivers.ts";

export interface VexSubject {
  readonly recipe: string;
  readonly version: string;
  /** Package URL by name, of every package in the image. */
  readonly packages: ReadonlyMap<string, string>;
}

/** Package URL of a locked package; qualifiers of other tools' URLs for it may be more. */
export function lockedPurl({ name, version, architecture }: LockedPackage): string {
  return new PackageURL("deb", "debian", name, version, { arch: architecture }, undefined).toString();
}

/** The image as VEX names it; the statement that carries the document binds it to the image's digest. */
const productOf = ({ recipe, version }: VexSubject) => `pkg:generic/secai-os-${recipe}@${encodeURIComponent(version)}`;
const midnight = (day: string) => `${day}T00:00:00Z`;
const latest = (waivers: readonly Waiver[]) =>
  midnight(
    waivers
      .map(({ recorded }) => recorded)
      .toSorted()
      .at(-1) ?? "1970-01-01",
  );

/** OpenVEX 0.2.0, in the bytes of vex/openvex.json; the same waivers give the same bytes. */
export function openVexOf({ waivers }: Waivers, subject: VexSubject): Buffer {
  const product = productOf(subject);
  const document: OpenVex = {
    "@context": OPENVEX_CONTEXT,
    "@id": `urn:uuid:${uuidOfUrl(`urn:secai:vex:${product}:${sha256(JSON.stringify(waivers))}`)}`,
    author: "SecAI OS maintainers",
    timestamp: latest(waivers),
    version: 1,
    statements: waivers.map((waiver) => statementOf(waiver, product, subject)),
  };
  return openVexBytes(document);
}

function statementOf(waiver: Waiver, product: string, { packages }: VexSubject): OpenVex["statements"][number] {
  const { id, status, justification, action, reason, recorded, reviewer, expires } = waiver;
  const subcomponent = packages.get(waiver.package);
  return {
    vulnerability: { name: id },
    products: [{ "@id": product, ...(subcomponent !== undefined && { subcomponents: [{ "@id": subcomponent }] }) }],
    status,
    timestamp: midnight(recorded),
    ...(justification !== undefined && { justification }),
    ...(status === "not_affected" ? { impact_statement: reason } : { action_statement: `${reason} ${action}` }),
    status_notes: `reviewed by ${reviewer}; valid until ${expires}`,
  };
}

/** How CycloneDX says OpenVEX's justifications (CycloneDX 1.6, impactAnalysisJustification). */
const cycloneDxJustification = {
  component_not_present: Enums.Vulnerability.AnalysisJustification.CodeNotPresent,
  vulnerable_code_not_present: Enums.Vulnerability.AnalysisJustification.CodeNotPresent,
  vulnerable_code_not_in_execute_path: Enums.Vulnerability.AnalysisJustification.CodeNotReachable,
  vulnerable_code_cannot_be_controlled_by_adversary: Enums.Vulnerability.AnalysisJustification.ProtectedAtRuntime,
  inline_mitigations_already_exist: Enums.Vulnerability.AnalysisJustification.ProtectedByMitigatingControl,
} as const;

/** CycloneDX VEX of the same waivers, in the bytes of vex/vex.cdx.json. */
export function cycloneDxVexOf({ waivers }: Waivers, subject: VexSubject): Buffer {
  const product = productOf(subject);
  const component = new Component(Enums.ComponentType.OperatingSystem, `secai-os-${subject.recipe}`, {
    version: subject.version,
    bomRef: product,
  });
  const metadata = new Metadata({ component, timestamp: new Date(latest(waivers)) });
  const serial = uuidOfUrl(`urn:secai:vex-cdx:${product}:${sha256(JSON.stringify(waivers))}`);
  const bom = new Bom({ serialNumber: `urn:uuid:${serial}`, metadata });
  const libraries = new Map([...new Set(waivers.map((waiver) => waiver.package))].flatMap((name) => libraryOf(name, subject)));
  for (const library of libraries.values()) bom.components.add(library);
  for (const waiver of waivers)
    bom.vulnerabilities.add(vulnerabilityOf(waiver, libraries.get(waiver.package)?.bomRef ?? component.bomRef));
  return Buffer.from(serializeDocument(bom));
}

function libraryOf(name: string, { packages }: VexSubject): readonly (readonly [string, Component])[] {
  const purl = packages.get(name);
  return purl === undefined ? [] : [[name, new Component(Enums.ComponentType.Library, name, { bomRef: purl, purl })]];
}

function vulnerabilityOf({ id, status, justification, reason, recorded }: Waiver, affected: BomRef) {
  const { AnalysisState } = Enums.Vulnerability;
  const vulnerability = new Vulnerability.Vulnerability({
    bomRef: `vulnerability:${id}`,
    id,
    created: new Date(midnight(recorded)),
    analysis: new Vulnerability.Analysis({
      state: status === "not_affected" ? AnalysisState.NotAffected : AnalysisState.Exploitable,
      ...(justification !== undefined && { justification: cycloneDxJustification[justification] }),
      detail: reason,
    }),
  });
  vulnerability.affects.add(new Vulnerability.Affect(affected));
  return vulnerability;
}
