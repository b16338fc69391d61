import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

/** Why a deployment of a bootc machine is not ours, or an update is not staged. */
export const deploymentErrors = {
  DEPLOYMENT_STATUS: {
    exit: 3,
    meaning: "bootc does not say which deployments the machine has, or not in its own format.",
    fix: "Run bootc status as root and look at what it says.",
  },
  DEPLOYMENT_POLICY: {
    exit: 3,
    meaning: "The machine's policy for container images does not name one repository that it accepts.",
    fix: "Boot the other deployment; the policy is part of the image.",
  },
  DEPLOYMENT_FOREIGN: {
    exit: 1,
    meaning: "A deployment is not an image of the repository that the policy accepts.",
    fix: "Stage a release with secai-update, or roll back.",
  },
  DEPLOYMENT_UNPINNED: {
    exit: 1,
    meaning:
      "A deployment follows a tag, which can mean another image tomorrow, or its digest is not the one that was asked for.",
    fix: "Stage a release with secai-update: it names the image by digest.",
  },
  DEPLOYMENT_UNSIGNED: {
    exit: 1,
    meaning: "A deployment was taken without asking for a signature.",
    fix: "Stage the same release with secai-update: it enforces the signature policy.",
  },
  UPDATE_RELEASE_REFUSED: {
    exit: 1,
    meaning: "The verifier did not accept the release directory.",
    fix: "Run secai-verify on it to see which check failed.",
  },
  UPDATE_NOT_NEWER: {
    exit: 1,
    meaning: "The release is not newer than the booted image; going back is what rollback is for.",
    fix: "Fetch a newer release, or use secai-update rollback.",
  },
  UPDATE_IMAGE_ABSENT: {
    exit: 1,
    meaning: "The release does not say which container image it is for this recipe.",
    fix: "Fetch the release again, with its OCI layout.",
  },
  UPDATE_ENROLMENT_UNREADABLE: {
    exit: 3,
    meaning: "The machine has an enrolment profile that cannot be read, so nobody can say what it needs to stay attested.",
    fix: "Run secai-attestation-enrol status; if the profile is damaged, enrol again at the machine's console.",
  },
  UPDATE_ROOT_UNKNOWN: {
    exit: 3,
    meaning:
      "The machine is enrolled, and its kernel command line names no root hash, so nobody can say which statements it needs.",
    fix: "Boot the enrolled, sealed image and stage the release then.",
  },
  UPDATE_STATEMENT_ABSENT: {
    exit: 1,
    meaning:
      "The machine takes only releases with a statement by its pinned keys, and this one carries none: it would not be attested after the restart.",
    fix: "Fetch the release again with measurements.json.sigstore.json; without one, enrol the machine again after an update by hand.",
  },
  UPDATE_STATEMENT_UNTRUSTED: {
    exit: 1,
    meaning: "None of the release's statements about measured boot is by a key that the machine's enrolment pinned.",
    fix: "Get the release from the enrolled publisher; if the publisher's key changed, enrol again at the machine's console.",
  },
  UPDATE_STATEMENT_FOREIGN: {
    exit: 1,
    meaning: "The release's statement about measured boot promises another root file system than its manifest.",
    fix: "Do not use the release; tell its publisher.",
  },
  UPDATE_STATEMENTS_UNUSABLE: {
    exit: 3,
    meaning: "The folder in which the attestor looks for statements cannot be written, or holds what nobody put there.",
    fix: "Free disk space on /var, look at what the message names, and stage the release again; nothing was staged.",
  },
  UPDATE_COMMAND_FAILED: {
    exit: 3,
    meaning: "bootc refused or could not finish; the booted deployment is as it was.",
    fix: "Read bootc's own words in the message.",
  },
  UPDATE_USAGE: {
    exit: 2,
    meaning: "secai-update was called with words it does not know.",
    fix: "Use booted, stage DIR --key-manifest FILE [--apply], or rollback [--apply].",
  },
} as const satisfies Catalogue;

export class DeploymentError extends CodedError<keyof typeof deploymentErrors> {
  constructor(code: keyof typeof deploymentErrors, detail?: ErrorDetail) {
    super(code, deploymentErrors[code], detail);
  }
}
