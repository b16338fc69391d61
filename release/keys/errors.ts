import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const keysErrors = {
  KEYS_USAGE: { exit: 2, meaning: "The keys command was asked for something it does not do.", fix: "See `secai keys --help`." },
  KEY_SET_INCOMPLETE: {
    exit: 3,
    meaning: "A key that a key manifest must name is not in the keys directory.",
    fix: "Make the development keys with `secai image`, or put the missing file back.",
  },
  KEY_SET_EXISTS: {
    exit: 2,
    meaning: "The keys directory has a key manifest already, so there is nothing to begin.",
    fix: "Change it with `secai keys rotate ROLE`, or name another directory in SECAI_KEYS.",
  },
  KEY_SET_DISAGREES: {
    exit: 1,
    meaning: "A key file is not one that the key manifest names for its role.",
    fix: "Run `secai keys status`; put the named key back, or record a new one with `secai keys rotate ROLE --apply`.",
  },
  KEY_SET_BROKEN: {
    exit: 1,
    meaning: "The key manifests in the keys directory are no chain in which each is signed by the one before.",
    fix: "Restore keys.json and history/ from a backup; nothing was changed.",
  },
  KEY_SET_BUSY: {
    exit: 3,
    meaning: "Another process changes the keys directory.",
    fix: "Wait for it to end and try again.",
  },
  KEY_UNKNOWN: {
    exit: 2,
    meaning: "No key of the current manifest has this fingerprint.",
    fix: "Run `secai keys status` and use a fingerprint from it, whole or its first 16 digits.",
  },
  KEYS_ROOT_SHORT: {
    exit: 3,
    meaning: "Too few private root keys are at hand to sign the next key manifest.",
    fix: "Put the files of more root keys into the keys directory for as long as this takes.",
  },
  KEYS_REHEARSAL_FAILED: {
    exit: 1,
    meaning: "The change was tried on a copy and verifiers would not follow it, so nothing was changed.",
    fix: "Read the named step; run `secai keys status` and mend what it says first.",
  },
} as const satisfies Catalogue;

/** The keys directory does not hold what is needed or asked for; it is as it was. */
export class KeysError extends CodedError<keyof typeof keysErrors> {
  constructor(code: keyof typeof keysErrors, detail?: ErrorDetail) {
    super(code, keysErrors[code], detail);
  }
}
