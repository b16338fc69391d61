import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AA64, peProgram, X64 } from "../../../pipelines/programs/efi.test-data.ts";
import { toolRootPath } from "../measure/tool-root.ts";
import { ProgramFolder } from "./program.ts";

// Discoverable Partitions Specification: root and root-verity partitions of each architecture.
const TYPES = {
  x64: ["4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"],
  aa64: ["B921B045-1DF0-41C3-AF44-4C6F280D3FAE", "DF3300CE-D69F-4C92-978C-9BFB0F38D820"],
} as const;
const ROOT_HASH = "ab".repeat(16) + "cd".repeat(16);

let folder: ProgramFolder;
beforeAll(async () => {
  folder = await ProgramFolder.open(["disk"], toolRootPath("SECAI_BUILD_ROOT"));
  mkdirSync(folder.at("sealed"));
  mkdirSync(folder.at("descriptions"));
  folder.run("head -c 1048576 /dev/urandom > sealed/root.erofs && head -c 65536 /dev/urandom > sealed/root.verity");
  writeFileSync(folder.at("ROOT_HASH"), `${ROOT_HASH}\n`);
});
afterAll(() => folder.remove());

interface Partition {
  readonly type: string;
  readonly uuid: string;
  readonly name: string;
}

function partitionsOf(name: string, machine: number): readonly Partition[] {
  writeFileSync(folder.at(`${name}.efi`), peProgram(machine));
  const files = { sealed: "./sealed", "root-hash": "./ROOT_HASH", uki: `./${name}.efi`, bootloader: `./${name}.efi` };
  const sizes = { "esp-mib": "40", "root-mib": "8", "verity-mib": "8", "image-gib": "1" };
  const seed = "9a1b0c2d-0000-8000-8000-000000000000";
  const rest = { version: "1.2.3", seed, extensions: "", descriptions: "./descriptions", out: `./${name}` };
  folder.program("disk", { ...files, ...sizes, ...rest }, name);
  folder.run(`zstd -dq ${name}/disk.raw.zst -o ${name}.raw && sfdisk --json ${name}.raw > ${name}.json`);
  return (JSON.parse(readFileSync(folder.at(`${name}.json`), "utf8")) as { partitiontable: { partitions: Partition[] } })
    .partitiontable.partitions;
}

for (const [name, machine] of [
  ["x64", X64],
  ["aa64", AA64],
] as const)
  test(`the slot of an image for ${name} has that architecture's partition types, and the root hash for its names`, () => {
    const slot = partitionsOf(name, machine).slice(1);
    expect(slot.map(({ type }) => type)).toEqual(TYPES[name]);
    expect(slot.map(({ uuid }) => uuid.replaceAll("-", "").toLowerCase()).join("")).toBe(ROOT_HASH);
    expect(slot.map((partition) => partition.name)).toEqual(["root_1.2.3", "root_1.2.3_verity"]);
  });
