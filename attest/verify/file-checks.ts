import { isDeepStrictEqual } from "node:util";
import { parseJson } from "@secai/formats/canonical-json";
import { MAX_PAYLOAD_BYTES } from "@secai/formats/dsse";
import { about, type Check, type CheckResult, fail, notPresent, pass, undecided } from "./check.ts";
import { SIGNER_CODES } from "./check-codes.ts";
import type { AnyStatement, FileEvidence, FileQuestion } from "./file-evidence.ts";
import { derive, found, given, when } from "./found.ts";
import { thresholdRefusal } from "./trust-signers.ts";

export type FileCheck = Check<FileEvidence, undefined>;

const bundleCheck: FileCheck = {
  id: "file.bundle",
  title: "The bundle is a Sigstore bundle that this verifier understands whole",
  asks: "Whether each bundle is of version 0.1 to 0.3 and holds nothing that is not understood.",
  codes: ["BUNDLE_MISSING"],
  run: ({ bundles }) =>
    bundles.length === 0
      ? undecided("BUNDLE_MISSING", "no bundle beside the file; name one with --bundle")
      : bundles.map(({ name, bundle }) =>
          about(
            name,
            when(bundle, () => pass),
          ),
        ),
};

const signatureCheck: FileCheck = {
  id: "file.signature",
  title: "Somebody you trust signed it",
  asks: "Whether a key that you trust (--key), or that has the role in your key manifest (--key-manifest), or the identity you name (--trusted-root, --identity, --issuer) made a signature of the bundle.",
  codes: [
    ...SIGNER_CODES,
    "KEYLESS_EVIDENCE_MISSING",
    "KEYLESS_EVIDENCE_INVALID",
    "KEYLESS_IDENTITY_WRONG",
    "KEY_UNAVAILABLE",
    "SIGNATURE_UNCOUNTED",
    "FILE_TOO_LARGE",
    "BUNDLE_MISSING",
  ],
  run: ({ signers, bundles }) => {
    if (bundles.every(({ bundle }) => bundle.state !== "found")) return undecided("BUNDLE_MISSING", "no bundle can be read");
    return when(signers, ({ payload, uncounted }) => {
      const [why] = uncounted;
      if (payload !== undefined) return pass;
      return fail(why?.code ?? "SIGNATURE_INVALID", why?.expected ?? "a signature that counts", why?.actual ?? "none");
    });
  },
};

const thresholdCheck: FileCheck = {
  id: "file.threshold",
  title: "As many keys signed it as you ask for",
  asks: "Whether the distinct keys that signed reach the threshold of their role in your key manifest, or of your policy. Bundles of further signers are found beside the file.",
  codes: ["THRESHOLD_SHORT", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: ({ keys, signers }) => {
    if (keys === undefined) return notPresent("an identity signed, not a number of keys");
    return given(keys, "the keys", (role) =>
      given(signers, "the signatures", (found) => {
        if (found.counted.length === 0) return undecided("EVIDENCE_UNUSABLE", "no signature counts");
        const short = thresholdRefusal(found, role);
        return short === undefined ? pass : fail(short.code, short.expected, short.actual);
      }),
    );
  },
};

const typeCheck: FileCheck = {
  id: "file.type",
  title: "The statement has the type that you expect",
  asks: "Whether the predicate type is the one of --type, compared whole. Not asked without --type.",
  codes: ["PREDICATE_MISMATCH", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: ({ statement, question: { predicateType } }) => {
    if (predicateType === undefined) return notPresent("no type was asked for");
    if (statement === undefined) return fail("PREDICATE_MISMATCH", predicateType, "a signature over the file, without statement");
    return given(statement, "the statement", (signed) =>
      signed.predicateType === predicateType ? pass : fail("PREDICATE_MISMATCH", predicateType, signed.predicateType),
    );
  },
};

const subjectCheck: FileCheck = {
  id: "file.subject",
  title: "What was signed is about this file",
  asks: "Whether the signature is over the file itself, or the signed statement names the file's digest among its subjects, says what the file says, or is the file. With --subject-of only the first counts: it must name the digest.",
  codes: ["SUBJECT_MISMATCH", "EVIDENCE_UNUSABLE"],
  run: ({ statement, signers, question }) =>
    given(signers, "the signatures", ({ payload }) => {
      if (payload === undefined) return undecided("EVIDENCE_UNUSABLE", "no signature counts");
      if (statement === undefined)
        return question.subjectOnly
          ? fail("SUBJECT_MISMATCH", "a statement about the file", "a signature without statement")
          : pass;
      return when(statement, (signed) => relation(signed, payload, question));
    }),
};

function relation(statement: AnyStatement, payload: Buffer, { sha256, bytes, subjectOnly }: FileQuestion): CheckResult {
  const digests = statement.subject.map(({ digest }) => digest.sha256 ?? "");
  if (digests.includes(sha256)) return pass;
  if (!subjectOnly && bytes !== undefined && (payload.equals(bytes) || isPredicate(statement, bytes))) return pass;
  return fail("SUBJECT_MISMATCH", sha256, digests.slice(0, 3).join(", "));
}

function isPredicate({ predicate }: AnyStatement, bytes: Buffer): boolean {
  const content = derive(found(bytes), (read) => parseJson(read, MAX_PAYLOAD_BYTES));
  return content.state === "found" && predicate !== undefined && isDeepStrictEqual(content.value, predicate);
}

/** All of them, in the order of the report. */
export const fileChecks: readonly FileCheck[] = [bundleCheck, signatureCheck, thresholdCheck, typeCheck, subjectCheck];
