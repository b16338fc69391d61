import type { CodeEntry } from "./check-codes.ts";

const ANCHOR = "Compare what you trust with what the publisher announces outside the release.";
const FETCH = "Fetch the release again from its publisher; if that does not help, do not use it.";
const NEWER = "Fetch the publisher's newest release.";

/** Codes of trust.ts, trust-signers.ts and trust-channel.ts. Released codes keep their meaning: scripts compare them. */
export const trustCodes = {
  TRUST_NO_ANCHOR: { meaning: "No key that you trust stands behind any key manifest of the release.", fix: ANCHOR },
  TRUST_NO_MANIFEST: { meaning: "There is no key manifest.", fix: FETCH },
  TRUST_THRESHOLD: {
    meaning: "Fewer root keys signed a key manifest than it, its predecessor or your policy asks for.",
    fix: FETCH,
  },
  TRUST_CHAIN_BROKEN: { meaning: "A key manifest does not follow from the one before it.", fix: FETCH },
  TRUST_VERSION_GAP: {
    meaning: "A key manifest between the one you trust and the current one is missing or there twice.",
    fix: FETCH,
  },
  TRUST_ROLLBACK: { meaning: "The release's key manifest is older than the one you know already.", fix: NEWER },
  TRUST_FORK: { meaning: "There are two key manifests of one version: yours and another.", fix: ANCHOR },
  TRUST_UNREVOKED: { meaning: "A key that was revoked once is not revoked any more.", fix: FETCH },
  TRUST_LINK_NAME: { meaning: "A key manifest lies under the name of another version.", fix: FETCH },
  TRUST_STATEMENT: { meaning: "A signature beside a key manifest is about something else.", fix: FETCH },
  KEY_REVOKED: { meaning: "A key was revoked: nothing that it signed counts, whenever that was.", fix: ANCHOR },
  KEY_EXPIRED: { meaning: "A key was used after its time.", fix: NEWER },
  KEY_NOT_YET_VALID: {
    meaning: "A key was used before its time.",
    fix: "Check the clock of this machine, then fetch the release again.",
  },
  KEY_ROLE: { meaning: "A key of another role signed.", fix: FETCH },
  KEY_REPEATED: { meaning: "A key signed twice; it counts once.", fix: FETCH },
  CHANNEL_EXPIRED: {
    meaning: "The channel file is past its day: a newer release may be kept from you (freeze).",
    fix: NEWER,
  },
  CHANNEL_FROM_FUTURE: {
    meaning: "The channel file was issued later than this machine's clock says it is.",
    fix: "Check the clock of this machine.",
  },
  CHANNEL_SEQUENCE_OLD: { meaning: "You have seen a newer channel file (rollback).", fix: NEWER },
  CHANNEL_VERSION_OLD: { meaning: "The release is older than you or its publisher still accept (rollback).", fix: NEWER },
  CHANNEL_OTHER: { meaning: "The channel file is of another channel than the release.", fix: FETCH },
  CHANNEL_OTHER_RELEASE: { meaning: "The channel file names another release, image or root file system.", fix: FETCH },
  CHANNEL_KEYS_OTHER: {
    meaning: "The channel file names another key manifest than the one that was found trustworthy.",
    fix: FETCH,
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;
export type TrustCode = keyof typeof trustCodes;

/** Why something does not count. Besides the codes above it can have those of parsers. */
export interface Refusal {
  readonly code: string;
  readonly expected: string;
  readonly actual: string;
}

/** A refusal with one of our own codes. */
export const refusal = (
  code: TrustCode | "THRESHOLD_SHORT" | "KEY_UNTRUSTED" | "PAYLOADS_DIFFER" | "SIGNATURE_INVALID",
  expected: string,
  actual: string,
): Refusal => ({ code, expected, actual });
