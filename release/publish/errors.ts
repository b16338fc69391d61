import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const publishErrors = {
  PUBLISH_USAGE: {
    exit: 2,
    meaning: "Publishing was asked for in a way it does not know.",
    fix: "See `secai release publish --help`.",
  },
  PUBLISH_DEV_REFUSED: {
    exit: 1,
    meaning: "A development release was to be shown to everybody.",
    fix: "Promote a release first (`secai release promote`), or say --allow-dev if you mean it.",
  },
  PUBLISH_FILE_TOO_LARGE: {
    exit: 1,
    meaning: "A file is larger than the target takes (2 GiB for each file of a GitHub release).",
    fix: "Publish without that medium (--without FILE, file moved away), or to an OCI layout.",
  },
  PUBLISH_NAME_AMBIGUOUS: {
    exit: 1,
    meaning: "A file name cannot be written as a flat asset name and read back.",
    fix: "Publish to a directory or an OCI layout.",
  },
  PUBLISH_FILE_CHANGED: {
    exit: 1,
    meaning: "A file changed between its verification and its publication.",
    fix: "See that nothing else changes the directory, then run the command again.",
  },
  PUBLISH_TARGET_DIFFERS: {
    exit: 1,
    meaning: "The target exists and holds something else; nothing is ever overwritten.",
    fix: "Choose another target, or look at what is there.",
  },
  PUBLISH_TARGET_FAILED: {
    exit: 3,
    meaning: "The target could not be written.",
    fix: "See that its folder exists, is yours and has room.",
  },
  PUBLISH_SOURCE_MALFORMED: {
    exit: 1,
    meaning: "What was to be turned back into a release directory is not one that was published so.",
    fix: "Fetch it again, whole and unchanged.",
  },
  PUBLISH_TOKEN_MISSING: {
    exit: 2,
    meaning: "No token for GitHub was given.",
    fix: "Set GITHUB_TOKEN, or hand it over with --token-fd N; it needs write access to the repository's contents.",
  },
  PUBLISH_NOT_ALLOWED: {
    exit: 2,
    meaning: "GitHub does not know the repository or does not let this token write to it.",
    fix: "Check OWNER/REPO and that the token may write to the repository's contents.",
  },
  PUBLISH_RELEASE_AMBIGUOUS: {
    exit: 1,
    meaning: "GitHub has several releases under one tag.",
    fix: "Remove the drafts that are not meant, by hand.",
  },
  PUBLISH_ALREADY_PUBLISHED: {
    exit: 1,
    meaning: "The tag's release is public already and lacks files; a public release is never changed.",
    fix: "Publish a new version.",
  },
  PUBLISH_ASSET_DIFFERS: {
    exit: 1,
    meaning: "GitHub holds other bytes under the name of a file of this release; they are never overwritten.",
    fix: "Look at the asset; remove it by hand if it is a mistake, then run the command again.",
  },
  PUBLISH_ASSET_FOREIGN: {
    exit: 1,
    meaning: "The release on GitHub has a file that is not of this release.",
    fix: "Remove the asset by hand if it is a mistake.",
  },
  PUBLISH_UPLOAD_URL_FOREIGN: {
    exit: 1,
    meaning: "GitHub's answer would send the token to another host.",
    fix: "Check --github-api; report this if it is right.",
  },
  PUBLISH_RATE_LIMITED: {
    exit: 3,
    meaning: "GitHub asks to wait longer than this command waits.",
    fix: "Run the command again later; it goes on where it stopped.",
  },
  PUBLISH_UNAVAILABLE: {
    exit: 3,
    meaning: "GitHub could not be reached or kept failing.",
    fix: "Run the command again; it goes on where it stopped.",
  },
  PUBLISH_INTERRUPTED: {
    exit: 3,
    meaning: "Publishing was interrupted: a directory or layout is not there at all, a draft on GitHub holds what was sent.",
    fix: "Run the command again; on GitHub it goes on where it stopped.",
  },
  PUBLISH_REFUSED: {
    exit: 3,
    meaning: "GitHub refused a request.",
    fix: "Read GitHub's message; run the command again when it is mended.",
  },
} as const satisfies Catalogue;
export type PublishCode = keyof typeof publishErrors;

/** A release was not, or not wholly, published. */
export class PublishError extends CodedError<PublishCode> {
  constructor(code: PublishCode, detail?: ErrorDetail) {
    super(code, publishErrors[code], detail);
  }
}
