import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BlockDevices, ensureCredential, kernelBlockDevices, requireLuks, requirePrivateDirectory } from "./credentials.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "secai-credentials-"));
});
afterEach(() => rm(directory, { recursive: true }));

describe("ensureCredential", () => {
  test("makes a private secret once and leaves it alone afterwards", async () => {
    expect(await ensureCredential(directory, "a.token")).toBe("created");
    const secret = await readFile(join(directory, "a.token"), "utf8");
    expect(secret).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await stat(join(directory, "a.token"))).mode & 0o777).toBe(0o600);
    expect(await ensureCredential(directory, "a.token")).toBe("kept");
    expect(await readFile(join(directory, "a.token"), "utf8")).toBe(secret);
    expect(await readdir(directory)).toEqual(["a.token"]);
  });

  test("two secrets differ, and a left-over of a crash is no obstacle", async () => {
    await writeFile(join(directory, ".b.token.new"), "half");
    await ensureCredential(directory, "a.token");
    await ensureCredential(directory, "b.token");
    expect(await readFile(join(directory, "a.token"))).not.toEqual(await readFile(join(directory, "b.token")));
  });

  test("refuses an altered one and does not repair it", async () => {
    await writeFile(join(directory, "a.token"), "altered", { mode: 0o600 });
    await expect(ensureCredential(directory, "a.token")).rejects.toMatchObject({ code: "CREDENTIAL_MALFORMED" });
    expect(await readFile(join(directory, "a.token"), "utf8")).toBe("altered");
  });
});

test("a directory that others can enter is refused", async () => {
  await requirePrivateDirectory(directory);
  await chmod(directory, 0o755);
  await expect(requirePrivateDirectory(directory)).rejects.toMatchObject({ code: "CREDENTIAL_MALFORMED" });
});

/** "name" -> what it is made of; names that begin with "luks" carry a LUKS UUID. */
function stack(layout: Readonly<Record<string, readonly string[]>>, top: string): BlockDevices {
  return {
    deviceOf: async () => top,
    mapperUuid: async (device) =>
      device.startsWith("luks") ? `CRYPT-LUKS2-${"0".repeat(32)}-var\n` : device.startsWith("plain") ? "CRYPT-PLAIN-x" : "",
    slaves: async (device) => layout[device] ?? [],
  };
}

const stacks: readonly { name: string; ok: boolean; devices: BlockDevices }[] = [
  { name: "a LUKS volume", ok: true, devices: stack({}, "luks") },
  { name: "a logical volume on LUKS", ok: true, devices: stack({ lv: ["luks"] }, "lv") },
  { name: "a logical volume on two LUKS volumes", ok: true, devices: stack({ lv: ["luks1", "luks2"] }, "lv") },
  { name: "a disk", ok: false, devices: stack({}, "disk") },
  { name: "plain dm-crypt", ok: false, devices: stack({ plain: ["disk"] }, "plain") },
  { name: "a logical volume half on LUKS", ok: false, devices: stack({ lv: ["luks", "disk"] }, "lv") },
  { name: "devices in a circle", ok: false, devices: stack({ a: ["b"], b: ["a"] }, "a") },
];
describe("requireLuks", () => {
  for (const { name, ok, devices } of stacks) {
    test(`${ok ? "accepts" : "refuses"} ${name}`, async () => {
      const result = requireLuks("/x", devices);
      if (ok) await result;
      else await expect(result).rejects.toMatchObject({ code: "CREDENTIAL_STORE_UNENCRYPTED" });
    });
  }

  test("refuses a directory without a block device, as the kernel describes it", async () => {
    await expect(requireLuks("/proc", kernelBlockDevices)).rejects.toMatchObject({ code: "CREDENTIAL_STORE_UNENCRYPTED" });
  });
});
