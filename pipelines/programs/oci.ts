// Puts the sealed root into an OCI image layout (github.com/opencontainers/image-spec, v1.1): one layer, one image, named by digest.
// oci --tree DIR --disk FILE --uki FILE --root-hash FILE --title T --version V --licenses SPDX --out DIR
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { sha256File } from "@secai/formats/digest";
import { buildOciLayout } from "../media/oci-layout.ts";
import { efiArchitecture } from "./efi.ts";
import { readFlags, sourceDateEpoch } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const out = flag("out");
const layer = join(out, "layer.tar.zst");

/** The tree as a POSIX archive: sorted, one time, numeric owners, extended attributes; every hard link is a file of its own. */
const tarArguments = [
  ...["--format=posix", "--sort=name", `--mtime=@${sourceDateEpoch()}`, "--numeric-owner", "--hard-dereference"],
  ...["--xattrs", "--xattrs-include=*", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"],
  ...["-C", flag("tree"), "-cf", "-", "."],
];

async function ended(child: ReturnType<typeof spawn>, name: string): Promise<void> {
  const [status, signal] = (await once(child, "close")) as [number | null, string | null];
  if (status !== 0) throw new Error(`${name} ended with ${status ?? signal}`);
}

/** Writes the compressed layer. Returns the digest of what is inside: the configuration names it (image-spec, config.md, `diff_ids`). */
async function writeLayer(): Promise<string> {
  const tar = spawn("tar", tarArguments, { stdio: ["ignore", "pipe", "inherit"] });
  // A fixed number of threads is not needed for equal bytes, but more than one is: zstd splits the work by size, not by thread.
  const zstd = spawn("zstd", ["-q", "-9", "-T2", "-o", layer], { stdio: ["pipe", "inherit", "inherit"] });
  const inside = createHash("sha256");
  const done = Promise.all([ended(tar, "tar"), ended(zstd, "zstd")]);
  await pipeline(
    tar.stdout,
    async function* (chunks) {
      for await (const chunk of chunks) {
        inside.update(chunk);
        yield chunk;
      }
    },
    zstd.stdin,
  );
  await done;
  return inside.digest("hex");
}

const diffId = await writeLayer();
const layout = buildOciLayout({
  title: flag("title"),
  version: flag("version"),
  licenses: flag("licenses"),
  architecture: efiArchitecture(flag("uki")) === "aa64" ? "arm64" : "amd64",
  sourceDateEpoch: sourceDateEpoch(),
  imageDigest: await sha256File(flag("disk")),
  rootHash: readFileSync(flag("root-hash"), "utf8").trim(),
  ukiDigest: await sha256File(flag("uki")),
  layer: { digest: await sha256File(layer), size: readFileSync(layer).length, diffId },
});
for (const [name, content] of Object.entries(layout)) writeFileSync(join(out, name), content);
