import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const verifyErrors = {
  VERIFY_USAGE: { exit: 2, meaning: "The verifier was called in a way it does not know.", fix: "See `secai verify --help`." },
  TRUST_ROOT_MISSING: {
    exit: 2,
    meaning: "No key to trust was given, and this user has none of their own.",
    fix: "Pass --key FILE or --fingerprint HEX, as the publisher announced it outside the release.",
  },
  POLICY_MALFORMED: {
    exit: 2,
    meaning: "A policy file is not one: a member is missing, misspelt or has another type.",
    fix: "Compare it with `secai verify release --schema policy`.",
  },
  TRUST_MALFORMED: {
    exit: 2,
    meaning: "A key manifest that you gave to trust is none.",
    fix: "Fetch the publisher's keys.json again.",
  },
  CHECK_UNKNOWN: {
    exit: 2,
    meaning: "No check has this id.",
    fix: "See `secai verify release --explain list`.",
  },
  REPORT_UNWRITABLE: {
    exit: 2,
    meaning: "The report cannot be written where it was asked for, or not in that form.",
    fix: "Name a file that ends in .md, .html, .txt or .json, in a directory that you may write to.",
  },
  TARGET_MISSING: { exit: 2, meaning: "There is no such directory to verify.", fix: "Name the directory of a release." },
  TARGET_UNREADABLE: {
    exit: 3,
    meaning: "What is to be verified is there and cannot be read, or changed while it was read.",
    fix: "Copy it to where you may read it and nobody writes to it, and verify the copy.",
  },
  TRUST_KEY_UNUSABLE: {
    exit: 2,
    meaning: "A key that you gave to trust is not one public key of the kind that signs such a document.",
    fix: "Pass the public key itself, in PEM, as it was kept: incident-recorder-signing.pub for a forensic bundle.",
  },
} as const satisfies Catalogue;

/** The question was wrong; nothing was verified. */
export class VerifyError extends CodedError<keyof typeof verifyErrors> {
  constructor(code: keyof typeof verifyErrors, detail?: ErrorDetail) {
    super(code, verifyErrors[code], detail);
  }
}
