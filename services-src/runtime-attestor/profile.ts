import { parsePublicKey } from "@secai/formats/keys";
import { Count, closed, Digest, Instant, Line } from "@secai/kit/api/common";
import { CodedError } from "@secai/kit/errors";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import { addonPcr } from "@secai/measure/addon-pcrs";
import { ZERO_PCR } from "@secai/measure/pcr";
import { parsePcrKey } from "@secai/measure/pcr-signature";
import { type Static, Type } from "@sinclair/typebox";
import { AttestorError } from "./errors.ts";

/** Largest profile.json, in bytes. */
export const MAX_PROFILE_BYTES = 64 * 1024;
const MAX_STATEMENT_KEYS = 8;
const Pem = Type.String({
  pattern: "^-----BEGIN PUBLIC KEY-----\\n[A-Za-z0-9+/=\\n]+-----END PUBLIC KEY-----\\n$",
  maxLength: 4096,
});

const Evaluation = Type.Object({ version: Type.Literal(2), mode: Type.Literal("evaluation") }, closed);

/** What a machine showed when its owner enrolled it, and whose statements may change it. */
const Hardware = Type.Object(
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

export type HardwareProfile = Static<typeof Hardware>;
export type Profile = HardwareProfile | Static<typeof Evaluation>;
const evaluationShape = shape("evaluation profile", Evaluation);
const hardwareShape = shape("enrolment profile", Hardware);

/** What a machine without a profile has. */
export const EVALUATION: Profile = Object.freeze({ version: 2, mode: "evaluation" });

function malformed(actual: string, cause?: unknown): AttestorError {
  return new AttestorError("PROFILE_MALFORMED", { expected: hardwareShape.name, actual, cause });
}

/** @throws AttestorError PROFILE_MALFORMED */
export function parseProfile(bytes: Uint8Array): Profile {
  if (bytes.length > MAX_PROFILE_BYTES) throw malformed(`${bytes.length} bytes`);
  try {
    const value = parseStrictJson(bytes);
    if (evaluationShape.is(value)) return Object.freeze(value);
    if (hardwareShape.is(value)) return Object.freeze(consistent(value));
    const [problem] = hardwareShape.problems(value, 1);
    throw malformed(`${problem?.pointer}: ${problem?.message}`);
  } catch (cause) {
    if (cause instanceof AttestorError || !(cause instanceof CodedError)) throw cause;
    throw malformed(cause.actual ?? cause.code, cause);
  }
}

/** @throws AttestorError PROFILE_MALFORMED; FormatError, MeasureError for keys that are none */
function consistent(profile: HardwareProfile): HardwareProfile {
  parsePcrKey(profile.pcr_public_key);
  const keys = profile.statement_keys.map((pem) => parsePublicKey(Buffer.from(pem)).fingerprint);
  if (new Set(keys).size !== keys.length) throw malformed("a statement key twice");
  const { addon, pinned_pcrs } = profile;
  const expected = addon === null ? ZERO_PCR : addonPcr({ commandLine: addon.command_line });
  if (pinned_pcrs["12"] !== expected) throw malformed(`PCR 12 ${pinned_pcrs["12"]}, which the addon does not explain`);
  return profile;
}

export function printProfile(profile: Profile): string {
  return `${JSON.stringify(profile, null, 2)}\n`;
}
