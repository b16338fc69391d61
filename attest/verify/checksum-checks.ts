import { CHECKSUMS_BUNDLE, CHECKSUMS_FILE } from "@secai/formats/checksums";
import { isListed, RELEASE_KEY_FILE, roleOf } from "@secai/formats/release-layout";
import { verifyMessageBundle } from "@secai/formats/signature";
import { about, fail, notPresent, pass, type SubjectResult, undecided } from "./check.ts";
import { isForgone } from "./layout-checks.ts";
import { attempt, bundleIn, given, type ReleaseCheck, when } from "./release-evidence.ts";

export const checksumsSignatureCheck: ReleaseCheck = {
  id: "checksums.signature",
  title: "A trusted key signed SHA256SUMS as it stands",
  run: (evidence) =>
    when(bundleIn(evidence, CHECKSUMS_BUNDLE), (bundle) =>
      when(evidence.key, (key) => {
        const bytes = evidence.inventory.files.get(CHECKSUMS_FILE)?.bytes;
        if (bytes === undefined) return undecided("FILE_MISSING", CHECKSUMS_FILE);
        if (bundle.kind !== "message") return fail("SIGNATURE_INVALID", "a signed file", "a signed statement");
        return attempt(() => verifyMessageBundle(bundle, bytes, key));
      }),
    ),
};

export const checksumsFormatCheck: ReleaseCheck = {
  id: "checksums.format",
  title: "SHA256SUMS is sorted, has safe names and every name once",
  run: ({ checksums }) => when(checksums, () => pass),
};

export const filesDigestCheck: ReleaseCheck = {
  id: "files.digest",
  title: "Every listed file has the listed digest",
  run({ checksums, inventory }, policy) {
    if (checksums.state !== "found") return undecided("EVIDENCE_UNUSABLE", `${CHECKSUMS_FILE} cannot be used`);
    return [...checksums.value].map(([name, expected]): SubjectResult => {
      const actual = inventory.files.get(name)?.sha256;
      if (actual === expected) return about(name, pass);
      if (actual !== undefined) return about(name, fail("DIGEST_MISMATCH", expected, actual));
      if (isForgone(name, policy)) return about(name, notPresent("left out by the caller"));
      return about(name, fail("FILE_MISSING", expected, "no such plain file"));
    });
  },
};

/** Spec of the bundle: no byte outside the signature may be free, so each has one legal spelling. */
export const bundleCheck: ReleaseCheck = {
  id: "bundle.canonical",
  title: "Every signature bundle is a canonical Sigstore bundle v0.3",
  run: ({ bundles }) =>
    [...bundles].map(([name, bundle]) =>
      about(
        name,
        when(bundle, () => pass),
      ),
    ),
};

export const manifestShapeCheck: ReleaseCheck = {
  id: "manifest.shape",
  title: "The manifest has schema 3 and agrees with itself",
  run: ({ manifest }) => when(manifest, () => pass),
};

export const manifestFilesCheck: ReleaseCheck = {
  id: "manifest.files",
  title: "The manifest lists every file with its role, size and digest",
  run({ manifest, inventory, checksums }, policy) {
    if (manifest.state !== "found") return undecided("EVIDENCE_UNUSABLE", "the manifest cannot be used");
    const listed = new Map(manifest.value.files.map((file) => [file.name, file]));
    const present = new Set([...inventory.files.keys(), ...(checksums.state === "found" ? checksums.value.keys() : [])]);
    const unlisted = [...present]
      .filter((name) => isListed(name) && !listed.has(name))
      .map((name) => about(name, fail("FILE_UNLISTED", "an entry in the manifest", "none")));
    const results = [...listed.values()].map(({ name, sha256, size, role }): SubjectResult => {
      const file = inventory.files.get(name);
      if (file === undefined && isForgone(name, policy)) return about(name, notPresent("left out by the caller"));
      const actual = file === undefined ? "no such plain file" : `${roleOf(name)}, ${file.size} bytes, ${file.sha256}`;
      const expected = `${role}, ${size} bytes, ${sha256}`;
      return about(name, actual === expected ? pass : fail("MANIFEST_MISMATCH", expected, actual));
    });
    return [...unlisted, ...results];
  },
};

/** The copy inside the release proves nothing by being there: it must be a key that was trusted before. */
export const releaseKeyCheck: ReleaseCheck = {
  id: "keys.release",
  title: "The release carries the very key that was trusted from outside",
  run: ({ ownKey, manifest }, policy) =>
    when(ownKey, ({ fingerprint }) => {
      const trusted = [...policy.fingerprints, ...policy.keys.map((key) => key.fingerprint)];
      if (!trusted.includes(fingerprint)) return fail("KEY_UNTRUSTED", trusted.join(" or "), fingerprint);
      return given(manifest, "the manifest", ({ trust_root }) =>
        trust_root.fingerprint === fingerprint
          ? pass
          : fail("KEY_UNTRUSTED", trust_root.fingerprint, `${RELEASE_KEY_FILE}: ${fingerprint}`),
      );
    }),
};
