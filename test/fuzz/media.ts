import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../../attest/formats/digest.ts";
import { readImageLayout } from "../../attest/verify/image-layout.ts";
import type { FileFact } from "../../attest/verify/inventory.ts";
import { readMediumClaim } from "../../attest/verify/medium-digest.ts";
import type { Target } from "./target.ts";

// Readers of media: of files, because the real ones are too large for memory, and of the documents of an OCI layout.

/** Claims come back as values, refusals among them; anything thrown is a finding. */
async function claimIn(bytes: Buffer, kind: "ova" | "iso"): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "secai-fuzz-"));
  try {
    const path = join(folder, "medium");
    writeFileSync(path, bytes);
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    await readMediumClaim(path, kind, { dev, ino, size, mtimeNs, ctimeNs });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const identity = { dev: 0n, ino: 0n, size: 0n, mtimeNs: 0n, ctimeNs: 0n };
const factOf = (bytes: Buffer): FileFact => ({ sha256: sha256(bytes), size: bytes.length, bytes, identity });

/** Reads a layout in which one document is the input and the others are genuine. */
function layoutWith(genuine: ReadonlyMap<string, Buffer>, isInput: (name: string) => boolean, input: Buffer): void {
  const files = new Map([...genuine].map(([name, bytes]) => [name, factOf(isInput(name) ? input : bytes)]));
  readImageLayout({ files, problems: [] });
}

/** @param files of a genuine release, by name in it */
export function mediaTargets(files: ReadonlyMap<string, Buffer>): readonly Target[] {
  const oci = new Map([...files].filter(([name]) => name.startsWith("oci/")));
  const isIndex = (name: string) => name === "oci/index.json";
  const isManifest = (name: string) => oci.get(name)?.includes('"layers"') === true;
  const seedsOf = (wanted: (name: string) => boolean) => [...oci].filter(([name]) => wanted(name)).map(([, bytes]) => bytes);
  const named = (name: string) => [...files].filter(([path]) => path === name).map(([, bytes]) => bytes);
  return [
    { name: "ova", seeds: named("disk.ova"), parse: (bytes) => claimIn(bytes, "ova") },
    { name: "iso", seeds: named("installer.iso"), parse: (bytes) => claimIn(bytes, "iso") },
    { name: "oci-index", seeds: seedsOf(isIndex), parse: (bytes) => layoutWith(oci, isIndex, bytes) },
    { name: "oci-manifest", seeds: seedsOf(isManifest), parse: (bytes) => layoutWith(oci, isManifest, bytes) },
  ];
}
