import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { parseSha256, type Sha256 } from "../../attest/formats/digest.ts";
import { EXTENSION_PARTITION_TYPE } from "../../attest/formats/extensions.ts";
import type { Bench } from "./bench.ts";
import type { RawDisk } from "./disk.ts";
import { VmError } from "./errors.ts";
import type { Partition } from "./gpt.ts";
import { rebuildUki, type UkiChange } from "./uki.ts";

/** The version that slot B pretends to be: newer than any release, so that the boot loader prefers it. */
export const UPDATE_VERSION = "99.0.0";

export interface Update {
  /** Boot attempts that the entry is good for. */
  readonly tries: number;
  /** Added to the update's kernel command line. */
  readonly extraArguments: string;
  readonly pcrPolicy: UkiChange["pcrPolicy"];
}

/** An update as it is handed out: what goes into the slot, and the kernel image for it. */
export interface BuiltUpdate {
  readonly rootHash: Sha256;
  /** The signed kernel image. */
  readonly ukiPath: string;
  readonly dataPath: string;
  readonly hashPath: string;
  readonly tries: number;
}

/** Builds an update from a disk and installs it into that disk's slot B. @throws VmError */
export async function installUpdate(bench: Bench, disk: RawDisk, uki: Uint8Array, update: Update, name: string): Promise<void> {
  await placeUpdate(bench, disk, await buildUpdate(bench, disk, uki, update, name));
}

/**
 * The same root as in slot A of a disk whose machine is off, with another hash tree (two slots must never hold one image, their partition
 * UUIDs would be the same), and a kernel image for it, signed with the test key. The disk stays as it is.
 * @throws VmError
 */
export async function buildUpdate(
  bench: Bench,
  disk: RawDisk,
  uki: Uint8Array,
  update: Update,
  name: string,
): Promise<BuiltUpdate> {
  const dir = join(bench.dir, name);
  await mkdir(dir);
  const [dataA] = pair(disk, (label) => /^root_[^_]+$/.test(label));
  await copyRange(disk.path, dataA.offset, join(dir, "data"), 0, dataA.size);
  const rootHash = await formatVerity(bench, dir);
  const change: UkiChange = {
    commandLine: (old) => `${old.replace(/roothash=[0-9a-f]{64}/, `roothash=${rootHash}`)} ${update.extraArguments}`.trim(),
    osRelease: (old) => old.replace(/^IMAGE_VERSION=.*$/m, `IMAGE_VERSION=${UPDATE_VERSION}`),
    pcrPolicy: update.pcrPolicy,
  };
  const ukiPath = await rebuildUki(bench.tools, dir, uki, change, bench.testKey);
  return { rootHash, ukiPath, dataPath: join(dir, "data"), hashPath: join(dir, "hash"), tries: update.tries };
}

/** Installs an update into slot B of a disk whose machine is off. @throws VmError */
export async function placeUpdate(bench: Bench, disk: RawDisk, update: BuiltUpdate): Promise<void> {
  const { rootHash, ukiPath, dataPath, hashPath, tries } = update;
  const [data, hash] = emptySlot(disk);
  await copyRange(dataPath, 0, disk.path, data.offset, data.size);
  await copyRange(hashPath, 0, disk.path, hash.offset, hash.size);
  await identify(bench, disk, data.number, `root_${UPDATE_VERSION}`, rootHash.slice(0, 32));
  await identify(bench, disk, hash.number, `root_${UPDATE_VERSION}_verity`, rootHash.slice(32));
  await disk.putEsp(ukiPath, `/EFI/Linux/secai_${UPDATE_VERSION}+${tries}.efi`);
}

function pair(disk: RawDisk, test: (label: string, partition: Partition) => boolean): [Partition, ...Partition[]] {
  const [first, ...rest] = disk.partitions.filter((partition) => test(partition.label, partition));
  if (first === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "a root partition", actual: "none" });
  return [first, ...rest];
}

/** Slot B as first boot leaves it: two partitions without content, data and hash tree. */
export function emptySlot(disk: RawDisk): [Partition, Partition] {
  const [data, hash] = pair(
    disk,
    (label, { typeGuid }) =>
      typeGuid !== EXTENSION_PARTITION_TYPE && (label === "_empty" || label.startsWith(`root_${UPDATE_VERSION}`)),
  );
  if (hash === undefined) throw new VmError("HARNESS_PROTOCOL", { expected: "an empty slot", actual: "half of one" });
  return [data, hash];
}

async function formatVerity(bench: Bench, dir: string): Promise<Sha256> {
  const { stdout } = await bench.tools.run(
    [
      "veritysetup",
      "format",
      "--salt=5ecabad0",
      "--uuid=5ecaabad-0000-4000-8000-000000000099",
      join(dir, "data"),
      join(dir, "hash"),
    ],
    { timeoutMs: 120_000 },
  );
  const hash = /^Root hash:\s+([0-9a-f]{64})$/m.exec(stdout.toString("utf8"))?.[1];
  if (hash === undefined)
    throw new VmError("HARNESS_PROTOCOL", { expected: "a root hash from veritysetup", actual: stdout.toString("utf8") });
  return parseSha256(hash);
}

/** systemd finds verity partitions by the halves of the root hash (Discoverable Partitions Specification). */
async function identify(bench: Bench, disk: RawDisk, number: number, label: string, half: string): Promise<void> {
  const uuid = half.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  await bench.tools.run(["sfdisk", "-q", "--part-uuid", disk.path, String(number), uuid]);
  await bench.tools.run(["sfdisk", "-q", "--part-label", disk.path, String(number), label]);
}

const CHUNK_BYTES = 4 << 20;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** Copies bytes between files; where the source has only zeros and the target nothing, the target keeps its hole. */
async function copyRange(
  source: string,
  sourceOffset: number,
  target: string,
  targetOffset: number,
  length: number,
): Promise<void> {
  const from = await open(source, "r");
  const to = await open(target, targetOffset === 0 ? "w" : "r+");
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0; at < length; ) {
      const { bytesRead } = await from.read(buffer, 0, Math.min(CHUNK_BYTES, length - at), sourceOffset + at);
      if (bytesRead === 0) break;
      const chunk = buffer.subarray(0, bytesRead);
      if (!chunk.equals(ZEROS.subarray(0, bytesRead))) await to.write(chunk, 0, bytesRead, targetOffset + at);
      at += bytesRead;
    }
    if (targetOffset === 0) await to.truncate(length);
  } finally {
    await from.close();
    await to.close();
  }
}
