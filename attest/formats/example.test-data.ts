import { sha256 } from "./digest.ts";
import type { ManifestFacts } from "./manifest.ts";
import type { BuildFacts } from "./provenance.ts";
import { subjectOf } from "./statement.ts";
import { LOCAL_BUILDER_ID } from "./uris.ts";

/** Facts that every reader accepts; tests spoil them one at a time. */
export const exampleFacts: BuildFacts = {
  recipe: { name: "debian-13", path: "recipes/debian-13.yaml", sha256: sha256("recipe") },
  lock: { path: "recipes/locks/debian-13.lock.json", sha256: sha256("lock") },
  version: "0.1.0",
  designation: "dev",
  sourceDateEpoch: 1_760_000_000,
  engine: "local",
  drift: ["bash 5.2.37-2 replaced by 5.2.37-3"],
  dependencies: [
    { name: "zsh", uri: "pkg:deb/debian/zsh@5.9", digest: { sha256: sha256("zsh") } },
    { name: "bash", uri: "pkg:deb/debian/bash@5.2", digest: { sha256: sha256("bash") } },
  ],
  byproducts: [{ name: "log/uki", digest: { sha256: sha256("log") } }],
  builder: { id: LOCAL_BUILDER_ID, version: { secai: "0.1.0" } },
  metadata: { invocationId: "1", startedOn: "2026-01-01T00:00:00Z", finishedOn: "2026-01-01T00:01:00Z" },
  subjects: [subjectOf("uki.efi", sha256("uki")), subjectOf("disk.raw.zst", sha256("disk"))],
};

export const exampleManifestFacts: ManifestFacts = {
  recipe: "debian-13",
  version: "0.1.0",
  designation: "dev",
  rootHash: sha256("root"),
  builderId: LOCAL_BUILDER_ID,
  sourceDateEpoch: 1_760_000_000,
  commitSha: "a".repeat(40),
  keyFingerprint: sha256("key"),
  files: ["uki.efi", "services/policy-engine.mjs", "keys/release.pub", "disk.raw.zst", "sbom/image.cdx.json"].map((name) => ({
    name,
    sha256: sha256(name),
    size: name.length,
  })),
  absent: [{ name: "disk.qcow2", reason: "not asked for" }],
};
