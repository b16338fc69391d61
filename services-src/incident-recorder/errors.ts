import { type Catalogue, CodedError, type ErrorDetail } from "@secai/kit/errors";

/** What clients are told (`status`), why the recorder does not start, and what containment can meet. */
export const recorderErrors = {
  ATTESTOR_UNAVAILABLE: {
    status: 503,
    exit: 3,
    meaning: "The runtime attestor gave no usable answer, so nothing can be recovered.",
    fix: "Look at the attestor's state and log, then ask again.",
  },
  CONTAINMENT_POLICY: {
    exit: 2,
    meaning: "A containment policy weakens what must hold whoever writes it.",
    fix: "Give the class named in the message at least its own severity, latch and actions.",
  },
  CONTAINMENT_RELOAD_FAILED: {
    status: 500,
    exit: 2,
    meaning: "The containment policy on disk was refused; the one that was in force still is.",
    fix: "Read the service's log, correct the file, reload again.",
  },
  FORENSIC_TOO_LARGE: {
    status: 503,
    exit: 3,
    meaning: "The forensic bundle would be larger than its readers accept.",
    fix: "Acknowledge resolved incidents, then export again.",
  },
  INCIDENT_TRANSITION: {
    status: 409,
    exit: 1,
    meaning: "An incident in this state cannot go into that one.",
    fix: "Resolve before acknowledging; a resolved incident stays resolved, and a new report opens a new one.",
  },
  INCIDENT_UNKNOWN: {
    status: 404,
    exit: 2,
    meaning: "There is no incident of that name.",
    fix: "List the incidents; acknowledged ones are given up when room is needed.",
  },
  MODEL_UNKNOWN: {
    exit: 1,
    meaning: "No model can be quarantined: the report names neither its path nor its name.",
    fix: "Send evidence.model_path and evidence.model_name; the other actions went on.",
  },
  RECOVERY_BUSY: {
    status: 409,
    exit: 3,
    meaning: "Containment of the incident has not come to a result yet.",
    fix: "Wait for it; the incident lists the results as they come.",
  },
  RECOVERY_REFUSED: {
    status: 409,
    exit: 1,
    meaning: "The attestation of this machine does not allow the recovery.",
    fix: "Read the attestor's findings, mend the machine, then attest again.",
  },
  RECOVERY_REQUIRED: {
    status: 409,
    exit: 1,
    meaning: "The incident's recovery ceremony is not complete.",
    fix: "Acknowledge it under a name, re-attest if it asks for that, and wait until every target is released.",
  },
  RECOVERY_UNNEEDED: {
    status: 409,
    exit: 2,
    meaning: "The incident asks for no such step.",
    fix: "Look at the recovery status; the incident may be resolved as it is.",
  },
  REPORTER_CLASS: {
    status: 403,
    exit: 1,
    meaning: "This reporter may not report incidents of that class.",
    fix: "Report through the service whose class it is.",
  },
  REPORTER_SOURCE: {
    status: 403,
    exit: 1,
    meaning: "The credential belongs to another reporter than the one that the report names.",
    fix: "Give each reporter its own credential.",
  },
  STORE_BROKEN: {
    exit: 1,
    meaning: "A record of the incident store does not follow the one before it: records were removed, repeated or exchanged.",
    fix: "Treat the machine as tampered with: keep the whole directory as evidence, then move it and its anchor aside to begin anew.",
  },
  STORE_DIRECTORY: {
    exit: 1,
    meaning: "The directory of the incident store is a link, is not ours or can be looked into by others.",
    fix: "Find out who changed it; put the genuine directory back, mode 0700.",
  },
  STORE_FILE: {
    exit: 1,
    meaning: "A file of the incident store is a link, is not ours or can be read by others.",
    fix: "Find out who changed it; put the genuine file back, mode 0600, with one name.",
  },
  STORE_FULL: {
    status: 507,
    exit: 3,
    meaning:
      "As many unresolved incidents of this reporter are kept as may; the report was counted, and its text must be sent again.",
    fix: "Resolve incidents; a reporter's outbox sends the report again by itself.",
  },
  STORE_MAC: {
    exit: 1,
    meaning: "A record of the incident store was not written with this machine's key, or was edited afterwards.",
    fix: "Treat the machine as tampered with: keep the whole directory as evidence, then move it and its anchor aside to begin anew.",
  },
  STORE_MISSING: {
    exit: 1,
    meaning: "A part of the incident store is gone although the others say that it existed.",
    fix: "Treat the machine as tampered with; restore the missing file, or move the rest (and the audit log) aside to begin anew.",
  },
  STORE_REPLACED: {
    exit: 1,
    meaning: "The snapshot of the incident store is genuine, but not the one that the store was last reduced to.",
    fix: "Treat the machine as tampered with: an older file was put back. Keep everything as evidence.",
  },
  STORE_TRUNCATED: {
    exit: 1,
    meaning: "The incident store ends before the last record that its anchor vouches for.",
    fix: "Treat the machine as tampered with: keep the whole directory as evidence, then move it and its anchor aside to begin anew.",
  },
  STORE_UNAVAILABLE: {
    status: 503,
    exit: 3,
    meaning: "The incident store cannot be written, so nothing is accepted.",
    fix: "Free disk space; the recorder tries again by itself.",
  },
  TARGET_ABSENT: {
    exit: 3,
    meaning: "What was to be contained is not there: nothing listens, or its directory is missing.",
    fix: "Start it, if it should run; the action is tried again until it succeeds or the incident is recovered.",
  },
  TARGET_ANSWER: {
    exit: 3,
    meaning: "What was to be contained did not confirm it in time or in the documented words.",
    fix: "Look at its state and log; the action is tried again.",
  },
  TARGET_REFUSED: {
    exit: 1,
    meaning: "What was to be contained refused.",
    fix: "Read its code in the message; a 401 or 403 means a wrong credential in a unit file. The action is tried again.",
  },
} as const satisfies Readonly<Record<string, Catalogue[string] & { readonly status?: number }>>;

export type RecorderErrorCode = keyof typeof recorderErrors;

export class RecorderError extends CodedError<RecorderErrorCode> {
  /** HTTP status, for the errors that a client can meet. */
  readonly status: number | undefined;
  constructor(code: RecorderErrorCode, detail?: ErrorDetail) {
    super(code, recorderErrors[code], detail);
    const entry: Catalogue[string] & { readonly status?: number } = recorderErrors[code];
    this.status = entry.status;
  }
}
