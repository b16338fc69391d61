// Puts the finished root into an OCI image layout: the base's layers byte for byte, then what packages changed, then what is ours.
// silverblue/image --image DIR --digest sha256:HEX --platform linux/amd64 --base DIR --packages DIR --tree DIR --title T --version V
//   --revision HEX40 --licenses SPDX --out DIR --report FILE
import { constants, copyFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { readBaseImage } from "../../silverblue/base-image.ts";
import { blobPath, hexOf } from "../../silverblue/blobs.ts";
import { diffTrees } from "../../silverblue/layer-diff.ts";
import { writeLayer } from "../../silverblue/layer-write.ts";
import { imageDocuments } from "../../silverblue/oci-documents.ts";
import { printTree } from "../../silverblue/tree-archive.ts";
import { readFlags, sourceDateEpoch } from "../tool.ts";

const flag = readFlags(process.argv.slice(2));
const blobs = join(flag("out"), "blobs/sha256");
if (!/^[0-9a-f]{40}$/.test(flag("revision"))) throw new Error("--revision is no commit: 40 hex digits");
const base = readBaseImage(flag("image"), flag("digest"), flag("platform"));
mkdirSync(blobs, { recursive: true });

const trees = [
  { tree: flag("packages"), comment: "packages of the recipe" },
  { tree: flag("tree"), comment: "files, settings and services of the appliance" },
];
let before = await printTree(flag("base"));
const layers = [];
for (const { tree, comment } of trees) {
  const after = await printTree(tree);
  const written = await writeLayer(tree, diffTrees(before, after), join(blobs, "layer"), sourceDateEpoch());
  renameSync(join(blobs, "layer"), join(blobs, hexOf(written.digest)));
  layers.push({ ...written, comment });
  before = after;
}
// The base's blobs had their digests when the root was made of them; whoever reads the layout checks them again.
for (const { digest } of base.layers)
  copyFileSync(blobPath(flag("image"), digest), join(blobs, hexOf(digest)), constants.COPYFILE_FICLONE);

const {
  index,
  digest,
  blobs: documents,
} = imageDocuments({
  title: flag("title"),
  version: flag("version"),
  revision: flag("revision"),
  licenses: flag("licenses"),
  sourceDateEpoch: sourceDateEpoch(),
  base,
  layers,
});
for (const [name, content] of documents) writeFileSync(join(blobs, name), content);
writeFileSync(join(flag("out"), "index.json"), index);
writeFileSync(join(flag("out"), "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
const report = { schema: 1, digest, base: base.layers.map((layer) => ({ digest: layer.digest, size: layer.size })), layers };
writeFileSync(flag("report"), `${canonicalJson(report)}\n`);
for (const { comment, entries, whiteouts, size } of layers)
  console.error(`${comment}: ${entries} entries, ${whiteouts} whiteouts, ${size} bytes`);
