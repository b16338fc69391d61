import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
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
  /** Directory with PK.crt, KEK.crt, db.crt. */
  readonly keysDir: string;
  readonly ownerGuid: string;
  /** Directory of private keys that tools may read, if it exists. */
  readonly keyring: string;
  /** Forces an accelerator instead of probing for it. */
  readonly accelerator?: Accelerator;
}

/** Everything the machines of one run share: tools, keys, the unpacked release disk, the agent's addon. */
export interface Bench {
  readonly dir: string;
  readonly tools: Tools;
  readonly releaseDir: string;
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

async function fillBench(
  dir: string,
  { releaseDir, toolRoot, keysDir, ownerGuid, keyring, accelerator }: BenchOptions,
): Promise<Bench> {
  const tools = new Tools(toolRoot, [dir], [releaseDir, keysDir, ...(existsSync(keyring) ? [keyring] : [])]);
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
  if (!keepLogs) return await rm(bench.dir, { recursive: true, force: true });
  for (const name of await readdir(bench.dir)) {
    if (name !== "logs") await rm(join(bench.dir, name), { recursive: true, force: true });
  }
}
