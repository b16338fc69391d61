import { parsePublicKey } from "@secai/formats/keys";
import {
  EvaluationProfile,
  HardwareProfile as Hardware,
  type HardwareProfile,
  MAX_PROFILE_BYTES,
  type Profile,
} from "@secai/kit/api/enrolment";
import { CodedError } from "@secai/kit/errors";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import { addonPcr } from "@secai/measure/addon-pcrs";
import { ZERO_PCR } from "@secai/measure/pcr";
import { parsePcrKey } from "@secai/measure/pcr-signature";
import { AttestorError } from "./errors.ts";

export type { HardwareProfile, Profile };
export { MAX_PROFILE_BYTES };

const evaluationShape = shape("evaluation profile", EvaluationProfile);
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
