import { type Catalogue, CodedError, type ErrorDetail } from "@secai/formats/errors";

export const signErrors = {
  KEY_MISSING: { exit: 3, meaning: "A signing key is not where it should be.", fix: "Run `secai keys init`, or set SECAI_KEYS." },
  KEY_EXPOSED: {
    exit: 2,
    meaning: "A private key can be read by others, belongs to somebody else or is not a plain file.",
    fix: "Run `chmod 600` on the key as its owner, and replace the key if others could have read it.",
  },
  KEY_UNUSABLE: {
    exit: 2,
    meaning: "A private key file is not one P-256 key in PKCS#8 PEM.",
    fix: "Restore the key or make a new one.",
  },
  SIGNATURE_UNVERIFIED: {
    exit: 70,
    meaning: "A signature that was just made does not verify.",
    fix: "Do not ship anything; report this with the output of `secai --version`.",
  },
} as const satisfies Catalogue;

/** Signing did not happen. */
export class SignError extends CodedError<keyof typeof signErrors> {
  constructor(code: keyof typeof signErrors, detail?: ErrorDetail) {
    super(code, signErrors[code], detail);
  }
}
