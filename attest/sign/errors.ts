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
    meaning: "A private key file is not one P-256 or ML-DSA-65 key, in PKCS#8 PEM or encrypted as cosign does it.",
    fix: "Restore the key or make a new one.",
  },
  KEY_ENCRYPTED: {
    exit: 2,
    meaning: "A private key file is encrypted, and there is nobody to ask for its passphrase.",
    fix: "Run the command at a terminal, or hand the passphrase in with --passphrase-fd.",
  },
  KEY_PASSPHRASE_WRONG: {
    exit: 2,
    meaning: "The passphrase does not open the private key file, or the file was changed.",
    fix: "Try again; if the passphrase is right, restore the key file from its backup.",
  },
  KEY_EXISTS: {
    exit: 2,
    meaning: "There is a file already where a new private key should go.",
    fix: "Choose another place; a key is never overwritten.",
  },
  PASSPHRASE_UNAVAILABLE: {
    exit: 2,
    meaning: "No passphrase could be read from the terminal or the file descriptor.",
    fix: "Run the command at a terminal, or give a descriptor: --passphrase-fd 3 3< FILE.",
  },
  PASSPHRASE_MISMATCH: { exit: 2, meaning: "The two entries of a new passphrase differ.", fix: "Run the command again." },
  ALGORITHM_UNSUPPORTED: {
    exit: 3,
    meaning: "This Node cannot make keys or signatures of the algorithm.",
    fix: "Use Node 24, which `secai` brings.",
  },
  SIGNER_UNCLEAR: {
    exit: 2,
    meaning: "The options do not name exactly one signer.",
    fix: "Name a key file, a token with its key, or a signing configuration.",
  },
  PKCS11_TOOL_MISSING: {
    exit: 3,
    meaning: "pkcs11-tool, which speaks to tokens, cannot be run.",
    fix: "Install OpenSC (Debian: apt install opensc).",
  },
  PKCS11_FAILED: {
    exit: 3,
    meaning: "A token did not do what was asked: no such token or key, or its driver failed.",
    fix: "Compare with `pkcs11-tool --module MODULE --list-token-slots` and `--list-objects`.",
  },
  PKCS11_PIN_REFUSED: {
    exit: 2,
    meaning: "A token refused its PIN. Nothing was tried again, because a token locks itself after a few wrong ones.",
    fix: "Check the PIN before the next try.",
  },
  PKCS11_KEY_UNSUITABLE: {
    exit: 2,
    meaning: "A token's key is not of an algorithm that releases are signed with.",
    fix: "Use a P-256 key: pkcs11-tool --keypairgen --key-type EC:prime256v1.",
  },
  SIGNING_CONFIG_UNUSABLE: {
    exit: 2,
    meaning: "A signing configuration names no usable service: none is valid now, of a known version, at an https address.",
    fix: "Correct the signing configuration, or ask its operator for the current one.",
  },
  IDENTITY_TOKEN_UNAVAILABLE: {
    exit: 3,
    meaning: "No identity token could be had for a keyless signature.",
    fix: "Give one with --identity-token-fd, or run in a CI job that may request one (GitHub Actions: id-token: write).",
  },
  KEYLESS_FAILED: {
    exit: 3,
    meaning: "A service refused or failed while a keyless signature was made; nothing was signed.",
    fix: "Look at the service named by the code in the message; then run the command again with a new token.",
  },
  KEYLESS_TIMEOUT: {
    exit: 3,
    meaning: "The services did not finish a keyless signature in time; nothing was signed.",
    fix: "Run the command again when the services answer.",
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
