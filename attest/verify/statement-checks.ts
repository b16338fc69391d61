import { isDeepStrictEqual } from "node:util";
import { parseJson } from "@secai/formats/canonical-json";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import {
  BOOT_LOADER_FILE,
  DISK_FILE,
  IMAGE_SBOM_FILE,
  MEASUREMENTS_FILE,
  PROVENANCE_FILE,
  type Role,
  roleOf,
  UKI_FILE,
} from "@secai/formats/release-layout";
import { parseStatement, type Statement } from "@secai/formats/statement";
import { CYCLONEDX_PREDICATE, MEASURED_BOOT_PREDICATE } from "@secai/formats/uris";
import { about, type CheckResult, fail, notPresent, pass, type SubjectResult, undecided } from "./check.ts";
import { derive, given, payloadIn, type ReleaseCheck, type ReleaseEvidence, when } from "./release-evidence.ts";

/** The signature in a file's bundle, under the trusted key, over an in-toto payload. */
function signatureCheck(id: string, file: string): ReleaseCheck {
  return {
    id,
    title: `A trusted key signed the statement about ${file}`,
    run: (evidence) => when(payloadIn(evidence, file), () => pass),
  };
}
export const provenanceSignatureCheck = signatureCheck("provenance.signature", PROVENANCE_FILE);
export const measurementsSignatureCheck = signatureCheck("measurements.signature", MEASUREMENTS_FILE);
export const sbomSignatureCheck = signatureCheck("sbom.signature", IMAGE_SBOM_FILE);

export const provenanceStatementCheck: ReleaseCheck = {
  id: "provenance.statement",
  title: "The signed provenance is the one in the release, in a shape we know",
  run: (evidence) =>
    when(evidence.provenance, () =>
      given(payloadIn(evidence, PROVENANCE_FILE), "the signed provenance", (payload) => {
        const file = evidence.inventory.files.get(PROVENANCE_FILE)?.bytes;
        return file !== undefined && payload.equals(file) ? pass : fail("STATEMENT_DIFFERS", "the signed bytes", "other bytes");
      }),
    ),
};

/** What the build made. Keys and the signatures themselves come from elsewhere. */
const BUILT: ReadonlySet<Role> = new Set<Role>([
  "disk",
  "disk-qcow2",
  "uki",
  "boot-loader",
  "root-hash",
  "measurements",
  "service",
  "image-sbom",
  "service-sbom",
]);

export const provenanceSubjectCheck: ReleaseCheck = {
  id: "provenance.subject",
  title: "The provenance speaks of every built file, by its digest, and of nothing else",
  run(evidence) {
    if (evidence.provenanceStatement.state !== "found") return undecided("EVIDENCE_UNUSABLE", "the provenance cannot be used");
    const built = [...evidence.inventory.files.keys()].filter((name) => BUILT.has(roleOf(name)));
    return subjectResults(evidence, evidence.provenanceStatement.value, built);
  },
};

function subjectResults(evidence: ReleaseEvidence, statement: Statement, wanted: readonly string[]): readonly SubjectResult[] {
  const claimed = new Map(statement.subject.map(({ name, digest }) => [name, digest.sha256]));
  const forgotten = wanted
    .filter((name) => !claimed.has(name))
    .map((name) => about(name, fail("SUBJECT_MISSING", "a subject of the statement", "none")));
  const compared = [...claimed].map(([name, digest]) => about(name, subjectResult(evidence, name, digest)));
  return [...forgotten, ...compared];
}

function subjectResult({ inventory, checksums }: ReleaseEvidence, name: string, claimed: string): CheckResult {
  const actual = inventory.files.get(name)?.sha256;
  if (actual !== undefined) return actual === claimed ? pass : fail("SUBJECT_MISMATCH", claimed, actual);
  // A file the caller left out is compared by its signed entry; whether it may be absent is layout.closed-world's to say.
  const listed = checksums.state === "found" ? checksums.value.get(name) : undefined;
  if (listed === undefined) return fail("SUBJECT_UNKNOWN", "a file of this release", name);
  return listed === claimed
    ? notPresent("the file is not here; its signed digest agrees")
    : fail("SUBJECT_MISMATCH", claimed, listed);
}

