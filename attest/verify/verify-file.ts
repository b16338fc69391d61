import { requiredOf, runChecks } from "./check.ts";
import { fileChecks } from "./file-checks.ts";
import { type FileEvidence, type FileQuestion, gatherFileEvidence } from "./file-evidence.ts";
import { rulesOf } from "./release-policy.ts";
import { buildReport, type Report } from "./report.ts";
import { anchorLines } from "./verify-release.ts";

/** Answers whether somebody who is trusted signed one file, or a statement about it. Opens no socket and writes nothing. */
export async function verifyFile(question: FileQuestion): Promise<Report> {
  const evidence = await gatherFileEvidence(question);
  const outcomes = runChecks(fileChecks, evidence, undefined);
  const { policy, keyless, target } = question;
  const identity = keyless === undefined ? [] : [`${keyless.identity.subjectAlternativeName} of ${keyless.identity.issuer}`];
  return buildReport({
    kind: "file",
    target,
    at: new Date(evidence.atMs).toISOString(),
    policy: rulesOf(policy).name,
    trust: [...identity, ...anchorLines(policy)],
    claims: claimsOf(evidence),
    required: requiredOf(fileChecks, outcomes),
    outcomes,
  });
}

function claimsOf({ question, statement, signers }: FileEvidence): Readonly<Record<string, string>> {
  const by = signers.state === "found" ? signers.value.counted.map(({ key }) => key.fingerprint) : [];
  return {
    sha256: question.sha256,
    ...(statement?.state === "found" && {
      type: statement.value.predicateType,
      about: statement.value.subject.map(({ name, digest }) => name ?? digest.sha256 ?? "-").join(", "),
    }),
    ...(by.length > 0 && { signers: by.join(", ") }),
  };
}
