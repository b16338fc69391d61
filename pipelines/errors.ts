import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const pipelineErrors = {
  KEYS_NOT_MADE: {
    exit: 3,
    meaning: "The signing keys could not be made.",
    fix: "Check that openssl works and the keys folder can be written.",
  },
  KEYS_INCOMPLETE: {
    exit: 2,
    meaning: "The keys folder lacks a file.",
    fix: "Restore the folder from its backup, or move it away to have new keys made; machines enrolled with the old ones must enrol again.",
  },
  KEYS_EXPOSED: {
    exit: 2,
    meaning: "A private key can be read by others.",
    fix: "Run chmod 600 on the key, and consider replacing it.",
  },
  KEYS_MISMATCH: {
    exit: 2,
    meaning: "A private key does not belong to the public half beside it.",
    fix: "Restore both files from the same backup.",
  },
  SOURCE_MISSING: {
    exit: 2,
    meaning: "The plan names a file or folder that the repository does not have.",
    fix: "Correct the path in the recipe.",
  },
  COMMIT_UNKNOWN: {
    exit: 2,
    meaning: "An image that names the commit it was made from cannot be planned outside of a git checkout.",
    fix: "Work in a clone of the repository.",
  },
  PLAN_UNSUPPORTED: {
    exit: 2,
    meaning: "The recipe asks for something that this version cannot build.",
    fix: "Remove it from the recipe.",
  },
  PLAN_UNRESOLVED: { exit: 70, meaning: "A step refers to a source or program without a digest.", fix: "Report this as a bug." },
  TOOL_ROOT_UNKNOWN: {
    exit: 2,
    meaning: "The recipe has no tool root of that name.",
    fix: "Name one of the recipe's, or another recipe with --recipe.",
  },
  IMAGE_TOO_LARGE: {
    exit: 1,
    meaning: "The compressed image is larger than the recipe's budget.",
    fix: "Remove packages, or raise sizeBudgetMiB with a reason.",
  },
  EXPLAIN_NOT_FOUND: {
    exit: 1,
    meaning: "No step of the last build put that path into the image.",
    fix: "Give an absolute path of the image or a package name.",
  },
} as const satisfies Catalogue;

export class PipelineError extends CodedError<keyof typeof pipelineErrors> {
  constructor(code: keyof typeof pipelineErrors, detail?: ErrorDetail) {
    super(code, pipelineErrors[code], detail);
  }
}
