import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import type { BootcLock, LockedBlob, LockedImage, LockedRpm } from "./bootc-lock.ts";
import { parseBootcLock } from "./load.ts";

// A resolved lock for silverblue-42 in which every digest is made up from a name: nothing can be fetched by it.

const committed = parseBootcLock(readFileSync(join(import.meta.dirname, "../../recipes/locks/silverblue-42.lock.json"), "utf8"));

const blob = (kind: LockedBlob["kind"], name: string, size: number): LockedBlob => ({
  kind,
  sha256: sha256(`fixture ${name}`),
  size,
});

function resolved(image: LockedImage): LockedImage {
  const { name, signer } = image;
  const manifest = blob("manifest", `${name} manifest`, 1234);
  // The builder's digest stands in the recipe.
  const first = image.digest === "unresolved" ? manifest : { ...manifest, sha256: image.digest.slice(7) as LockedBlob["sha256"] };
  return {
    ...image,
    digest: `sha256:${first.sha256}`,
    date: "2026-08-03",
    signer: { ...signer, verifiedAt: signer.kind === "cosign-key" ? "2026-08-03T00:00:00Z" : null },
    kernel: name === "imageBuilder" ? null : "6.15.4-200.fc42.x86_64",
    blobs: [first, blob("blob", `${name} config`, 2345), blob("blob", `${name} layer`, 345_678)],
    packages: name.startsWith("modules.")
      ? [{ file: "rpms/kmods/kmod-nvidia-6.15.4-200.fc42.x86_64-575.64-1.fc42.x86_64.rpm", sha256: sha256("fixture kmod") }]
      : [],
  };
}

const rpm = (name: string, version: string, arch: LockedRpm["arch"], repository: string): LockedRpm => ({
  ...{ name, epoch: name === "nodejs" ? 1 : 0, version, release: "1.fc42", arch, repository },
  path: `Packages/${name[0]}/${name}-${version}-1.fc42.${arch}.rpm`,
  size: 100_000,
  sha256: sha256(`fixture ${name}`),
  signingKey: "0123456789abcdef",
});

export const bootcFixture: BootcLock = {
  ...committed,
  unresolved: [],
  images: committed.images.map(resolved),
  repositories: ["fedora", "fedora-updates"].map((name) => ({
    name,
    repomd: sha256(`fixture ${name}`),
    revision: 1_754_000_000,
    primary: { path: "repodata/primary.xml.zst", sha256: sha256(`fixture primary ${name}`), size: 20_000_000 },
    signedBy: [],
  })),
  rpms: [
    rpm("greenboot", "0.15.8", "x86_64", "fedora"),
    rpm("nftables", "1.1.1", "x86_64", "fedora"),
    rpm("nodejs", "22.17.0", "x86_64", "fedora-updates"),
    rpm("tpm2-tools", "5.7", "x86_64", "fedora"),
  ],
};
