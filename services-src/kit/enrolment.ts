import { EvaluationProfile, HardwareProfile, MAX_PROFILE_BYTES } from "./api/enrolment.ts";
import { DeploymentError } from "./deployment-errors.ts";
import { HttpError } from "./errors.ts";
import { exists, readBounded } from "./files.ts";
import { parseStrictJson } from "./json.ts";
import { shape } from "./schema.ts";

const evaluation = shape("evaluation profile", EvaluationProfile);
const hardware = shape("enrolment profile", HardwareProfile);

/**
 * The keys whose statements an enrolled machine must have about what it runs, in PEM; none where it is not enrolled or pins none. Only the
 * form of the profile is looked at: whether it makes sense is the attestor's to judge.
 * @throws DeploymentError UPDATE_ENROLMENT_UNREADABLE for a profile that is there and cannot be understood
 */
export async function pinnedStatementKeys(profilePath: string): Promise<readonly string[]> {
  try {
    return (await exists(profilePath)) ? statementKeysIn(await readBounded(profilePath, MAX_PROFILE_BYTES)) : [];
  } catch (cause) {
    if (cause instanceof DeploymentError) throw cause;
    throw unreadable((cause as Error).message, cause);
  }
}

/** The same, of a profile's bytes. @throws DeploymentError UPDATE_ENROLMENT_UNREADABLE */
export function statementKeysIn(profile: Uint8Array): readonly string[] {
  const value = parsed(profile);
  if (evaluation.is(value)) return [];
  if (hardware.is(value)) return value.statement_keys;
  const [problem] = hardware.problems(value, 1);
  throw unreadable(`${problem?.pointer}: ${problem?.message}`);
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (cause) {
    if (!(cause instanceof HttpError)) throw cause;
    throw unreadable(cause.actual ?? cause.code, cause);
  }
}

function unreadable(actual: string, cause?: unknown): DeploymentError {
  return new DeploymentError("UPDATE_ENROLMENT_UNREADABLE", { expected: "an enrolment profile", actual, cause });
}
