import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256, sha256File } from "../../attest/formats/digest.ts";
import { parsePe, sectionContent } from "../../attest/measure/pe.ts";
import { expectEqual, expectMatch, expectNone } from "../vm/expect.ts";
import type { Scenario, Test } from "../vm/suite.ts";
import { RELEASE_INSIDE } from "../vm/tools.ts";
import { mediumPath, scratch } from "./medium.ts";

const MINUTES = { timeoutMs: 300_000 };

async function text(test: Test, argv: readonly string[]): Promise<string> {
  return (await test.bench.tools.run(argv, MINUTES)).stdout.toString("utf8");
}

/** Shell in the tool root, for pipes. */
const shell = (test: Test, script: string): Promise<string> => text(test, ["/bin/bash", "-euo", "pipefail", "-c", script]);

/** The installer's kernel image, taken out of the EFI system partition of the ISO. */
async function installerImage(test: Test): Promise<string> {
  const iso = mediumPath(test, "installer.iso");
  const esp = scratch(test, "esp");
  // ISO 9660 blocks of 2048 bytes; the partition is the one that firmware starts from.
  const report = await text(test, ["xorriso", "-indev", iso, "-report_system_area", "plain"]);
  const [, start, blocks] = /^GPT start and size +: +2 +(\d+) +(\d+)$/m.exec(report) ?? [];
  await shell(test, `dd if=${iso} of=${esp} bs=512 skip=${start} count=${blocks} status=none`);
  const image = scratch(test, "efi");
  await shell(test, `mcopy -i ${esp} ::/EFI/Linux/secai-installer_${test.release.version}.efi ${image}`);
  return image;
}

function sectionsOf(image: Uint8Array): { readonly commandLine: string; readonly initrd: Buffer } {
  const file = parsePe(image);
  const content = (name: string) =>
    Buffer.concat(file.sections.filter((section) => section.name === name).map((section) => sectionContent(file, section)));
  return { commandLine: content(".cmdline").toString("utf8").replace(/\0+$/, "").trim(), initrd: content(".initrd") };
}

export const fileScenarios: readonly Scenario[] = [
  {
    id: "media.iso-payload",
    title: "The installer's kernel image is signed with the release's key and carries disk.raw.zst itself",
    needs: "host",
    async run(test) {
      const image = await installerImage(test);
      const db = join(RELEASE_INSIDE, "keys/db.crt");
      await text(test, ["osslsigncode", "verify", "-CAfile", db, "-TSA-CAfile", db, image]);
      const { commandLine, initrd } = sectionsOf(await readFile(image));
      expectMatch(commandLine, new RegExp(`(^| )secai\\.install=${test.release.imageDigest}( |$)`), "command line");
      const disk = test.release.read("disk.raw.zst");
      const at = initrd.indexOf(disk.subarray(0, 4096));
      const carried = sha256(initrd.subarray(at, at + disk.length));
      expectEqual(`sha256:${carried}`, test.release.imageDigest, "the disk that it carries");
    },
  },
  {
    id: "media.oci",
    title: "The OCI image unpacks to exactly the files of the baseline, and names the disk image",
    needs: "host",
    async run(test) {
      mediumPath(test, "oci/index.json");
      const layout = join(RELEASE_INSIDE, "oci");
      const copy = scratch(test, "oci");
      await text(test, [
        "skopeo",
        "copy",
        "--quiet",
        "--insecure-policy",
        `oci:${layout}:${test.release.version}`,
        `dir:${copy}`,
      ]);
      const manifest = JSON.parse(await readFile(join(copy, "manifest.json"), "utf8"));
      expectEqual(manifest.annotations["secai.image-digest"], test.release.imageDigest, "annotation");
      const layer = join(copy, manifest.layers[0].digest.slice("sha256:".length));
      await compareWithBaseline(test, layer);
    },
  },
];

/** Owners and modes from the archive's listing, contents from its files. */
async function compareWithBaseline(test: Test, layer: string): Promise<void> {
  const root = scratch(test, "root");
  const listing = await shell(test, `zstd -dc ${layer} | tar --numeric-owner --quoting-style=literal --full-time -tvf -`);
  await shell(test, `mkdir ${root}; zstd -dc ${layer} | tar -C ${root} --no-same-owner --no-same-permissions -xf -`);
  const rows = listing.split("\n").flatMap((line) => {
    const [, mode = "", owner = "", name] = /^(\S{10}) (\S+) +\d+ \S+ \S+ \.\/(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[`/${name.replace(/ -> .*$/, "").replace(/\/$/, "")}`, { mode, owner }] as const];
  });
  const packed = new Map<string, { readonly mode: string; readonly owner: string }>(rows);
  const baseline = test.release.baseline();
  const differences: string[] = [];
  for (const entry of baseline.files) {
    const found = packed.get(entry.path);
    const actual = found === undefined ? "missing" : `${found.mode} ${found.owner}`;
    const expected = `${modeText(entry)} ${entry.uid}/${entry.gid}`;
    const wanted = entry.type === "file" ? entry.sha256 : undefined;
    const content = wanted !== undefined && found !== undefined ? await sha256File(join(root, entry.path)) : undefined;
    if (actual !== expected || content !== wanted) differences.push(`${entry.path}: ${actual}, not ${expected}`);
  }
  expectNone(differences.slice(0, 5), "files that are not as the baseline says");
  const known = new Set(baseline.files.map(({ path }) => path));
  expectNone([...packed.keys()].filter((path) => !known.has(path)).slice(0, 5), "files that the baseline does not name");
}

function modeText({ type, mode }: { readonly type: string; readonly mode: string }): string {
  const bits = Number.parseInt(mode, 8);
  const letters = [..."rwxrwxrwx"].map((letter, index) => ((bits >> (8 - index)) & 1 ? letter : "-"));
  if (bits & 0o4000) letters[2] = letters[2] === "x" ? "s" : "S";
  if (bits & 0o2000) letters[5] = letters[5] === "x" ? "s" : "S";
  if (bits & 0o1000) letters[8] = letters[8] === "x" ? "t" : "T";
  return `${{ directory: "d", symlink: "l", file: "-" }[type] ?? "?"}${letters.join("")}`;
}
