import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const releaseErrors = {
  RELEASE_INPUT_MISSING: {
    exit: 3,
    meaning: "A file that a release needs was not made.",
    fix: "Build the image again; its step log says why the file is not there.",
  },
  RELEASE_INPUT_CHANGED: {
    exit: 1,
    meaning: "A file is not the one that the build recorded.",
    fix: "Run `secai cache verify`, then build again.",
  },
  RELEASE_SELF_CHECK: {
    exit: 70,
    meaning: "A release that was just made does not verify, so it was thrown away.",
    fix: "Read the named checks; report this if the inputs are right.",
  },
  SIGNER_MISSING: {
    exit: 3,
    meaning: "No private key at hand may sign in a role that a release needs.",
    fix: "Run `secai keys status`; use the keys directory whose keys the manifest names.",
  },
  TEST_RESULT_FOREIGN: {
    exit: 1,
    meaning: "A suite's report is about another image than the release's.",
    fix: "Run the suite over this release: `make acceptance`.",
  },
  RELEASE_NOT_READY: {
    exit: 1,
    meaning: "Something stands between a release and the designation it was to get.",
    fix: "Run `secai release check DIR --for DESIGNATION` and mend what it names.",
  },
  REBUILD_SOURCES_DIFFER: {
    exit: 2,
    meaning: "The checkout does not hold the sources that a release was built from.",
    fix: "Check out the commit that the provenance names, then run the command again.",
  },
  RELEASE_USAGE: {
    exit: 2,
    meaning: "A release command was asked for something it does not do.",
    fix: "Run the command with --help.",
  },
} as const satisfies Catalogue;

/** A release was not made; the output directory is as it was. */
export class ReleaseError extends CodedError<keyof typeof releaseErrors> {
  constructor(code: keyof typeof releaseErrors, detail?: ErrorDetail) {
    super(code, releaseErrors[code], detail);
  }
}
