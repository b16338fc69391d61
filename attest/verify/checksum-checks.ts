import { CHECKSUMS_FILE } from "@secai/formats/checksums";
import { isListed, roleOf } from "@secai/formats/release-layout";
import { about, fail, notPresent, pass, type SubjectResult, undecided } from "./check.ts";
import { SIGNER_CODES } from "./check-codes.ts";
import { isForgone } from "./layout-checks.ts";
import { payloadIn, type ReleaseCheck, when } from "./release-evidence.ts";

export const checksumsSignatureCheck: ReleaseCheck = {
  id: "checksums.signature",
  title: "A trusted key signed SHA256SUMS as it stands",
  asks: "Whether SHA256SUMS is, byte for byte, what a key of the release role signed.",
  codes: [...SIGNER_CODES, "BUNDLE_MISSING", "EVIDENCE_UNUSABLE", "FILE_MISSING"],
  run: (evidence) =>
    evidence.inventory.files.has(CHECKSUMS_FILE)
      ? when(payloadIn(evidence, CHECKSUMS_FILE), () => pass)
      : undecided("FILE_MISSING", CHECKSUMS_FILE),
};

export const checksumsFormatCheck: ReleaseCheck = {
  id: "checksums.format",
  title: "SHA256SUMS is sorted, has safe names and every name once",
  asks: "Whether SHA256SUMS is in the one spelling that has only one reading.",
  codes: ["FILE_MISSING"],
  run: ({ checksums }) => when(checksums, () => pass),
};

export const filesDigestCheck: ReleaseCheck = {
  id: "files.digest",
  title: "Every listed file has the listed digest",
  asks: "Whether the SHA-256 of every file that SHA256SUMS lists is the listed one. Every byte of the release is read for this, once.",
  codes: ["DIGEST_MISMATCH", "FILE_MISSING", "EVIDENCE_UNUSABLE"],
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
  asks: "Whether each bundle is spelt in the one canonical way and holds nothing that this verifier does not check.",
  codes: ["FILE_MISSING"],
  run: ({ signed }) =>
    [...signed.values()]
      .flatMap(({ bundles }) => bundles)
      .map(({ name, bundle }) =>
        about(
          name,
          when(bundle, () => pass),
        ),
      ),
};

export const manifestShapeCheck: ReleaseCheck = {
  id: "manifest.shape",
  title: "The manifest has schema 3 and agrees with itself",
  asks: "Whether RELEASE_MANIFEST.json is canonical, has no unknown member, and what it says twice follows from its list of files.",
  codes: ["FILE_MISSING"],
  run: ({ manifest }) => when(manifest, () => pass),
};

export const manifestFilesCheck: ReleaseCheck = {
  id: "manifest.files",
  title: "The manifest lists every file with its role, size and digest",
  asks: "Whether the manifest's list and the directory are the same, both ways.",
  codes: ["FILE_UNLISTED", "MANIFEST_MISMATCH", "EVIDENCE_UNUSABLE"],
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
