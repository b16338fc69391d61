import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE } from "@secai/formats/checksums";
import { bundleOf, isChecksummed, isSignedFile, mediumOf, placeOf, releasePlaces } from "@secai/formats/release-layout";
import { about, type CheckResult, fail, notPresent, pass, type SubjectResult } from "./check.ts";
import type { LayoutCode } from "./inventory.ts";
import type { ReleaseCheck, ReleaseEvidence } from "./release-evidence.ts";
import type { VerifyPolicy } from "./release-policy.ts";

const LAYOUT_EXPECTED: Readonly<Record<LayoutCode, string>> = {
  NAME_UNSAFE: "plain relative names",
  NAME_LOOKS_ALIKE: "names that differ in more than letter case",
  NOT_A_PLAIN_FILE: "a plain file",
  HARD_LINK: "a file of its own",
  FILE_UNKNOWN: "only files that a release has",
  FILE_TOO_LARGE: "a file within the limit of its kind",
  FILE_UNREADABLE: "a file that can be read and stands still",
  DIRECTORY_EMPTY: "no directory without files",
  TOO_MANY_FILES: "a bounded number of files",
};

/** Nothing is there that the signed list does not name, and everything it names is. */
export const closedWorldCheck: ReleaseCheck = {
  id: "layout.closed-world",
  title: "The directory holds what the checksums list and nothing else",
  asks: "Whether the directory and the signed list name the same files, all of them plain files with names that cannot mean two things, none larger than its kind may be, and whatever every release must have is there.",
  codes: [...(Object.keys(LAYOUT_EXPECTED) as LayoutCode[]), "FILE_UNLISTED", "FILE_MISSING"],
  run(evidence, policy) {
    const { inventory, checksums } = evidence;
    const wrong = inventory.problems.map(({ path, code, actual }) => about(path, fail(code, LAYOUT_EXPECTED[code], actual)));
    const listed = checksums.state === "found" ? checksums.value : new Map<string, string>();
    const unlisted = [...inventory.files.keys()]
      .filter((name) => isChecksummed(name) && checksums.state === "found" && !listed.has(name))
      .map((name) => about(name, fail("FILE_UNLISTED", `an entry in ${CHECKSUMS_FILE}`, "none")));
    const results = [...wrong, ...unlisted, ...missingFiles(evidence, policy, listed)];
    return results.some(({ status }) => status === "fail") ? results : [about(".", pass), ...results];
  },
};

function missingFiles(
  { inventory, manifest }: ReleaseEvidence,
  policy: VerifyPolicy,
  listed: ReadonlyMap<string, string>,
): readonly SubjectResult[] {
  const present = new Set([...inventory.files.keys(), ...inventory.problems.map(({ path }) => path)]);
  const missingListed = [...listed.keys()].filter((name) => !present.has(name));
  const declared = new Map(manifest.state === "found" ? manifest.value.absent.map(({ name, reason }) => [name, reason]) : []);
  const missingPlaces = releasePlaces
    .filter(({ presence, pattern }) => presence !== "any" && ![...present, ...missingListed].some((name) => pattern.test(name)))
    .map(({ pattern }) => pattern.source.slice(1, -1).replaceAll("\\", ""));
  const signed = [...new Set([...present, ...missingListed])].filter(isSignedFile).map(bundleOf);
  const missingBundles = [CHECKSUMS_BUNDLE, ...signed].filter((name) => !present.has(name) && !missingListed.includes(name));
  const absence = (name: string): CheckResult => {
    const reason = declared.get(name);
    if (reason !== undefined && !listed.has(name) && isMedium(name)) return notPresent(`left out of the release: ${reason}`);
    return isForgone(name, policy) ? notPresent("left out by the caller") : fail("FILE_MISSING", name, "no such file");
  };
  return [...missingListed, ...missingPlaces, ...missingBundles].map((name) => about(name, absence(name)));
}

const isMedium = (name: string) => mediumOf(name) !== undefined && placeOf(name)?.role !== "disk";
/** The disk itself may be left behind too: an auditor checks a release without fetching hundreds of megabytes. */
export function isForgone(name: string, { without }: VerifyPolicy): boolean {
  const medium = mediumOf(name);
  return medium !== undefined && without.includes(medium);
}
