import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const keysErrors = {
  KEY_SET_INCOMPLETE: {
    exit: 3,
    meaning: "A key that a key manifest must name is not in the keys directory.",
    fix: "Make the development keys with `secai image`, or put the missing file back.",
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
} as const satisfies Catalogue;

/** The keys directory does not hold what is needed; it is as it was. */
export class KeysError extends CodedError<keyof typeof keysErrors> {
  constructor(code: keyof typeof keysErrors, detail?: ErrorDetail) {
    super(code, keysErrors[code], detail);
  }
}
