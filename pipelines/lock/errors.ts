import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const lockErrors = {
  LOCK_MISSING: { exit: 2, meaning: "The recipe has no lock yet.", fix: "Make one with `secai lock update RECIPE`." },
  LOCK_MALFORMED: {
    exit: 2,
    meaning: "A lock file is not what `secai lock update` writes.",
    fix: "Restore it from version control, or make it anew with `secai lock update RECIPE`.",
  },
  LOCK_STALE: {
    exit: 2,
    meaning: "The lock does not belong to the recipe as it is now.",
    fix: "Renew it with `secai lock update RECIPE`.",
  },
  LOCK_UNRESOLVED: {
    exit: 3,
    meaning: "The lock says of images or packages that nobody has resolved them yet: there is nothing to build from.",
    fix: "Run `secai lock update RECIPE` on a machine that reaches the registries and repositories, and commit the result.",
  },
  LOCK_IMAGE_UNSIGNED: {
    exit: 1,
    meaning: "No signature by the key that the recipe names is attached to an image.",
    fix: "Compare the key with the one that upstream publishes; do not go on without a signature.",
  },
  LOCK_KERNEL_MISMATCH: {
    exit: 1,
    meaning: "Prebuilt kernel modules are for another kernel than the base image's.",
    fix: "Run the command again when upstream has published modules for this kernel.",
  },
  LOCK_SIGNATURE_INVALID: {
    exit: 1,
    meaning: "An archive's release file, a repository's index or a package is not what its signers signed.",
    fix: "Use another mirror; if that does not help, the archive itself is in trouble: do not go on.",
  },
  LOCK_SIGNER_UNKNOWN: {
    exit: 1,
    meaning: "An archive's release file is signed by none of the keys in the keyring.",
    fix: "Upgrade the package debian-archive-keyring, or name a keyring with --keyring FILE.",
  },
  LOCK_ARCHIVE_EXPIRED: {
    exit: 1,
    meaning: "An archive's release file is older than it may be: somebody may be holding back updates.",
    fix: "Use another mirror, and check this machine's clock.",
  },
  LOCK_ARCHIVE_MALFORMED: {
    exit: 1,
    meaning: "A file of the archive cannot be read, or is not the one its release file lists.",
    fix: "Use another mirror, or try again: the mirror may be in the middle of an update.",
  },
  LOCK_ARCHIVE_MISSING: {
    exit: 3,
    meaning: "A mirror does not have the suite or the index that the recipe names.",
    fix: "Check base.archives of the recipe, or use another mirror.",
  },
  LOCK_PACKAGE_UNKNOWN: {
    exit: 2,
    meaning: "The recipe asks for packages that no archive offers.",
    fix: "Correct the names in the recipe.",
  },
  LOCK_UNRESOLVABLE: {
    exit: 2,
    meaning: "apt finds no set of packages that satisfies the recipe.",
    fix: "Change the packages that the message names.",
  },
  LOCK_DRIFT_REFUSED: {
    exit: 1,
    meaning: "Locked packages have left every mirror, and a release is made from its lock or not at all.",
    fix: "Name a snapshot mirror in SECAI_SNAPSHOTS, or renew the lock with `secai lock update RECIPE`, test, and commit it.",
  },
} as const satisfies Catalogue;

export type LockErrorCode = keyof typeof lockErrors;

/** A lock, or the archive it is made from, that cannot be relied on. */
export class LockError extends CodedError<LockErrorCode> {
  constructor(code: LockErrorCode, detail?: ErrorDetail) {
    super(code, lockErrors[code], detail);
  }
}