export const provenanceBuilderCheck: ReleaseCheck = {
  id: "provenance.builder",
  title: "A trusted builder made it",
  run: ({ provenance, manifest }, { builders }) =>
    given(provenance, "the provenance", ({ runDetails: { builder } }) => {
      if (!builders.includes(builder.id)) return fail("BUILDER_UNTRUSTED", builders.join(" or "), builder.id);
      return given(manifest, "the manifest", ({ build }) =>
        build.builder_id === builder.id ? pass : fail("BUILDER_UNTRUSTED", build.builder_id, builder.id),
      );
    }),
};

export const provenanceDependenciesCheck: ReleaseCheck = {
  id: "provenance.dependencies",
  title: "The provenance names recipe, lock and other inputs by digest, and no output among them",
  run: ({ provenance, provenanceStatement }) =>
    given(provenance, "the provenance", ({ buildDefinition: { externalParameters, resolvedDependencies } }) => {
      const known = new Set(resolvedDependencies.map(({ digest }) => digest.sha256));
      const { recipe, lock } = externalParameters;
      const unnamed = [recipe, lock].find(({ sha256 }) => !known.has(sha256));
      if (unnamed !== undefined) return fail("DEPENDENCY_MISSING", unnamed.path, "not among the dependencies");
      if (resolvedDependencies.length < 3) return fail("DEPENDENCY_MISSING", "inputs besides recipe and lock", "none");
      const outputs = provenanceStatement.state === "found" ? provenanceStatement.value.subject : [];
      const output = outputs.find(({ digest }) => known.has(digest.sha256));
      return output === undefined ? pass : fail("DEPENDENCY_IS_OUTPUT", "inputs only", output.name);
    }),
};

/** Of a statement whose predicate is the content of a file: type, predicate and subjects. */
function predicateResults(
  evidence: ReleaseEvidence,
  file: string,
  predicateType: string,
  subjects: readonly string[],
): readonly SubjectResult[] {
  const signed = derive(payloadIn(evidence, file), parseStatement);
  if (signed.state !== "found")
    return [
      about(
        file,
        given(signed, "the signed statement", () => pass),
      ),
    ];
  const statement = signed.value;
  if (statement.predicateType !== predicateType)
    return [about(file, fail("PREDICATE_MISMATCH", predicateType, statement.predicateType))];
  const bytes = evidence.inventory.files.get(file)?.bytes;
  const same = bytes !== undefined && hasContent(bytes, statement.predicate);
  return [
    about(file, same ? pass : fail("PREDICATE_MISMATCH", "the content of the file", "other content")),
    ...subjectResults(evidence, statement, subjects),
  ];
}

function hasContent(bytes: Buffer, value: unknown): boolean {
  const content = derive({ state: "found", value: bytes }, (given) => parseJson(given, MAX_PAYLOAD_BYTES));
  return content.state === "found" && isDeepStrictEqual(content.value, value);
}

export const measurementsSubjectCheck: ReleaseCheck = {
  id: "measurements.subject",
  title: "The signed measurements are the ones in the release, about this disk and kernel image",
  run: (evidence) => predicateResults(evidence, MEASUREMENTS_FILE, MEASURED_BOOT_PREDICATE, [DISK_FILE, UKI_FILE]),
};

export const sbomSubjectCheck: ReleaseCheck = {
  id: "sbom.subject",
  title: "The signed SBOM is the one in the release, about this disk",
  run: (evidence) => predicateResults(evidence, IMAGE_SBOM_FILE, CYCLONEDX_PREDICATE, [DISK_FILE]),
};

export const measurementsFilesCheck: ReleaseCheck = {
  id: "measurements.files",
  title: "The measurements are well formed and were made of these very boot files",
  run: ({ measurements, inventory }) =>
    when(measurements, ({ uki, bootloader }) => {
      const wrong = [
        { name: UKI_FILE, expected: uki.sha256 },
        { name: BOOT_LOADER_FILE, expected: bootloader.sha256 },
      ].find(({ name, expected }) => inventory.files.get(name)?.sha256 !== expected);
      if (wrong === undefined) return pass;
      return fail("SUBJECT_MISMATCH", wrong.expected, `${wrong.name}: ${inventory.files.get(wrong.name)?.sha256 ?? "missing"}`);
    }),
};
