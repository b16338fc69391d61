import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const silverblueErrors = {
  TAR_MALFORMED: {
    exit: 1,
    meaning: "A layer is not a tar archive that can be read in only one way.",
    fix: "Use another base image; a layer of a container engine is a plain POSIX or GNU archive.",
  },
  BASE_DIGEST_MISMATCH: {
    exit: 1,
    meaning: "A blob of an image does not have the digest or the size by which the image names it.",
    fix: "Remove the blob from the cache and fetch it again.",
  },
  BASE_MANIFEST_MALFORMED: {
    exit: 1,
    meaning: "The manifest or the configuration of an image does not have its shape, or names no single image for the platform.",
    fix: "Pin the digest of an image or an index for this platform in the lock.",
  },
  LAYER_UNSAFE: {
    exit: 1,
    meaning:
      "A layer or an overlay holds an entry that leads out of the root or lies where none may, or of a kind that no base image needs.",
    fix: "Do not use this image as a base; of an overlay, move the entry below /usr or /etc.",
  },
  IMAGE_UNPACK_INCOMPLETE: {
    exit: 3,
    meaning: "The file system here did not take everything that the image's files carry.",
    fix: "Build on a file system with extended attributes, or as root.",
  },
  TRANSACTION_MALFORMED: {
    exit: 2,
    meaning: "The list of packages to install and remove does not have its shape.",
    fix: "Make it from the lock with the plan's own steps.",
  },
  RPM_STORE_DIFFERS: {
    exit: 1,
    meaning: "The folder of packages is not exactly what the lock names: a file is missing, superfluous or has other bytes.",
    fix: "Fetch the packages again; when the lock is older than the recipe, run secai lock update.",
  },
  RPM_NEVRA_DIFFERS: {
    exit: 1,
    meaning: "A package calls itself something else than the lock does.",
    fix: "Run secai lock update and review what changed.",
  },
  RPM_DEPENDENCY_MISSING: {
    exit: 1,
    meaning: "The packages of the lock need something that neither they nor the base have, or somebody needs what is removed.",
    fix: "Run secai lock update: it resolves dependencies against this base.",
  },
  RPM_SCRIPT_REFUSED: {
    exit: 1,
    meaning: "A package has a script whose interpreter the root does not have.",
    fix: "Add the interpreter's package to the recipe, or leave the package out.",
  },
  RPM_FAILED: {
    exit: 1,
    meaning: "rpm refused the transaction, or a script of a package failed in it.",
    fix: "Read what rpm wrote above; then change the recipe or the lock.",
  },
  TRANSACTION_DIFFERS: {
    exit: 1,
    meaning: "After the transaction the root holds more or less than the base and the lock together.",
    fix: "Name what goes in remove, and what comes in the lock.",
  },
  REMOVED_PRESENT: {
    exit: 1,
    meaning:
      "Something that the recipe removes is in the image: as a package, or as a command that another package or an overlay brings.",
    fix: "Remove what brings it as well, or take it off the list with a reason.",
  },
  KERNEL_NOT_SINGLE: {
    exit: 1,
    meaning: "The image does not hold exactly one kernel.",
    fix: "Remove the other kernel in the recipe.",
  },
  POLICY_REFUSED: {
    exit: 1,
    meaning: "The policy for container images is not: reject everything but our repository, signed by our keys.",
    fix: "Use the policy that the plan makes; no base or overlay may bring another.",
  },
  KERNEL_ARGUMENT_REFUSED: {
    exit: 2,
    meaning: "A kernel argument is malformed, repeated, set by the installer itself, or weakens the machine.",
    fix: "Take it out of the recipe.",
  },
  UNIT_STATE_DIFFERS: {
    exit: 1,
    meaning: "A unit is not in the state that the recipe demands, or is on both lists.",
    fix: "Correct the preset file in image/silverblue, or the recipe's list.",
  },
  PROGRAM_ABSENT: {
    exit: 1,
    meaning: "A unit or script of an overlay calls a program of ours that the image does not have.",
    fix: "Add the program to the plan, or take out what calls it.",
  },
  UNIT_NAME_DIFFERS: {
    exit: 1,
    meaning: "A mount unit's file name is not the escaped form of its mount point; systemd would refuse it.",
    fix: "Name the file as `systemd-escape --path --suffix=mount` prints it.",
  },
  LAYER_NOT_CLEAN: {
    exit: 1,
    meaning: "A layer of ours holds a cache, a log, a package file, source code or another left-over of the build.",
    fix: "Find what wrote it in the log of the step, and stop it there.",
  },
  LINT_FAILED: {
    exit: 1,
    meaning: "The image breaks a rule without which it does not install or boot.",
    fix: "Correct what the message names.",
  },
} as const satisfies Catalogue;

/** An image, package or setting that must not become part of a Silverblue appliance. */
export class SilverblueError extends CodedError<keyof typeof silverblueErrors> {
  constructor(code: keyof typeof silverblueErrors, detail?: ErrorDetail) {
    super(code, silverblueErrors[code], detail);
  }
}
