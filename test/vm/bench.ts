import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { probeAccelerator } from "./accelerator.ts";
import { type AgentMedia, createAgentMedia, createTestKey, type TestKey } from "./addon.ts";
import { RawDisk, unpackDisk } from "./disk.ts";
import { type Limits, limitsFor } from "./limits.ts";
import type { Accelerator } from "./qemu.ts";
import { Tools } from "./tools.ts";

export interface BenchOptions {
  /** Release directory: disk.raw.zst, uki.efi, keys/. */
  readonly releaseDir: string;
  readonly toolRoot: string;
  readonly ownerGuid: string;
  /** Forces an accelerator instead of probing for it. */
  readonly accelerator?: Accelerator;
}

/** Everything the machines of one run share: tools, keys, the unpacked release disk, the agent's addon. */
export interface Bench {
  readonly dir: string;
  readonly tools: Tools;
  readonly releaseDir: string;
  /** The release's public keys: PK.crt, KEK.crt, db.crt, pcr.pub. */
  readonly keysDir: string;
  /** Owner of the keys that firmware enrols; PCR 7 covers it. */
  readonly ownerGuid: string;
  readonly accelerator: Accelerator;
  readonly limits: Limits;
  /** Enrolled in test firmware only; signs the addon. */
  readonly testKey: TestKey;
  /** Enrolled nowhere. */
  readonly foreignKey: TestKey;
  readonly media: AgentMedia;
  /** The release's disk, bit for bit. */
  readonly releaseDisk: RawDisk;
  /** The release's disk with the test addon in its ESP. */
  readonly testDisk: RawDisk;
}

/** Makes a run directory of its own; sockets need its name short (unix(7): 108 bytes). @throws VmError */
export async function createBench(options: BenchOptions): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), "secai-vm-"));
  try {
    return await fillBench(dir, options);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

async function fillBench(dir: string, { releaseDir, toolRoot, ownerGuid, accelerator }: BenchOptions): Promise<Bench> {
  const tools = new Tools(toolRoot, dir, releaseDir);
  const keysDir = join(dir, "keys");
  await cp(join(releaseDir, "keys"), keysDir, { recursive: true });
  const unpacked = join(dir, "release.raw");
  const [testKey, foreignKey, probed] = await Promise.all([
    createTestKey(tools, dir, "test"),
    createTestKey(tools, dir, "foreign"),
    accelerator ?? probeAccelerator(tools, dir, join(releaseDir, "uki.efi")),
    unpackDisk(tools, releaseDir, unpacked),
  ]);
  const media = await createAgentMedia(tools, dir, testKey);
  const releaseDisk = await RawDisk.open(tools, unpacked);
  const testDisk = await releaseDisk.copy(join(dir, "test.raw"));
  await testDisk.putEsp(media.addonPath, "/loader/addons/test.addon.efi");
  const limits = limitsFor(probed);
  return {
    dir,
    tools,
    releaseDir,
    keysDir,
    ownerGuid,
    accelerator: probed,
    limits,
    testKey,
    foreignKey,
    media,
    releaseDisk,
    testDisk,
  };
}

/** Deletes the run directory; `keepLogs` leaves the logs of failed scenarios, and nothing else, behind. */
export async function removeBench(bench: Bench, keepLogs = false): Promise<void> {
  if (!keepLogs || !existsSync(join(bench.dir, "logs"))) return await rm(bench.dir, { recursive: true, force: true });
  for (const name of await readdir(bench.dir)) {
    if (name !== "logs") await rm(join(bench.dir, name), { recursive: true, force: true });
  }
}
