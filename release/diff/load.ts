import { parseBaseline } from "@secai/formats/baseline";
import { type JsonValue, parseJson } from "@secai/formats/canonical-json";
import { BASELINE_FILE, CHANNEL_FILE, KEY_MANIFEST_FILE, MEASUREMENTS_FILE, placeOf } from "@secai/formats/release-layout";
import { readManifest, readReleaseFile } from "../gate/gate.ts";
import type { ReleaseDocuments } from "./facts.ts";

/**
 * The documents of a release directory that a comparison reads.
 * @throws GateError GATE_READ, FormatError
 */
export async function loadDocuments(dir: string): Promise<ReleaseDocuments> {
  const manifest = await readManifest(dir);
  const baseline = await readReleaseFile(dir, BASELINE_FILE);
  return {
    manifest,
    baseline: baseline && parseBaseline(baseline),
    measurements: await readDocument(dir, MEASUREMENTS_FILE),
    keyManifest: await readDocument(dir, KEY_MANIFEST_FILE),
    channel: await readDocument(dir, CHANNEL_FILE),
    sboms: await readSboms(
      dir,
      manifest.files.map(({ name }) => name),
    ),
  };
}

async function readDocument(dir: string, name: string): Promise<JsonValue | undefined> {
  const bytes = await readReleaseFile(dir, name);
  return bytes && parseJson(bytes, placeOf(name)?.parsedUpTo ?? 0);
}

async function readSboms(dir: string, names: readonly string[]): Promise<ReadonlyMap<string, JsonValue>> {
  const sboms = new Map<string, JsonValue>();
  for (const name of names) {
    const about = /^sbom\/(.+)\.cdx\.json$/.exec(name)?.[1];
    const sbom = about === undefined ? undefined : await readDocument(dir, name);
    if (about !== undefined && sbom !== undefined) sboms.set(about, sbom);
  }
  return sboms;
}
