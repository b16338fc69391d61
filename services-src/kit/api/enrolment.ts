import { type Static, Type } from "@sinclair/typebox";
import { Count, closed, Digest, Instant, Line } from "./common.ts";

// What the enrolment of a machine leaves behind: its profile, which the attestor goes by and the updater looks at, and the folder of signed
// statements beside it.

/** Largest profile.json, in bytes. */
export const MAX_PROFILE_BYTES = 64 * 1024;
/** Largest statement about measured boot, in bytes: the attestor reads no larger one. */
export const MAX_STATEMENT_BYTES = 256 * 1024;
/** Two for each release that a machine ever had would be few. With more, the attestor says that it cannot read them. */
export const MAX_STATEMENTS = 128;
/** Files of other names in the folder are no statements. */
export const STATEMENT_SUFFIX = ".sigstore.json";
const MAX_STATEMENT_KEYS = 8;
const Pem = Type.String({
  pattern: "^-----BEGIN PUBLIC KEY-----\\n[A-Za-z0-9+/=\\n]+-----END PUBLIC KEY-----\\n$",
  maxLength: 4096,
});

export const EvaluationProfile = Type.Object({ version: Type.Literal(2), mode: Type.Literal("evaluation") }, closed);

/** What a machine showed when its owner enrolled it, and whose statements may change it. */
export const HardwareProfile = Type.Object(
  {
    version: Type.Literal(2),
    mode: Type.Literal("hardware"),
    /** SHA-256 of the attestation key's SubjectPublicKeyInfo, as `secai verify` prints it. */
    ak_fingerprint: Digest,
    /** The key that signs the PCR 11 values in a kernel image. */
    pcr_public_key: Pem,
    /** Whose measured-boot statements count. With at least one, the running root must have a statement. */
    statement_keys: Type.Array(Pem, { maxItems: MAX_STATEMENT_KEYS }),
    /** 7 and 12 always; 4 and 9 hold only where there is no statement. */
    pinned_pcrs: Type.Object({ "7": Digest, "12": Digest, "4": Type.Optional(Digest), "9": Type.Optional(Digest) }, closed),
    /** The one addon in the ESP that the owner accepted, if there is one. */
    addon: Type.Union([Type.Null(), Type.Object({ authenticode: Digest, command_line: Line(4096) }, closed)]),
    /** The kernel's, at enrolment: holds only where there is no statement. */
    command_line: Line(4096),
    enrolled_deployment: Type.String({ pattern: "^sha256:[0-9a-f]{64}$" }),
    enrolled_at: Instant,
    /** Of the TPM at enrolment: it only ever grows, until somebody clears the TPM. */
    tpm_reset_count: Count,
  },
  closed,
);

export type HardwareProfile = Static<typeof HardwareProfile>;
export type Profile = HardwareProfile | Static<typeof EvaluationProfile>;
