import { ISO_FILE, OVA_FILE } from "@secai/formats/release-layout";
import { about, fail, notPresent, pass, type SubjectResult } from "./check.ts";
import { given, type ReleaseCheck } from "./release-evidence.ts";

/** Media that can say which image they install without being unpacked. */
const MEDIA = [OVA_FILE, ISO_FILE] as const;

export const mediumDigestCheck: ReleaseCheck = {
  id: "medium.digest",
  title: "Every medium names the image that it installs",
  asks: "Whether the OVF descriptor in disk.ova (property secai.image-digest) and the file IMAGE_DIGEST on installer.iso name the digest that the manifest names.",
  codes: ["MEDIUM_MALFORMED", "MEDIUM_MISMATCH", "XML_MALFORMED", "FILE_UNREADABLE", "EVIDENCE_UNUSABLE"],
  optional: true,
  run({ inventory, manifest }) {
    const present = MEDIA.filter((name) => inventory.files.has(name));
    if (present.length === 0) return notPresent("neither OVA nor ISO is here");
    return present.map((name): SubjectResult => {
      const claim = inventory.files.get(name)?.claim;
      if (claim === undefined || "code" in claim)
        return about(name, fail(claim?.code ?? "MEDIUM_MALFORMED", claim?.expected ?? "a claim", claim?.actual ?? "none"));
      return about(
        name,
        given(manifest, "the manifest", ({ image }) =>
          claim.digest === image.digest ? pass : fail("MEDIUM_MISMATCH", image.digest, claim.digest),
        ),
      );
    });
  },
};
