import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Baseline, parseBaseline } from "../../attest/formats/baseline.ts";
import { sha256 } from "../../attest/formats/digest.ts";
import { type Manifest, parseManifest } from "../../attest/formats/manifest.ts";
import { type Measurements, parseMeasurements } from "../../attest/measure/measurements.ts";
import { VmError } from "./errors.ts";

/** The release under test: the directory that a build leaves behind. */
export interface Release {
  readonly dir: string;
  readonly rootHash: string;
  /** As the release states it in IMAGE_DIGEST. */
  readonly imageDigest: string;
  /** As the manifest says; partitions and boot entries carry it in their names. */
  readonly version: string;
  /** @throws MeasureError MEASUREMENTS_MALFORMED */
  measurements(): Measurements;
  /** @throws FormatError */
  manifest(): Manifest;
  /** @throws FormatError */
  baseline(): Baseline;
  /** Names of the services in it. */
  services(): readonly string[];
  /** SHA-256 of one of its files. */
  digest(name: string): string;
  file(name: string): string;
  read(name: string): Buffer;
}

/** @throws VmError CAPABILITY_MISSING when `dir` is no release */
export function loadRelease(dir: string): Release {
  const full = resolve(dir);
  const file = (name: string): string => join(full, name);
  for (const name of ["disk.raw.zst", "uki.efi", "ROOT_HASH", "keys/db.crt"]) {
    if (!existsSync(file(name))) throw new VmError("CAPABILITY_MISSING", { expected: `a release with ${name}`, actual: full });
  }
  const line = (name: string): string => readFileSync(file(name), "utf8").trim();
  return {
    dir: full,
    rootHash: line("ROOT_HASH"),
    imageDigest: existsSync(file("IMAGE_DIGEST")) ? line("IMAGE_DIGEST") : "",
    get version() {
      return this.manifest().tag;
    },
    measurements: () => parseMeasurements(readFileSync(file("measurements.json"))),
    manifest: () => parseManifest(readFileSync(file("RELEASE_MANIFEST.json"))),
    baseline: () => parseBaseline(readFileSync(file("baseline.json"))),
    services: () => readdirSync(file("services")).map((name) => name.replace(/\.mjs$/, "")),
    digest: (name) => sha256(readFileSync(file(name))),
    file,
    read: (name) => readFileSync(file(name)),
  };
}
