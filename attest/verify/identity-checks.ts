import { DISK_FILE, IMAGE_DIGEST_FILE, ROOT_HASH_FILE } from "@secai/formats/release-layout";
import { compareVersions } from "@secai/formats/version-order";
import { type CheckResult, fail, pass, undecided } from "./check.ts";
import { given, type ReleaseCheck, type ReleaseEvidence } from "./release-evidence.ts";
import { rulesOf } from "./release-policy.ts";

/** The file must be exactly `expected` and a newline, and each other place that names the value must agree. */
function lineResult(
  { inventory }: ReleaseEvidence,
  file: string,
  expected: string,
  others: Readonly<Record<string, string>>,
): CheckResult {
  const line = inventory.files.get(file)?.bytes?.toString("latin1");
  if (line === undefined) return undecided("FILE_MISSING", file);
  if (line !== `${expected}\n`) return fail("VALUE_MISMATCH", expected, `${file}: ${line.trimEnd()}`);
  const wrong = Object.entries(others).find(([, value]) => value !== expected);
  return wrong === undefined ? pass : fail("VALUE_MISMATCH", expected, `${wrong[0]}: ${wrong[1]}`);
}

export const imageDigestCheck: ReleaseCheck = {
  id: "image.digest",
  title: "IMAGE_DIGEST is the digest of the compressed disk",
  asks: "Whether IMAGE_DIGEST, the manifest and the bytes of disk.raw.zst agree.",
  codes: ["VALUE_MISMATCH", "FILE_MISSING", "EVIDENCE_UNUSABLE"],
  run: (evidence) =>
    given(evidence.manifest, "the manifest", ({ image }) => {
      const actual = evidence.inventory.files.get(DISK_FILE)?.sha256;
      const expected = actual === undefined ? image.digest : `sha256:${actual}`;
      return lineResult(evidence, IMAGE_DIGEST_FILE, expected, { manifest: image.digest });
    }),
};

export const rootHashCheck: ReleaseCheck = {
  id: "image.root-hash",
  title: "ROOT_HASH, manifest and measurements name one root file system",
  asks: "Whether the verity root hash is the same in ROOT_HASH, in the manifest and in the measurements.",
  codes: ["VALUE_MISMATCH", "FILE_MISSING", "EVIDENCE_UNUSABLE"],
  run: (evidence) =>
    given(evidence.manifest, "the manifest", ({ image }) =>
      given(evidence.measurements, "the measurements", ({ rootHash }) =>
        lineResult(evidence, ROOT_HASH_FILE, image.root_hash, { measurements: rootHash }),
      ),
    ),
};

export const designationCheck: ReleaseCheck = {
  id: "release.designation",
  title: "All parts have one designation, and it is one the policy allows",
  asks: "Whether provenance and measurements were made for the manifest's designation, or for candidate where the manifest says stable (a promotion), the policy allows it, and nothing but dev was built with packages other than the locked ones.",
  codes: ["VALUE_MISMATCH", "DESIGNATION_REFUSED", "DRIFT_REFUSED", "EVIDENCE_UNUSABLE"],
  run: ({ manifest, provenance, measurements }, { designations }) =>
    given(manifest, "the manifest", ({ designation }) =>
      given(provenance, "the provenance", ({ buildDefinition: { externalParameters, internalParameters } }) =>
        given(measurements, "the measurements", (measured) => {
          const built = externalParameters.designation;
          if (measured.designation !== built) return fail("VALUE_MISMATCH", built, measured.designation);
          const promoted = built === "candidate" && designation === "stable";
          if (built !== designation && !promoted) return fail("VALUE_MISMATCH", designation, built);
          if (!designations.includes(designation)) return fail("DESIGNATION_REFUSED", designations.join(" or "), designation);
          const { drift } = internalParameters;
          if (designation === "dev" || drift.length === 0) return pass;
          return fail("DRIFT_REFUSED", "every locked file as locked", `${drift.length} replaced: ${drift[0]}`);
        }),
      ),
    ),
};

export const identityCheck: ReleaseCheck = {
  id: "release.identity",
  title: "Manifest and provenance name one recipe and version, and it is the one asked for",
  asks: "Whether recipe, version and time of the sources agree, and the version is the one you asked for (--release) and not below your policy's minimumVersion.",
  codes: ["VALUE_MISMATCH", "VERSION_REFUSED", "EVIDENCE_UNUSABLE"],
  run: ({ manifest, provenance }, policy) =>
    given(manifest, "the manifest", ({ recipe, tag, build }) =>
      given(provenance, "the provenance", ({ buildDefinition: { externalParameters: built } }) => {
        const expected = `${recipe} ${tag} of ${Date.parse(build.timestamp) / 1000}`;
        const actual = `${built.recipe.name} ${built.version} of ${built.sourceDateEpoch}`;
        if (actual !== expected) return fail("VALUE_MISMATCH", expected, actual);
        const { version } = policy;
        if (version !== undefined && version !== tag) return fail("VERSION_REFUSED", version, tag);
        const { minimumVersion } = rulesOf(policy);
        if (minimumVersion === undefined || compareVersions(tag, minimumVersion) >= 0) return pass;
        return fail("VERSION_REFUSED", `${minimumVersion} or newer`, tag);
      }),
    ),
};
