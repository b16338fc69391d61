// Disk images of a finished container, made by the image builder whose own image is this step's tool root.
// bootc-disk --image DIR --name REFERENCE --root-file-system btrfs|ext4|xfs --formats qcow2,raw.zst --out DIR
//
// The builder takes the container from the storage of the machine it runs on; its own tree is read-only, so that storage lies on a
// scratch folder mounted over /var. Nothing is installed from anywhere: the container is all there is.
import { copyFileSync, createReadStream, createWriteStream, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";
import { readFlags, tool } from "./tool.ts";

/** What the builder calls a format, and where it leaves the file below its output folder. */
const formats: Readonly<Record<string, { readonly type: string; readonly made: string }>> = {
  qcow2: { type: "qcow2", made: "qcow2/disk.qcow2" },
  "raw.zst": { type: "raw", made: "image/disk.raw" },
};
/** As the Debian recipe's disks: small enough for a release, and unpacked in seconds. */
const ZSTD_LEVEL = 12;

const flag = readFlags(process.argv.slice(2));
const wanted = flag("formats").split(",");
const unknown = wanted.filter((format) => formats[format] === undefined);
if (unknown.length > 0) throw new Error(`the image builder makes no ${unknown.join(", ")}`);

const work = mkdtempSync(join(tmpdir(), "bootc-disk-"));
const [storage, made] = [join(work, "var"), join(work, "made")];
for (const folder of [storage, made]) mkdirSync(folder);
tool("mount", ["--bind", storage, "/var"]);
tool("skopeo", ["copy", "--quiet", `oci:${flag("image")}`, `containers-storage:${flag("name")}`]);
const types = wanted.flatMap((format) => ["--type", formats[format]?.type ?? ""]);
tool("bootc-image-builder", ["build", ...types, "--rootfs", flag("root-file-system"), "--output", made, flag("name")]);

for (const format of wanted) {
  const path = join(made, formats[format]?.made ?? "");
  if (!existsSync(path)) throw new Error(`the image builder left no ${formats[format]?.made}`);
  const target = join(flag("out"), `disk.${format}`);
  if (format === "qcow2") copyFileSync(path, target);
  else {
    const compress = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
    await pipeline(createReadStream(path), compress, createWriteStream(target));
  }
}
