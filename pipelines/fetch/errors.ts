import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";
import type { FetchFile } from "../step.ts";

export const fetchErrors = {
  FETCH_MIRROR_UNKNOWN: {
    exit: 2,
    meaning: "There is no mirror for an archive that files are locked in.",
    fix: "Name one with --mirror ARCHIVE=URL or in SECAI_MIRRORS.",
  },
  FETCH_UNREACHABLE: {
    exit: 3,
    meaning: "No mirror answered, after several tries.",
    fix: "Check the network, the proxy (http_proxy, https_proxy, no_proxy) and the mirror; then run the command again: it resumes.",
  },
  FETCH_STATUS: {
    exit: 3,
    meaning: "A mirror answered with a status that is neither success nor absence.",
    fix: "Run the command again, or name another mirror with --mirror ARCHIVE=URL.",
  },
  FETCH_REDIRECT: {
    exit: 3,
    meaning: "A mirror redirects too often, or to a place that is not HTTP.",
    fix: "Name another mirror with --mirror ARCHIVE=URL.",
  },
  FETCH_REGISTRY_REFUSED: {
    exit: 3,
    meaning:
      "A container registry does not give out what should be public, or asks for leave in a way that is not the protocol's.",
    fix: "Check the repository in the recipe, or name a mirror with --mirror REGISTRY=URL.",
  },
  FETCH_TOO_LARGE: {
    exit: 1,
    meaning: "A mirror sends more bytes than the lock says the file has.",
    fix: "Name another mirror with --mirror ARCHIVE=URL; nothing of this file was kept.",
  },
  FETCH_TRUNCATED: {
    exit: 3,
    meaning: "A connection ended before the whole file had come.",
    fix: "Run the command again: it resumes.",
  },
  FETCH_HASH_MISMATCH: {
    exit: 1,
    meaning: "A mirror sends other bytes than the lock says.",
    fix: "Name another mirror with --mirror ARCHIVE=URL; the bad file was not kept.",
  },
  LOCK_PACKAGE_GONE: {
    exit: 3,
    meaning: "Locked packages have left every mirror.",
    fix: "Name a snapshot mirror in SECAI_SNAPSHOTS, or renew the lock with `secai lock update`.",
  },
} as const satisfies Catalogue;

export type FetchErrorCode = keyof typeof fetchErrors;

/** A file that could not be had, or should not be kept. */
export class FetchError extends CodedError<FetchErrorCode> {
  constructor(code: FetchErrorCode, detail?: ErrorDetail) {
    super(code, fetchErrors[code], detail);
  }
}

/** Locked files that no mirror has any more. */
export class PackagesGoneError extends FetchError {
  readonly files: readonly FetchFile[];

  constructor(files: readonly FetchFile[]) {
    const names = files.map(({ name }) => name);
    const shown = names.length > 10 ? [...names.slice(0, 10), `and ${names.length - 10} more`] : names;
    super("LOCK_PACKAGE_GONE", { expected: "every locked package on some mirror", actual: `none has ${shown.join(", ")}` });
    this.files = files;
  }
}
