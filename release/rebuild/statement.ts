import type { Sha256 } from "@secai/formats/digest";
import { parseRebuild, type Rebuild } from "@secai/formats/rebuild";
import { buildStatement, subjectOf } from "@secai/formats/statement";
import { REBUILD_PREDICATE } from "@secai/formats/uris";
import type { SigningKey } from "@secai/sign/key-file";
import { signStatement } from "@secai/sign/sign";

/**
 * A signed verdict about the files that were built, in the bytes of a Sigstore bundle.
 * @throws FormatError for a verdict that no reader accepts, SignError
 */
export async function signRebuild(rebuild: Rebuild, expected: ReadonlyMap<string, string>, key: SigningKey): Promise<Buffer> {
  const subjects = [...expected].map(([name, digest]) => subjectOf(name, digest as Sha256));
  const statement = buildStatement(REBUILD_PREDICATE, subjects, rebuild);
  parseRebuild(statement.predicate);
  return signStatement(statement, key);
}
