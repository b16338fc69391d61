import { existsSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Partition, partitionOf, readPartitions } from "./gpt.ts";
import { RELEASE_INSIDE, type Tools } from "./tools.ts";

const ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/**
 * Unpacks a release's disk image to a sparse raw file, from the QCOW2 if there is one: its empty parts cost nothing.
 * @throws VmError HARNESS_TOOL_FAILED
 */
export async function unpackDisk(tools: Tools, releaseDir: string, path: string): Promise<void> {
  const qcow2 = join(RELEASE_INSIDE, "disk.qcow2");
  const unpack = existsSync(join(releaseDir, "disk.qcow2"))
    ? ["qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", qcow2, path]
    : ["zstd", "--quiet", "--decompress", "--sparse", "--force", join(RELEASE_INSIDE, "disk.raw.zst"), "-o", path];
  await tools.run(unpack, { timeoutMs: 300_000 });
}

export async function unlinkDisk(disk: RawDisk): Promise<void> {
  await rm(disk.path, { force: true });
}

/** A raw disk image that a scenario may change while no machine runs from it. */
export class RawDisk {
  readonly path: string;
  readonly partitions: readonly Partition[];
  readonly #tools: Tools;

  private constructor(tools: Tools, path: string, partitions: readonly Partition[]) {
    this.#tools = tools;
    this.path = path;
    this.partitions = partitions;
  }

  static async open(tools: Tools, path: string): Promise<RawDisk> {
    return new RawDisk(tools, path, await readPartitions(path));
  }

  /** A copy that shares nothing; holes stay holes, blocks are shared where the file system can. @throws VmError HARNESS_TOOL_FAILED */
  async copy(path: string): Promise<RawDisk> {
    await this.#tools.run(["cp", "--sparse=always", "--reflink=auto", this.path, path]);
    return new RawDisk(this.#tools, path, this.partitions);
  }

  partition(label: string): Partition {
    return partitionOf(this.partitions, (partition) => partition.label === label, label);
  }

  get esp(): Partition {
    return partitionOf(this.partitions, (partition) => partition.typeGuid === ESP_TYPE, "EFI system partition");
  }

  /** File names in a folder of the ESP, e.g. "/EFI/Linux". */
  async listEsp(folder: string): Promise<string[]> {
    const { stdout } = await this.#tools.run(["mdir", "-b", "-i", this.#espImage(), `::${folder}`]);
    return stdout
      .toString("utf8")
      .split("\n")
      .map((line) => line.trim().split("/").at(-1) ?? "")
      .filter((name) => name !== "");
  }

  /** Copies a file into the ESP, making its folder when it is not there. */
  async putEsp(source: string, target: string): Promise<void> {
    const folder = target.slice(0, target.lastIndexOf("/"));
    await this.#tools.run(["mmd", "-D", "s", "-i", this.#espImage(), `::${folder}`]).catch(() => undefined);
    await this.#tools.run(["mcopy", "-D", "o", "-i", this.#espImage(), source, `::${target}`]);
  }

  async getEsp(source: string, target: string): Promise<void> {
    await this.#tools.run(["mcopy", "-n", "-i", this.#espImage(), `::${source}`, target]);
  }

  async removeEsp(path: string): Promise<void> {
    await this.#tools.run(["mdel", "-i", this.#espImage(), `::${path}`]);
  }

  async read(position: number, length: number): Promise<Buffer> {
    const file = await open(this.path, "r");
    try {
      return (await file.read(Buffer.alloc(length), 0, length, position)).buffer;
    } finally {
      await file.close();
    }
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    const file = await open(this.path, "r+");
    try {
      await file.write(bytes, 0, bytes.length, position);
    } finally {
      await file.close();
    }
  }

  /** Changes the lowest bit of one byte. */
  async flipByte(position: number): Promise<void> {
    const byte = await this.read(position, 1);
    await this.write(position, Uint8Array.of((byte[0] ?? 0) ^ 1));
  }

  #espImage(): string {
    return `${this.path}@@${this.esp.offset}`;
  }
}
