import { EvaluationProfile, HardwareProfile, MAX_PROFILE_BYTES } from "./api/enrolment.ts";
import { DeploymentError } from "./deployment-errors.ts";
import { KitError } from "./errors.ts";
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
  const refused = (actual: string, cause: unknown) =>
    new DeploymentError("UPDATE_ENROLMENT_UNREADABLE", { expected: `a profile in ${profilePath}`, actual, cause });
  try {
    if (!(await exists(profilePath))) return [];
    const value = parseStrictJson(await readBounded(profilePath, MAX_PROFILE_BYTES));
    if (evaluation.is(value)) return [];
    if (hardware.is(value)) return value.statement_keys;
    const [problem] = hardware.problems(value, 1);
    throw new KitError("FILE_UNREADABLE", { expected: hardware.name, actual: `${problem?.pointer}: ${problem?.message}` });
  } catch (cause) {
    throw refused((cause as Error).message, cause);
  }
}
