// Unpacks an image that is named by digest into a root tree: layers over one another, whiteouts applied, every digest checked first.
// silverblue/base --image DIR --digest sha256:HEX --platform linux/amd64 --out DIR --facts FILE
import { mkdirSync, writeFileSync } from "node:fs";
import { canonicalJson } from "@secai/formats/canonical-json";
import { readBaseImage } from "../../silverblue/base-image.ts";
import { unpackLayers } from "../../silverblue/unpack.ts";
import { readFlags, sourceDateEpoch } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const folder = flag("image");
const base = readBaseImage(folder, flag("digest"), flag("platform"));
mkdirSync(flag("out"), { mode: 0o755 });
const unpacked = await unpackLayers(folder, base.layers, flag("out"), sourceDateEpoch());
const facts = {
  schema: 1,
  digest: flag("digest"),
  manifest: base.manifestDigest,
  created: base.created ?? "unknown",
  layers: base.layers.map(({ digest, size, diffId }) => ({ digest, size, diffId })),
  ...unpacked,
};
writeFileSync(flag("facts"), `${canonicalJson(facts)}\n`);
console.error(`${base.layers.length} layers, ${unpacked.folders} folders, ${unpacked.files} files, ${unpacked.links} links`);
