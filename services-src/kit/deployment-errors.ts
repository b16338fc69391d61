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
