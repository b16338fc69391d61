import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadSources } from "../../../pipelines/sources.ts";
import { top } from "../../../scripts/house/tree.ts";

// What the program around the image builder asks of its tools, and what it does with what they leave. The tools are stand-ins: the builder's own
// image is not here, and it would need the devices of a machine.

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secai-bootc-disk-"));
  for (const name of ["bin", "out", "image", "tmp"]) mkdirSync(at(name));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function standIn(name: string, script: string): void {
  writeFileSync(at("bin", name), `#!/bin/sh\nset -eu\necho "${name} $*" >> ${at("asked")}\n${script}\n`);
  chmodSync(at("bin", name), 0o755);
}

const BUILDER = `
while [ $# -gt 0 ]; do case $1 in --output) out=$2; shift ;; --type) types="\${types:-} $2"; shift ;; esac; shift; done
for type in $types; do case $type in
  qcow2) mkdir -p "$out/qcow2"; echo qcow2 > "$out/qcow2/disk.qcow2" ;;
  raw) mkdir -p "$out/image"; echo raw > "$out/image/disk.raw" ;;
esac; done`;

async function run(formats: string, tools: Readonly<Record<string, string>>): Promise<number | null> {
  for (const [name, script] of Object.entries(tools)) standIn(name, script);
  const { programPath } = await loadSources(top, at("cache"), { sources: [], programs: ["bootc-disk"] });
  const flags = { image: at("image"), name: "localhost/secai-os:1.2.3", "root-file-system": "btrfs", formats, out: at("out") };
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const env = { PATH: `${at("bin")}:/usr/bin:/bin`, TMPDIR: at("tmp") };
  return spawnSync(process.execPath, [programPath("bootc-disk"), ...argv], { env, stdio: "ignore" }).status;
}

const all = { mount: "", skopeo: "", "bootc-image-builder": BUILDER };
const asked = (): string[] =>
  readFileSync(at("asked"), "utf8")
    .replaceAll(folder, "")
    .replaceAll(/bootc-disk-\w+/g, "WORK")
    .trim()
    .split("\n");

test("a format that the builder does not make is refused before anything is asked", async () => {
  expect(await run("iso", all)).not.toBe(0);
  expect(existsSync(at("asked"))).toBe(false);
});
test.each(["mount", "skopeo", "bootc-image-builder"] as const)("a failing %s fails the step", async (name) => {
  expect(await run("qcow2", { ...all, [name]: "exit 3" })).not.toBe(0);
});
test("a builder that leaves nothing fails the step", async () => {
  expect(await run("qcow2,raw.zst", { ...all, "bootc-image-builder": "" })).not.toBe(0);
});
test("the container goes into a storage on scratch, the builder takes it from there, and both disks come out", async () => {
  expect(await run("qcow2,raw.zst", all)).toBe(0);
  expect(asked()).toEqual([
    "mount --bind /tmp/WORK/var /var",
    "skopeo copy --quiet oci:/image containers-storage:localhost/secai-os:1.2.3",
    "bootc-image-builder build --type qcow2 --type raw --rootfs btrfs --output /tmp/WORK/made localhost/secai-os:1.2.3",
  ]);
  expect(readFileSync(at("out/disk.qcow2"), "utf8")).toBe("qcow2\n");
  expect(zstdDecompressSync(readFileSync(at("out/disk.raw.zst"))).toString()).toBe("raw\n");
});
