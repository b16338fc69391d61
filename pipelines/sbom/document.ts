import { ComponentType, HashAlgorithm, LifecyclePhase } from "@cyclonedx/cyclonedx-library/Enums";
import { Bom, Component, HashDictionary, Metadata, Property, PropertyRepository } from "@cyclonedx/cyclonedx-library/Models";
import {
  JSON as CycloneDxJson,
  XML as CycloneDxXml,
  JsonSerializer,
  XmlSerializer,
} from "@cyclonedx/cyclonedx-library/Serialize";
import { Spec1dot6, Spec1dot7 } from "@cyclonedx/cyclonedx-library/Spec";
import type { Sha256 } from "@secai/formats/digest";
import { SbomError } from "./errors.ts";
import { uuidOfUrl } from "./uuid.ts";

/** What a document is about: `digest` identifies it and so the document's serial number. */
export interface Subject {
  readonly component: Component;
  readonly digest: Sha256;
}

export function sha256Hash(digest: Sha256): HashDictionary {
  return new HashDictionary([[HashAlgorithm["SHA-256"], digest]]);
}

/** Properties in CycloneDX's own taxonomy form, "secai:area:name"; an entry with a list becomes one property a value. */
export function properties(values: Readonly<Record<string, string | number | readonly string[]>>): PropertyRepository {
  const list = Object.entries(values).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((item) => new Property(`secai:${name}`, String(item))),
  );
  return new PropertyRepository(list);
}

/** A file inside a component. `path` is relative to whatever the component is. */
export function fileComponent(bomRef: string, path: string, digest: Sha256 | undefined): Component {
  return new Component(ComponentType.File, path, {
    bomRef,
    ...(digest === undefined ? {} : { hashes: sha256Hash(digest) }),
  });
}

/** An empty document about `subject`. `sourceDateEpoch` in seconds since 1970. */
export function createDocument({ component, digest }: Subject, sourceDateEpoch: number): Bom {
  const metadata = new Metadata({ component, timestamp: new Date(sourceDateEpoch * 1000) });
  metadata.lifecycles.add(LifecyclePhase.Build);
  metadata.tools.components.add(
    new Component(ComponentType.Application, "secai-sbom", { group: "@secai", bomRef: "tool:secai-sbom" }),
  );
  return new Bom({ serialNumber: `urn:uuid:${uuidOfUrl(`urn:secai:sbom:sha256:${digest}`)}`, metadata });
}

const specs = { "1.6": Spec1dot6, "1.7": Spec1dot7 } as const;
/** Versions of CycloneDX (ECMA-424) that a document can be written in. */
export type CycloneDxVersion = keyof typeof specs;
export const DEFAULT_CYCLONEDX: CycloneDxVersion = "1.6";

/** @throws SbomError SBOM_INPUT_MALFORMED */
export function parseCycloneDxVersion(text: string): CycloneDxVersion {
  if (Object.hasOwn(specs, text)) return text as CycloneDxVersion;
  throw new SbomError("SBOM_INPUT_MALFORMED", { expected: `CycloneDX ${Object.keys(specs).join(" or ")}`, actual: text });
}

const layout = { sortLists: true, space: 1 } as const;

/** JSON with sorted lists: the same document is the same bytes. */
export function serializeDocument(bom: Bom, version: CycloneDxVersion = DEFAULT_CYCLONEDX): string {
  const serializer = new JsonSerializer(new CycloneDxJson.Normalize.Factory(specs[version]));
  return `${serializer.serialize(bom, layout)}\n`;
}

/** The same document in XML. */
export function serializeXml(bom: Bom, version: CycloneDxVersion = DEFAULT_CYCLONEDX): string {
  const serializer = new XmlSerializer(new CycloneDxXml.Normalize.Factory(specs[version]));
  return `${serializer.serialize(bom, layout)}\n`;
}
