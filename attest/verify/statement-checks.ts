import { isSameJson, parseJson } from "@secai/formats/canonical-json";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { type Role, roleOf } from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { type FileStatement, statementOf } from "@secai/formats/release-statements";
import type { Statement } from "@secai/formats/statement";
import { about, type CheckResult, fail, notPresent, pass, type SubjectResult } from "./check.ts";
import { SIGNER_CODES } from "./check-codes.ts";
import {
  bytesOf,
  derive,
  type Found,
  given,
  payloadIn,
  type ReleaseCheck,
  type ReleaseEvidence,
  statementIn,
  when,
} from "./release-evidence.ts";

/** What a pair of checks, `<area>.signature` and `<area>.subject`, is about. */
interface Area {
  readonly area: string;
  /** For people: "the baseline". */
  readonly what: string;
  readonly roles: readonly Role[];
  readonly optional?: true;
}

const filesOf = ({ inventory }: ReleaseEvidence, roles: readonly Role[]) =>
  [...inventory.files.keys()].filter((name) => roles.includes(roleOf(name)));

/** Results by file, or that there is none. */
function perFile(
  evidence: ReleaseEvidence,
  { roles, what }: Area,
  resultsOf: (name: string) => readonly SubjectResult[],
): CheckResult | readonly SubjectResult[] {
  const files = filesOf(evidence, roles);
  return files.length === 0 ? notPresent(`no file for ${what}`) : files.flatMap(resultsOf);
}

/** Signatures of trusted keys of the role that must sign such files, over an in-toto payload. */
export function signatureCheck(area: Area): ReleaseCheck {
  return {
    id: `${area.area}.signature`,
    title: `A trusted key signed ${area.what}`,
    asks: `Whether the bundle of each such file holds an in-toto statement that a key of the role that may sign it has signed. The key manifest says which keys those are; a key that was revoked, or was not valid yet or any more when the release was issued, does not count.`,
    codes: [...SIGNER_CODES, "BUNDLE_MISSING", "EVIDENCE_UNUSABLE"],
    ...(area.optional && { optional: true }),
    run: (evidence) =>
      perFile(evidence, area, (name) => [
        about(
          name,
          when(payloadIn(evidence, name), () => pass),
        ),
      ]),
  };
}

/** The signed statement says what the file beside it says, about the files of this release. */
export function subjectCheck(area: Area): ReleaseCheck {
  return {
    id: `${area.area}.subject`,
    title: `The signed statement of ${area.what} is the one of this release`,
    asks: `Whether the signed statement has the type that belongs to the file, says exactly what the file says, and is about the files it must be about, by their digests, and no others. A genuine statement of another release fails here.`,
    codes: [
      "PREDICATE_MISMATCH",
      "SUBJECT_MISSING",
      "SUBJECT_UNKNOWN",
      "SUBJECT_MISMATCH",
      "STATEMENT_DIFFERS",
      "EVIDENCE_UNUSABLE",
    ],
    ...(area.optional && { optional: true }),
    run: (evidence) => perFile(evidence, area, (name) => statementResults(evidence, name)),
  };
}

function statementResults(evidence: ReleaseEvidence, name: string): readonly SubjectResult[] {
  const wanted = statementOf(name);
  if (wanted === undefined) return [];
  const payload = payloadIn(evidence, name);
  const signed = statementIn(evidence, name);
  if (signed.state !== "found") {
    // What a trusted key signed and is no statement is wrong; what nobody trusted signed is the signature check's to refuse.
    const found = payload.state === "found" ? when(signed, () => pass) : given(signed, "the statement", () => pass);
    return [about(name, found)];
  }
  const { predicateType } = signed.value;
  if (predicateType !== wanted.predicateType)
    return [about(name, fail("PREDICATE_MISMATCH", wanted.predicateType, predicateType))];
  return [
    about(name, predicateResult(evidence, name, wanted, signed.value)),
    ...subjectsOf(evidence, name, wanted, signed.value),
  ];
}

function predicateResult(
  { inventory, manifest, documents }: ReleaseEvidence,
  name: string,
  { from }: FileStatement,
  { predicate }: Statement,
): CheckResult {
  const differs = fail("PREDICATE_MISMATCH", "the content of the file", "other content");
  if (from === "manifest")
    return given(manifest, "the manifest", ({ recipe, tag }) =>
      isSameJson({ ...predicate }, { ...releasePredicate(recipe, tag) }) ? pass : differs,
    );
  const content = documents.get(name) ?? contentOf(inventory, name);
  return content.state === "found" && isSameJson(content.value, predicate) ? pass : differs;
}

const contentOf = (inventory: ReleaseEvidence["inventory"], name: string): Found<unknown> =>
  derive(bytesOf(inventory, name), (bytes) => parseJson(bytes, MAX_PAYLOAD_BYTES));

/** Subjects by their digests. An older key manifest was signed as the current one, so it is compared under its own name here. */
function subjectsOf(
  evidence: ReleaseEvidence,
  name: string,
  { subjects }: FileStatement,
  statement: Statement,
): readonly SubjectResult[] {
  if (roleOf(name) !== "old-key-manifest") return subjectResults(evidence, statement, subjects ?? []);
  return subjectResults(
    evidence,
    { ...statement, subject: statement.subject.map((one) => (subjects?.includes(one.name) ? { ...one, name } : one)) },
    [name],
  );
}

/** Each wanted file is a subject, and each subject a file of this release with that digest. */
export function subjectResults(
  evidence: ReleaseEvidence,
  statement: Statement,
  wanted: readonly string[],
): readonly SubjectResult[] {
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

const areas = {
  measurements: { area: "measurements", what: "the measurements", roles: ["measurements"] },
  sbom: { area: "sbom", what: "the SBOMs", roles: ["image-sbom", "service-sbom", "extension-sbom"] },
  baseline: { area: "baseline", what: "the baseline", roles: ["baseline"], optional: true },
  vex: { area: "vex", what: "the VEX document", roles: ["vex"], optional: true },
  tests: { area: "tests", what: "the test results", roles: ["test-result"], optional: true },
  channel: { area: "channel", what: "the channel file", roles: ["channel"], optional: true },
  manifest: { area: "manifest", what: "the release statement", roles: ["manifest"] },
} as const satisfies Readonly<Record<string, Area>>;

export const provenanceSignatureCheck = signatureCheck({
  area: "provenance",
  what: "the provenance",
  roles: ["provenance"],
});

/** Signature and subject checks of every statement but the provenance, which is itself the statement. */
export const statementChecks: Readonly<Record<keyof typeof areas, readonly ReleaseCheck[]>> = {
  measurements: [signatureCheck(areas.measurements), subjectCheck(areas.measurements)],
  sbom: [signatureCheck(areas.sbom), subjectCheck(areas.sbom)],
  baseline: [signatureCheck(areas.baseline), subjectCheck(areas.baseline)],
  vex: [signatureCheck(areas.vex), subjectCheck(areas.vex)],
  tests: [signatureCheck(areas.tests), subjectCheck(areas.tests)],
  channel: [signatureCheck(areas.channel), subjectCheck(areas.channel)],
  manifest: [signatureCheck(areas.manifest), subjectCheck(areas.manifest)],
};
