import { OCI_INDEX_FILE, OCI_MEDIUM, roleOf } from "@secai/formats/release-layout";
import { about, fail, notPresent, pass, type SubjectResult } from "./check.ts";
import { blobName, IMAGE_DIGEST_ANNOTATION, type OciLayout, readImageLayout } from "./image-layout.ts";
import type { Inventory } from "./inventory.ts";
import { isForgone } from "./layout-checks.ts";
import { checkOciSignatures, OCI_SIGNATURE_CODES } from "./oci-signatures.ts";
import { derive, given, type ReleaseCheck, type ReleaseEvidence, when } from "./release-evidence.ts";
import type { VerifyPolicy } from "./release-policy.ts";

function absence({ inventory, checksums }: ReleaseEvidence, policy: VerifyPolicy): string | undefined {
  const here = [...inventory.files.keys()].some((name) => name.startsWith("oci/"));
  const listed = checksums.state === "found" && checksums.value.has(OCI_INDEX_FILE);
  if (here || (listed && !isForgone(OCI_MEDIUM, policy))) return undefined;
  return listed ? "left out by the caller" : "this release has no OCI layout";
}

const layoutOf = ({ inventory }: ReleaseEvidence) => derive({ state: "found", value: inventory }, readImageLayout);

export const ociLayoutCheck: ReleaseCheck = {
  id: "oci.layout",
  title: "The OCI layout is whole: every blob is what its name and descriptor say, and none is left over",
  asks: "Whether index, manifests, configurations and layers of the OCI layout are all there with the digests and sizes that name them, and no blob is there that nothing names.",
  codes: ["OCI_MALFORMED", "OCI_BLOB_MISSING", "OCI_BLOB_MISMATCH", "OCI_BLOB_UNUSED"],
  optional: true,
  run(evidence, policy) {
    const absent = absence(evidence, policy);
    if (absent !== undefined) return notPresent(absent);
    const layout = layoutOf(evidence);
    return layout.state === "found" ? blobResults(layout.value, evidence.inventory) : when(layout, () => pass);
  },
};

function blobResults({ named }: OciLayout, { files }: Inventory): readonly SubjectResult[] {
  const sizes = new Map(named.map(({ digest, size }) => [blobName(digest), size]));
  const results = [...sizes].map(([name, size]): SubjectResult => {
    const file = files.get(name);
    if (file === undefined) return about(name, fail("OCI_BLOB_MISSING", `${size} bytes`, "no such file"));
    const expected = `${size} bytes, ${name.slice(-64)}`;
    const actual = `${file.size} bytes, ${file.sha256}`;
    return about(name, expected === actual ? pass : fail("OCI_BLOB_MISMATCH", expected, actual));
  });
  const unused = [...files.keys()].filter((name) => roleOf(name) === "oci-blob" && !sizes.has(name));
  return [...results, ...unused.map((name) => about(name, fail("OCI_BLOB_UNUSED", "a descriptor that names it", "none")))];
}

export const ociImageCheck: ReleaseCheck = {
  id: "oci.image",
  title: "The OCI image names the image that it holds",
  asks: `Whether exactly one manifest of the layout carries the annotation ${IMAGE_DIGEST_ANNOTATION}, and it is the digest that IMAGE_DIGEST names; anything else in the layout must be attached to that manifest.`,
  codes: ["OCI_MALFORMED", "MEDIUM_MISMATCH", "EVIDENCE_UNUSABLE"],
  optional: true,
  run(evidence, policy) {
    const absent = absence(evidence, policy);
    if (absent !== undefined) return notPresent(absent);
    return given(layoutOf(evidence), "the OCI layout", ({ manifests }) =>
      given(evidence.manifest, "the manifest", ({ image }) => {
        const images = manifests.filter(({ document }) => document.annotations?.[IMAGE_DIGEST_ANNOTATION] !== undefined);
        const [only, ...more] = images;
        if (only === undefined || more.length > 0) return fail("OCI_MALFORMED", "one image manifest", `${images.length}`);
        const actual = only.document.annotations?.[IMAGE_DIGEST_ANNOTATION] ?? "";
        return actual === image.digest ? pass : fail("MEDIUM_MISMATCH", image.digest, actual);
      }),
    );
  },
};

/** Containers are signed the way their engines look: a bundle that refers to the image, and the older attachment. */
export const ociSignaturesCheck: ReleaseCheck = {
  id: "oci.signatures",
  title: "The OCI image carries both kinds of signature that container tools read",
  asks: "Whether a bundle that refers to the image and the older attachment are signed by enough keys of the image role, and nothing else is attached. A dev or candidate release may leave its OCI image unsigned: SHA256SUMS covers it.",
  codes: [...OCI_SIGNATURE_CODES, "EVIDENCE_UNUSABLE"],
  optional: true,
  run(evidence, policy) {
    const absent = absence(evidence, policy);
    if (absent !== undefined) return notPresent(absent);
    return given(layoutOf(evidence), "the OCI layout", ({ manifests }) =>
      given(evidence.manifest, "the manifest", ({ designation }) => {
        if (manifests.length === 1 && designation !== "stable") return notPresent("its OCI image is not signed on its own");
        return given(evidence.trust, "the chain of key manifests", ({ rolesOf }) => {
          const { standing, threshold } = rolesOf("image");
          const keys = [...standing.values()].flatMap((key) => ("code" in key ? [] : [key]));
          const files = (name: string) => evidence.inventory.files.get(`oci/${name}`)?.bytes;
          const [first] = checkOciSignatures(files, { keys, threshold }).faults;
          return first === undefined ? pass : fail(first.code, first.expected, `${first.subject}: ${first.actual}`);
        });
      }),
    );
  },
};
