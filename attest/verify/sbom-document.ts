import { type JsonValue, parseJson } from "@secai/formats/canonical-json";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { FormatError } from "@secai/formats/errors";
import { anyObject, list, literal, parseShape, type Shape } from "@secai/formats/shape";

/** What the checks compare of a component; members that are absent in the document are absent here. */
export interface SbomComponent {
  readonly ref?: string;
  readonly type: string;
  readonly name: string;
  readonly version?: string;
  readonly purl?: string;
  readonly sha256?: string;
}

/** A package of the distribution, as its package URL says. */
export interface SbomPackage {
  readonly kind: "deb" | "rpm";
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256?: string;
}

export interface Sbom {
  /** What the document is about. */
  readonly subject: SbomComponent;
  /** All of them, nested ones after the one that holds them. */
  readonly components: readonly SbomComponent[];
  readonly packages: readonly SbomPackage[];
}

type Json = Readonly<Record<string, unknown>>;
const MAX_DEPTH = 16;
const componentsShape: Shape<readonly Json[]> = list(anyObject, { max: 1_000_000 });

/** @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH */
export function parseSbom(bytes: Uint8Array): Sbom {
  return sbomOf(parseJson(bytes, MAX_PAYLOAD_BYTES));
}

/** @throws FormatError SCHEMA_MISMATCH */
export function sbomOf(value: JsonValue): Sbom {
  const document = parseShape(anyObject, value, "a CycloneDX document");
  parseShape(literal("CycloneDX"), document.bomFormat, "CycloneDX: bomFormat");
  parseShape(literal("1.5", "1.6", "1.7"), document.specVersion, "CycloneDX: specVersion");
  const { component } = parseShape(anyObject, document.metadata, "CycloneDX: metadata");
  const components: SbomComponent[] = [];
  collect(document.components, components, 0);
  return {
    subject: componentOf(parseShape(anyObject, component, "CycloneDX: metadata.component")),
    components,
    packages: components.flatMap(packageOf),
  };
}

function collect(value: unknown, into: SbomComponent[], depth: number): void {
  if (value === undefined) return;
  if (depth > MAX_DEPTH) throw mismatch(`components at most ${MAX_DEPTH} deep`, "deeper ones");
  for (const item of parseShape(componentsShape, value, "CycloneDX: components")) {
    into.push(componentOf(item));
    collect(item.components, into, depth + 1);
  }
}

function componentOf(item: Json): SbomComponent {
  const { type, name } = item;
  if (typeof type !== "string" || typeof name !== "string") throw mismatch("a component with type and name", "one without");
  const member = (key: string, as = key) => (typeof item[key] === "string" ? { [as]: item[key] } : {});
  const hash = sha256Of(item.hashes);
  return {
    type,
    name,
    ...member("bom-ref", "ref"),
    ...member("version"),
    ...member("purl"),
    ...(hash !== undefined && { sha256: hash }),
  };
}

function sha256Of(hashes: unknown): string | undefined {
  if (!Array.isArray(hashes)) return undefined;
  const found = hashes.find((hash: unknown) => (Object(hash) as Json).alg === "SHA-256") as Json | undefined;
  return typeof found?.content === "string" ? found.content : undefined;
}

/** https://github.com/package-url/purl-spec: pkg:deb/debian/NAME@VERSION?arch=ARCH&… */
const PACKAGE_URL = /^pkg:(deb|rpm)\/[a-z0-9.-]+\/([^@?#]+)@([^?#]+)\?(?:[^#]*&)?arch=([a-z0-9_]+)(?:&|$)/;

function packageOf({ purl, sha256 }: SbomComponent): readonly SbomPackage[] {
  const [, kind, name, version, architecture] = PACKAGE_URL.exec(purl ?? "") ?? [];
  if (kind === undefined || name === undefined || version === undefined || architecture === undefined) return [];
  return [
    {
      kind: kind === "deb" ? "deb" : "rpm",
      name: decoded(name),
      version: decoded(version),
      architecture,
      ...(sha256 !== undefined && { sha256 }),
    },
  ];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw mismatch("a package URL in percent-encoding", text);
  }
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });
