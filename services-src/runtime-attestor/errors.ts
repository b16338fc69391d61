import { type Catalogue, CodedError, type ErrorDetail } from "@secai/kit/errors";

const TAKEN =
  "Treat the machine as taken: keep it as it is for whoever looks into it, and install it again from a verified release.";
const ENROL_AGAIN =
  "If the owner replaced or cleared it, enrol again at the machine's console; otherwise treat the machine as taken.";

/**
 * What an attestation can find beyond the checks that the verifier shares (`secai verify --explain` lists those), and why the attestor,
 * the enrolment program or the gate refuse.
 */
export const attestorErrors = {
  // findings
  AUDIT_FAILED: {
    exit: 3,
    meaning: "An attestation could not be recorded, so it counts as failed.",
    fix: "Free disk space on /var.",
  },
  FILE_COVERED: {
    exit: 1,
    meaning: "A bundle or policy file does not lie in the sealed root: something is mounted over it.",
    fix: "Find out who mounted it; a restart brings the sealed state back. Who could do this was root.",
  },
  GPU_CRITICAL: { exit: 1, meaning: "The GPU integrity watch gave its worst verdict.", fix: "Read the watch's findings." },
  LOCKDOWN_OFF: {
    exit: 1,
    meaning: "The kernel is not locked down although Secure Boot is expected.",
    fix: "Boot with Secure Boot on and without lsm= on the command line.",
  },
  OBSERVATION_FAILED: {
    exit: 3,
    meaning: "The machine's state could not be read.",
    fix: "Read the service's log for the reason.",
  },
  PCR_SIGNATURE: {
    exit: 1,
    meaning: "The enrolled key did not sign the kernel image's PCR 11, or the image brought no such signature.",
    fix: "Boot an image of the enrolled publisher, or give its signed statement to the machine.",
  },
  POLICY_DIGEST: {
    exit: 1,
    meaning: "The policy files are not those that this very root had before; a sealed root cannot change.",
    fix: "Find out who changed them; a restart brings the sealed state back. Who could do this was root.",
  },
  PROFILE_DOWNGRADE: {
    exit: 1,
    meaning: "The machine was enrolled with its TPM, and now its profile is gone or says evaluation.",
    fix: "Put the profile back or enrol again at the machine's console; if nobody took it away on purpose, treat the machine as taken.",
  },
  PROFILE_MALFORMED: {
    exit: 2,
    meaning: "The enrolment profile is not one, or contradicts itself.",
    fix: "Enrol again with secai-attestation-enrol; do not edit the file.",
  },
  SECURE_BOOT: { exit: 1, meaning: "Firmware says that Secure Boot is off, or says nothing.", fix: "Turn Secure Boot on." },
  SERVICE_CHANGED: { exit: 1, meaning: "A service bundle is not the one that the sealed manifest names.", fix: TAKEN },
  SERVICE_MANIFEST: { exit: 1, meaning: "The sealed service manifest is missing.", fix: "Boot the sealed image." },
  STATE_LOST: {
    exit: 1,
    meaning: "The attestor has an audit log but no state: what it remembered was removed.",
    fix: "Find out who removed it; the audit log has the counters of the TPM as they were.",
  },
  STATE_MALFORMED: {
    exit: 1,
    meaning: "The attestor's own state file was changed.",
    fix: "Find out who changed it; then remove the file, and the next start says that it is lost.",
  },
  STATEMENT_MISSING: {
    exit: 1,
    meaning: "No signed statement promises the root file system that runs.",
    fix: "Put measurements.json.sigstore.json of the release into the folder of statements.",
  },
  STATEMENT_UNTRUSTED: {
    exit: 1,
    meaning: "The statement about the running root was signed by none of the enrolled keys, or was changed.",
    fix: "Get the statement from the enrolled publisher; if the publisher changed, enrol again at the machine's console.",
  },
  TPM_CLOCK_BACK: {
    exit: 1,
    meaning: "The TPM's counters are behind what they were: it was cleared, replaced, or put back to an earlier state.",
    fix: ENROL_AGAIN,
  },
  // answers
  LEGACY_DISABLED: {
    exit: 2,
    meaning: "The keyed form of the answer is not configured.",
    fix: "Use /api/v1/attest, which is signed.",
  },
  REFRESH_RATE_LIMITED: {
    exit: 3,
    meaning: "The TPM is asked for more quotes than it can give.",
    fix: "Wait a few seconds and ask again, with a fresh nonce.",
  },
  // enrolment
  ENROL_ADDON: {
    exit: 1,
    meaning: "Something besides the kernel image was loaded from the ESP: an addon, a credential or an extension.",
    fix: "Remove it from the ESP; if it is one addon and yours, pass --accept-addon.",
  },
  ENROL_CONSOLE: {
    exit: 1,
    meaning: "Enrolling again takes somebody at the machine.",
    fix: "Log in at the machine's own console, not over SSH.",
  },
  ENROL_EXISTS: { exit: 1, meaning: "The machine is enrolled.", fix: "Use reenrol at the machine's console." },
  ENROL_MACHINE: {
    exit: 1,
    meaning: "The machine does not show what enrolment would pin.",
    fix: "Mend what the message names, restart, and enrol then.",
  },
  ENROL_USAGE: { exit: 2, meaning: "The command line cannot be understood.", fix: "See the usage." },
  // the gate
  GATE_CLOSED: {
    exit: 1,
    meaning: "The machine is not attested, so nothing else starts.",
    fix: "Look up the findings named below.",
  },
  GATE_SETTING: {
    exit: 2,
    meaning: "The gate's address or token is not one.",
    fix: "Use a numeric loopback address and a credential file.",
  },
} as const satisfies Catalogue;
export type AttestorCode = keyof typeof attestorErrors;

export class AttestorError extends CodedError<AttestorCode> {
  constructor(code: AttestorCode, detail?: ErrorDetail) {
    super(code, attestorErrors[code], detail);
  }
}
