import { formatErrors } from "@secai/formats/errors";
import { measureErrors } from "@secai/measure/errors";
import { verifyFormatErrors } from "./format-errors.ts";
import { keylessErrors } from "./keyless-errors.ts";
import { type RuntimeCode, runtimeCodes } from "./runtime-codes.ts";
import { type TrustCode, trustCodes } from "./trust-codes.ts";

/** What a result's code means and what to do about it. Sentences for people. */
export interface CodeEntry {
  readonly meaning: string;
  readonly fix: string;
}

const FETCH = "Fetch the release again from its publisher; if that does not help, do not use it.";
const REPORT = "Do not use the release; tell its publisher: whoever made it contradicts themselves.";
const POLICY = "Get the release you meant, or change what your policy expects if that is what is wrong.";

/**
 * Every code that a check of a release or of a single file can give besides the errors of parsers (docs/errors.md). Released codes keep
 * their meaning: scripts compare them.
 */
export const checkCodes = {
  // what lies in the directory
  NAME_UNSAFE: { meaning: "A name could escape the directory or be mistaken for another.", fix: FETCH },
  NAME_LOOKS_ALIKE: { meaning: "Two names differ in letter case alone.", fix: FETCH },
  NOT_A_PLAIN_FILE: { meaning: "A link, device, pipe, socket or too deep a directory lies where a file belongs.", fix: FETCH },
  HARD_LINK: {
    meaning: "Two names are one file, so that a change to either changes both.",
    fix: "Copy the release with plain files.",
  },
  FILE_UNKNOWN: { meaning: "A file has no place in any release.", fix: "Move the file elsewhere and verify again." },
  FILE_TOO_LARGE: { meaning: "A file is larger than any genuine one of its kind.", fix: FETCH },
  FILE_UNREADABLE: {
    meaning: "A file cannot be read, or changed while it was.",
    fix: "Make it readable, let nobody write, verify again.",
  },
  DIRECTORY_EMPTY: { meaning: "A directory without files lies in the release.", fix: "Remove the directory and verify again." },
  TOO_MANY_FILES: { meaning: "There are more files than any release has.", fix: FETCH },
  FILE_UNLISTED: { meaning: "A file is there that the signed list does not name.", fix: FETCH },
  FILE_MISSING: {
    meaning: "A file that must be there is not.",
    fix: "Fetch the missing file, or leave media out with --without.",
  },
  DIGEST_MISMATCH: { meaning: "A file has other bytes than the signed list says.", fix: FETCH },
  MANIFEST_MISMATCH: { meaning: "A file has another role, size or digest than the manifest says.", fix: FETCH },
  BUNDLE_MISSING: { meaning: "A file that must be signed has no signature bundle.", fix: FETCH },
  // whom to trust
  KEY_UNTRUSTED: {
    meaning: "A key is not one that you trust.",
    fix: "Compare the fingerprint with the one its owner published elsewhere.",
  },
  KEY_UNAVAILABLE: { meaning: "You named a fingerprint, and no key with it is at hand.", fix: "Pass the key itself with --key." },
  THRESHOLD_SHORT: {
    meaning: "Fewer distinct trusted keys signed than their role needs.",
    fix: "Get the release with all of its signatures.",
  },
  SIGNATURE_UNCOUNTED: { meaning: "A signature bundle holds no signature that counts.", fix: FETCH },
  PAYLOADS_DIFFER: { meaning: "Two signers of one file signed different statements.", fix: REPORT },
  EVIDENCE_UNUSABLE: { meaning: "Another check refuses what this one needs.", fix: "Look at the other failures first." },
  STATEMENT_REQUIRED: { meaning: "Your policy requires a statement that the release does not have.", fix: POLICY },
  // values that must agree
  VALUE_MISMATCH: { meaning: "Two places of the release name different values for one thing.", fix: REPORT },
  DESIGNATION_REFUSED: { meaning: "The release is for somebody else: dev for its builder, candidate for testers.", fix: POLICY },
  DRIFT_REFUSED: { meaning: "Locked packages were replaced by newer ones, which only dev builds may.", fix: REPORT },
  VERSION_REFUSED: { meaning: "This is another version than the one you asked for or at least need.", fix: POLICY },
  // statements
  STATEMENT_DIFFERS: { meaning: "The signed statement is not the file beside it.", fix: FETCH },
  SUBJECT_MISSING: { meaning: "A statement does not speak of a file that it must name.", fix: REPORT },
  SUBJECT_UNKNOWN: { meaning: "A statement speaks of a file that the release does not have.", fix: FETCH },
  SUBJECT_MISMATCH: { meaning: "A statement speaks of another file by the same name.", fix: FETCH },
  PREDICATE_MISMATCH: { meaning: "A statement says something else, or something of another type, than its file.", fix: FETCH },
  // provenance
  BUILDER_UNTRUSTED: { meaning: "A builder made it that you do not trust.", fix: POLICY },
  SOURCE_UNTRUSTED: { meaning: "It was built from another recipe, commit or repository than your policy allows.", fix: POLICY },
  WORKFLOW_UNTRUSTED: { meaning: "Another workflow built it than your policy allows.", fix: POLICY },
  DEPENDENCY_MISSING: { meaning: "Something went into the image that the provenance does not name.", fix: REPORT },
  DEPENDENCY_IS_OUTPUT: { meaning: "The provenance names one of its own outputs as an input.", fix: REPORT },
  // boot
  PREDICTION_MISMATCH: { meaning: "The PCR values promised are not those that these boot files and keys give.", fix: REPORT },
  CERTIFICATE_MISMATCH: { meaning: "A Secure Boot certificate is not the one the measurements name.", fix: FETCH },
  // contents
  SBOM_UNPAIRED: { meaning: "A service has no SBOM, or an SBOM no service.", fix: FETCH },
  SBOM_SUBJECT_MISMATCH: { meaning: "An SBOM describes another service, or another build of it.", fix: REPORT },
  SBOM_PACKAGES_DIFFER: { meaning: "SBOM and baseline name different packages.", fix: REPORT },
  SBOM_XML_DIFFERS: { meaning: "The XML form of the SBOM names other components than the JSON form.", fix: REPORT },
  SERVICE_MISMATCH: { meaning: "The baseline and the release disagree about a service.", fix: REPORT },
  PORT_EXPOSED: { meaning: "A service listens beyond the machine where your policy does not expect it.", fix: POLICY },
  TEST_FAILED: {
    meaning: "A test of this very image did not pass.",
    fix: "Do not use the release; ask its publisher for a fixed one.",
  },
  TEST_OF_OTHER_IMAGE: { meaning: "A test result speaks of another image.", fix: FETCH },
  TEST_MISSING: { meaning: "A suite that your policy requires left no result.", fix: POLICY },
  ACCELERATOR_REFUSED: { meaning: "A suite ran under an accelerator that your policy does not accept.", fix: POLICY },
  SUITE_MISMATCH: { meaning: "A test result lies under the name of another suite.", fix: FETCH },
  VEX_OF_OTHER_PRODUCT: { meaning: "A VEX statement speaks of another product than this image.", fix: REPORT },
  VEX_EXPIRED: {
    meaning: "The reason why a vulnerability does not matter was good until a day that has passed.",
    fix: "Get a newer release, or judge the vulnerability yourself.",
  },
  VEX_DIFFERS: { meaning: "The two VEX documents say different things.", fix: REPORT },
  KEYLIME_DIFFERS: { meaning: "The Keylime reference state promises other values than the measurements.", fix: REPORT },
  // media
  OCI_BLOB_MISSING: { meaning: "The OCI layout lacks a blob that it names.", fix: FETCH },
  OCI_BLOB_MISMATCH: { meaning: "A blob has another digest or size than its name or its descriptor says.", fix: FETCH },
  OCI_BLOB_UNUSED: { meaning: "The OCI layout holds a blob that nothing in it names.", fix: FETCH },
  OCI_UNREADABLE: { meaning: "The index of the OCI layout, or a manifest that it names, cannot be read.", fix: FETCH },
  OCI_BUNDLE_MISSING: { meaning: "Too few keys signed the OCI image with a bundle that refers to it.", fix: FETCH },
  OCI_BUNDLE_INVALID: {
    meaning: "A bundle that refers to the OCI image is not by a key that may sign it, or about another.",
    fix: FETCH,
  },
  OCI_LEGACY_MISSING: { meaning: "Too few keys signed the OCI image in the form that container engines read.", fix: FETCH },
  OCI_LEGACY_INVALID: {
    meaning: "A signature attached to the OCI image is not by a key that may sign it, or about another.",
    fix: FETCH,
  },
  OCI_ATTACHMENT_STRAY: { meaning: "Something in the OCI layout is attached to an image that is not in it.", fix: FETCH },
  MEDIUM_MISMATCH: { meaning: "A medium says that it installs another image.", fix: FETCH },
} as const satisfies Readonly<Record<string, CodeEntry>>;
export type CheckCode =
  | keyof typeof checkCodes
  | keyof typeof verifyFormatErrors
  | keyof typeof keylessErrors
  | TrustCode
  | RuntimeCode;

/** Why a signature does not count. */
export const SIGNER_CODES = ["KEY_UNTRUSTED", "KEY_REVOKED", "KEY_EXPIRED", "KEY_NOT_YET_VALID", "KEY_ROLE"] as const;

/** What a code means, wherever it is catalogued. */
export function codeEntry(code: string): CodeEntry | undefined {
  const all: Readonly<Record<string, CodeEntry>> = {
    ...formatErrors,
    ...measureErrors,
    ...verifyFormatErrors,
    ...keylessErrors,
    ...trustCodes,
    ...checkCodes,
    ...runtimeCodes,
  };
  return Object.hasOwn(all, code) ? all[code] : undefined;
}
