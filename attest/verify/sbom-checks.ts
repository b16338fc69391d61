import { roleOf } from "@secai/formats/release-layout";
import { about, type CheckResult, fail, notPresent, pass, type SubjectResult, undecided } from "./check.ts";
import { given, type ReleaseCheck, when } from "./release-evidence.ts";
import type { Sbom, SbomComponent } from "./sbom-document.ts";

/** Every SBOM reads as CycloneDX about something, and services and their SBOMs come in pairs. */
export const sbomShapeCheck: ReleaseCheck = {
  id: "sbom.shape",
  title: "The image and every service have a CycloneDX SBOM",
  asks: "Whether each SBOM parses as CycloneDX 1.5 to 1.7, and services and SBOMs come in pairs.",
  codes: ["SBOM_UNPAIRED", "FILE_MISSING"],
  run({ inventory: { files }, sboms }) {
    const read = [...sboms].map(([name, sbom]) =>
      about(
        name,
        when(sbom, () => pass),
      ),
    );
    const orphans = [...files.keys()].flatMap((name): readonly SubjectResult[] => {
      const partner = partnerOf(name);
      return partner === undefined || files.has(partner) ? [] : [about(name, fail("SBOM_UNPAIRED", partner, "no such file"))];
    });
    return read.length + orphans.length > 0 ? [...read, ...orphans] : undecided("FILE_MISSING", "no SBOM");
  },
};

function partnerOf(name: string): string | undefined {
  const service = /^services\/(.+)\.mjs$/.exec(name)?.[1];
  if (service !== undefined) return `sbom/${service}.cdx.json`;
  return roleOf(name) === "service-sbom" ? serviceOf(name) : undefined;
}

const serviceOf = (sbom: string) => sbom.replace(/^sbom\/(.+)\.cdx\.json$/, "services/$1.mjs");

export const sbomServiceCheck: ReleaseCheck = {
  id: "sbom.service",
  title: "Each service's SBOM is about that service, in this build of it",
  asks: "Whether the component that a service's SBOM describes has the service's name and, where it states a digest, the digest of services/NAME.mjs.",
  codes: ["SBOM_SUBJECT_MISMATCH", "FILE_MISSING"],
  optional: true,
  run({ sboms, inventory }) {
    const services = [...sboms].filter(([name]) => roleOf(name) === "service-sbom");
    if (services.length === 0) return notPresent("no service has an SBOM of its own");
    return services.map(([name, sbom]) =>
      about(
        name,
        given(sbom, name, (found) => describes(found, name, inventory.files)),
      ),
    );
  },
};

function describes({ subject }: Sbom, sbom: string, files: ReadonlyMap<string, { readonly sha256: string }>): CheckResult {
  const file = serviceOf(sbom);
  const service = file.slice("services/".length, -".mjs".length);
  if (subject.name !== service) return fail("SBOM_SUBJECT_MISMATCH", service, subject.name);
  const actual = files.get(file)?.sha256;
  if (actual === undefined) return undecided("FILE_MISSING", file);
  if (subject.sha256 === undefined || subject.sha256 === actual) return pass;
  return fail("SBOM_SUBJECT_MISMATCH", actual, subject.sha256);
}

export const sbomPackagesCheck: ReleaseCheck = {
  id: "sbom.packages",
  title: "The image's SBOM and its baseline name the same packages",
  asks: "Whether the packages of the distribution, by name, version and architecture, are the same in sbom/image.cdx.json and baseline.json.",
  codes: ["SBOM_PACKAGES_DIFFER", "EVIDENCE_UNUSABLE"],
  optional: true,
  run({ imageSbom, baseline }) {
    if (baseline.state === "absent") return notPresent("no baseline to compare with");
    return given(imageSbom, "the image's SBOM", ({ packages }) =>
      given(baseline, "the baseline", (sealed) => {
        const line = ({ name, version, architecture }: { name: string; version: string; architecture: string }) =>
          `${name} ${version} ${architecture}`;
        return sameSets("SBOM_PACKAGES_DIFFER", sealed.packages.map(line), packages.map(line));
      }),
    );
  },
};

function sameSets(
  code: "SBOM_PACKAGES_DIFFER" | "SBOM_XML_DIFFERS",
  expected: readonly string[],
  actual: readonly string[],
): CheckResult {
  const [wanted, found] = [counted(expected), counted(actual)];
  const different = [...new Set([...wanted.keys(), ...found.keys()])].find((key) => wanted.get(key) !== found.get(key));
  if (different === undefined) return pass;
  return fail(code, `${different}: ${wanted.get(different) ?? 0} times`, `${found.get(different) ?? 0} times`);
}

function counted(items: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

export const sbomXmlCheck: ReleaseCheck = {
  id: "sbom.xml",
  title: "The XML form of the image's SBOM names the same components as the JSON form",
  asks: "Whether sbom/image.cdx.xml has the components of sbom/image.cdx.json, each with the same reference, type, name, version, package URL and digest.",
  codes: ["SBOM_XML_DIFFERS", "XML_MALFORMED", "EVIDENCE_UNUSABLE"],
  optional: true,
  run(evidence) {
    if (evidence.sbomXml.state === "absent") return notPresent("the SBOM is not given in XML");
    return when(evidence.sbomXml, (components) =>
      given(evidence.imageSbom, "the image's SBOM", (sbom) => {
        const wanted = [sbom.subject, ...sbom.components];
        // Both forms of one document have one order; lines for counting are made where they do not.
        if (sameInOrder(wanted, components)) return pass;
        return sameSets("SBOM_XML_DIFFERS", wanted.map(componentLine), components.map(componentLine));
      }),
    );
  },
};

const COMPARED = ["ref", "type", "name", "version", "purl", "sha256"] as const;

const sameInOrder = (wanted: readonly SbomComponent[], found: readonly SbomComponent[]): boolean =>
  wanted.length === found.length && wanted.every((one, at) => COMPARED.every((member) => one[member] === found[at]?.[member]));

const componentLine = (component: SbomComponent) => COMPARED.map((member) => component[member] ?? "-").join(" ");
