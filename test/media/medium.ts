import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { runtimeVerdict } from "../vm/attest.ts";
import { RawDisk } from "../vm/disk.ts";
import { expectEqual } from "../vm/expect.ts";
import type { Machine, MachineParts } from "../vm/machine.ts";
import type { Test } from "../vm/suite.ts";
import { RELEASE_INSIDE } from "../vm/tools.ts";

/** A file of the release as tools of the bench see it. @throws VmError CAPABILITY_MISSING when this release leaves it out */
export function mediumPath(test: Test, name: string): string {
  if (!existsSync(test.release.file(name))) test.missing(`${name} in the release: make release makes every medium`);
  return join(RELEASE_INSIDE, name);
}

/** A path of the run directory that no other scenario uses. */
export const scratch = (test: Test, name: string): string =>
  join(test.bench.dir, `${test.world.uniqueName(test.scenario.id)}-${name}`);

/** Converts a disk image to a raw file of its own. */
export async function toRaw(test: Test, path: string, format: string): Promise<RawDisk> {
  const raw = scratch(test, "raw");
  await test.bench.tools.run(["qemu-img", "convert", "-q", "-f", format, "-O", "raw", path, raw], { timeoutMs: 300_000 });
  return await RawDisk.open(test.bench.tools, raw);
}

export async function addAgent(test: Test, disk: RawDisk): Promise<void> {
  await disk.putEsp(test.bench.media.addonPath, "/loader/addons/test.addon.efi");
}

/**
 * The medium with the test addon in its ESP. The medium itself stays what is read: an overlay holds only the clusters that the addon changed.
 */
export async function withAgent(test: Test, path: string, format: "qcow2" | "vmdk"): Promise<MachineParts["backing"]> {
  const changed = await toRaw(test, path, format);
  await addAgent(test, changed);
  const overlay = scratch(test, "overlay");
  const { tools } = test.bench;
  await tools.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", changed.path, overlay]);
  await tools.run(["qemu-img", "rebase", "-q", "-f", "qcow2", "-F", format, "-b", path, overlay], { timeoutMs: 300_000 });
  await rm(changed.path);
  return { path: overlay, format: "qcow2" };
}

/** Boots and demands that everything is up and that the machine proves to be the release. */
export async function expectAttested(test: Test, machine: Machine): Promise<void> {
  test.measure("agentMs", await machine.boot());
  await machine.waitForRunning();
  test.measure("runningMs", machine.uptimeMs);
  const { verdict, findings } = await runtimeVerdict(test.release, test.bench, machine, { trust: "test" });
  expectEqual(findings.join("; "), "", "failed checks");
  expectEqual(verdict, "accepted", "verdict");
}
