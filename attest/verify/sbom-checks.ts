import { parseJson } from "@secai/formats/canonical-json";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { roleOf } from "@secai/formats/release-layout";
import { anyObject, list, literal, parseShape, type Shape } from "@secai/formats/shape";
import { about, fail, type SubjectResult, undecided } from "./check.ts";
import { attempt, type ReleaseCheck } from "./release-evidence.ts";

const bomFormat = literal("CycloneDX");
const specVersion = literal("1.5", "1.6", "1.7");
const components = list(anyObject, { max: 1_000_000 });

/** Every SBOM reads as CycloneDX about something, and services and their SBOMs come in pairs. */
export const sbomShapeCheck: ReleaseCheck = {
  id: "sbom.shape",
  title: "The image and every service have a CycloneDX SBOM",
  run({ inventory: { files } }) {
    const read = [...files].flatMap(([name, { bytes }]): readonly SubjectResult[] =>
      isSbom(name) && bytes !== undefined
        ? [
            about(
              name,
              attempt(() => requireSbom(bytes)),
            ),
          ]
        : [],
    );
    const orphans = [...files.keys()].flatMap((name): readonly SubjectResult[] => {
      const partner = partnerOf(name);
      return partner === undefined || files.has(partner) ? [] : [about(name, fail("SBOM_UNPAIRED", partner, "no such file"))];
    });
    return read.length + orphans.length > 0 ? [...read, ...orphans] : undecided("FILE_MISSING", "no SBOM");
  },
};

const isSbom = (name: string) => roleOf(name) === "image-sbom" || roleOf(name) === "service-sbom";

function partnerOf(name: string): string | undefined {
  const service = /^services\/(.+)\.mjs$/.exec(name)?.[1];
  if (service !== undefined) return `sbom/${service}.cdx.json`;
  if (roleOf(name) !== "service-sbom") return undefined;
  return name.replace(/^sbom\/(.+)\.cdx\.json$/, "services/$1.mjs");
}

/** @throws FormatError JSON_MALFORMED, SCHEMA_MISMATCH */
function requireSbom(bytes: Buffer): void {
  const document = parseShape(anyObject, parseJson(bytes, MAX_PAYLOAD_BYTES), "a CycloneDX document");
  const member = <T>(name: string, shape: Shape<T>): T => parseShape(shape, document[name], `CycloneDX: ${name}`);
  member("bomFormat", bomFormat);
  member("specVersion", specVersion);
  if ("components" in document) member("components", components);
  parseShape(anyObject, member("metadata", anyObject).component, "CycloneDX: metadata.component");
}
