import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseForeignBundle } from "../../attest/formats/bundle.ts";
import { parsePublicKey } from "../../attest/formats/keys.ts";
import { parseRebuild } from "../../attest/formats/rebuild.ts";
import { verifyStatementBundle } from "../../attest/formats/signature.ts";
import { parseStatement } from "../../attest/formats/statement.ts";
import { type CheckResult, result } from "./checks.ts";

const run = (checkout: string, env: NodeJS.ProcessEnv, ...args: string[]) =>
  spawnSync(process.execPath, ["scripts/secai.ts", "rebuild", ...args], {
    cwd: checkout,
    env,
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });

/** `secai rebuild` of the release, from this checkout: it must match, and its signed verdict must say so. */
export function rebuildMatches(checkout: string, release: string, out: string): CheckResult[] {
  const { status, stdout, stderr } = run(checkout, process.env, release, "--out", out, "--json");
  if (status !== 0)
    return [result("rebuild", "a rebuild from the provenance matches", `exit ${status}: ${stdout}${stderr.slice(-500)}`)];
  const bundle = parseForeignBundle(readFileSync(out));
  if (bundle.kind !== "statement") return [result("rebuild", "a rebuild from the provenance matches", "no signed statement")];
  const key = parsePublicKey(readFileSync(join(release, "keys/release.pub")));
  const { verdict, same, differing, provenance } = parseRebuild(parseStatement(verifyStatementBundle(bundle, key)).predicate);
  const wrong =
    verdict === "match" && same.length > 0 ? undefined : `${verdict}: ${differing.map(({ name }) => name).join(", ")}`;
  const other = provenance.expected === provenance.actual ? undefined : `${provenance.expected} and ${provenance.actual}`;
  const found = result("rebuild.provenance", "the rebuild's provenance is the release's, but for the time", other);
  return [
    found,
    result("rebuild", `a rebuild from the provenance matches in ${same.length} files, and the verdict is signed`, wrong),
  ];
}

/** A checkout with other sources is told so before anything is built. */
export function rebuildRefuses(checkout: string, env: NodeJS.ProcessEnv, release: string, out: string): CheckResult {
  const { status, stderr } = run(checkout, env, release, "--out", out);
  const named = status === 2 && stderr.includes("REBUILD_SOURCES_DIFFER");
  return result(
    "rebuild.other-sources",
    "a rebuild from other sources is refused",
    named ? undefined : `exit ${status}: ${stderr.slice(-500)}`,
  );
}
