import { createHash, randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { type FlashMachine, runFlash } from "@secai/release/flash/command";
import { kernelFiles, listDisks } from "@secai/release/flash/devices";
import { openTarget, type Target } from "@secai/release/flash/target";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { releaseOfDisk } from "../release/disk.ts";
import { makeKeys, makeRelease, temporaryDirectory } from "../release/fixture.ts";
import { flip } from "../release/forge.ts";
import { type Loop, loopDevice, tool } from "./loop.ts";

const MIB = 1 << 20;
const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);

/** 5 MiB that no two places of are alike, and an odd end. */
const raw = Buffer.concat([randomBytes(3 * MIB), Buffer.alloc(2 * MIB), randomBytes(1000 * 512)]);
const disk = at("release/disk.raw.zst");
let loop: Loop;
const loops: Loop[] = [];

beforeAll(async () => {
  makeKeys(at("keys"));
  const content = zstdCompressSync(raw);
  await makeRelease(at("release"), at("keys"), releaseOfDisk(content));
  await makeRelease(at("tampered"), at("keys"), releaseOfDisk(content));
  flip(at("tampered"), "disk.raw.zst", 100_000);
  loop = loopDevice(at("loop.img"), 16 * MIB);
  loops.push(loop);
});
afterAll(() => {
  for (const one of loops) one[Symbol.dispose]();
});

interface Asked {
  readonly machine?: FlashMachine;
  readonly answer?: string;
  readonly signal?: AbortSignal;
}

async function flash(args: readonly string[], { machine, answer, signal }: Asked = {}) {
  const said = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => {
      said.stdout += text;
    },
    stderr: (text: string) => {
      said.stderr += text;
    },
    env: { SECAI_KEYS: at("keys") },
    ask: async () => answer,
    ...(signal !== undefined && { signal }),
  };
  return { exit: await runFlash(args, io, machine), ...said };
}

/** What the device holds, past every cache. */
function held(bytes = raw.length): Buffer {
  tool("sync", loop.path);
  return readFileSync(loop.file).subarray(0, bytes);
}
function old(): void {
  writeFileSync(loop.path, Buffer.alloc(16 * MIB, 0xee));
}
const untouched = () => expect(held(16 * MIB).equals(Buffer.alloc(16 * MIB, 0xee))).toBe(true);

/** The real device behind a target that one method of is replaced. */
function machineWith(change: (target: Target) => Partial<Target>): FlashMachine {
  return {
    files: kernelFiles,
    open: async (found) => {
      const target = await openTarget(found);
      return { ...target, ...change(target) };
    },
  };
}

describe("refusals, each before the first byte", () => {
  const refused: readonly { readonly name: string; readonly args: () => readonly string[]; readonly code: string }[] = [
    { name: "nothing", args: () => [], code: "FLASH_USAGE" },
    { name: "an image and no device", args: () => [disk], code: "FLASH_USAGE" },
    { name: "an unknown option", args: () => [disk, loop.path, "--force"], code: "FLASH_USAGE" },
    { name: "an image that is not there", args: () => [at("none"), loop.path], code: "FLASH_IMAGE_UNREADABLE" },
    { name: "a device that is not there", args: () => [disk, "/dev/none"], code: "FLASH_DEVICE_MISSING" },
    { name: "a file for a device", args: () => [disk, loop.file], code: "FLASH_NOT_A_DISK" },
    { name: "a character device", args: () => [disk, "/dev/null"], code: "FLASH_NOT_A_DISK" },
    { name: "a bare image", args: () => [at("bare.raw.zst"), loop.path], code: "FLASH_RELEASE_MISSING" },
    {
      name: "a file of the release that is no medium",
      args: () => [at("release/uki.efi"), loop.path],
      code: "FLASH_IMAGE_UNLISTED",
    },
    { name: "a virtual machine's disk", args: () => [at("release/disk.qcow2"), loop.path], code: "FLASH_IMAGE_UNLISTED" },
    { name: "a tampered image", args: () => [at("tampered"), loop.path], code: "GATE_REJECTED" },
    {
      name: "another image under the name of a listed one",
      args: () => [at("elsewhere/disk.raw.zst"), loop.path, "--release", at("release")],
      code: "FLASH_IMAGE_CHANGED",
    },
    { name: "a stranger's key", args: () => [at("release"), loop.path, "--key", at("other/release.pub")], code: "GATE_REJECTED" },
    { name: "no confirmation", args: () => [disk, loop.path], code: "FLASH_NOT_CONFIRMED" },
    { name: "another name for a confirmation", args: () => [disk, loop.path, "--yes", "/dev/sda"], code: "FLASH_NOT_CONFIRMED" },
  ];
  beforeAll(() => {
    makeKeys(at("other"));
    copyFileSync(disk, at("bare.raw.zst"));
    mkdirSync(at("elsewhere"));
    copyFileSync(disk, at("elsewhere/disk.raw.zst"));
    flip(at("elsewhere"), "disk.raw.zst", 100_000);
    old();
  });
  test.each(refused)("$name", async ({ args, code }) => {
    await expect(flash([...args(), "--apply"])).rejects.toMatchObject({ code });
    untouched();
  });

  test("a device smaller than the unpacked image", async () => {
    using small = loopDevice(at("small.img"), 4 * MIB);
    await expect(flash([disk, small.path, "--apply", "--yes", small.path])).rejects.toMatchObject({
      code: "FLASH_DEVICE_TOO_SMALL",
    });
    expect(readFileSync(small.file).equals(Buffer.alloc(4 * MIB, 0xee))).toBe(true);
  });

  test("the disk that this system runs from", async () => {
    const system = listDisks().find(({ mounts }) => mounts.includes("/"));
    await expect(flash([disk, `/dev/${system?.name}`])).rejects.toMatchObject({ code: "FLASH_SYSTEM_DISK" });
  });
});

describe("a device in use", () => {
  test("a mounted file system, and an image that lies on it", async () => {
    tool("mkfs.ext4", "-q", "-F", loop.path);
    mkdirSync(at("mnt"));
    tool("mount", loop.path, at("mnt"));
    try {
      const args = [disk, loop.path, "--apply", "--yes", loop.path];
      await expect(flash(args)).rejects.toMatchObject({ code: "FLASH_DEVICE_MOUNTED" });
      copyFileSync(disk, at("mnt/disk.raw.zst"));
      const own = [at("mnt/disk.raw.zst"), ...args.slice(1), "--release", at("release")];
      await expect(flash(own)).rejects.toMatchObject({ code: "FLASH_IMAGE_ON_DEVICE" });
      // Where the table of mounts does not show it (another mount namespace), the kernel's exclusive open still does.
      const blind = { name: loop.path.slice(5), number: numberOf(loop.path) };
      const found = listDisks().find(({ name }) => name === blind.name);
      if (found === undefined) throw new Error("the loop device is not listed");
      await expect(openTarget({ ...found, mounts: [] })).rejects.toMatchObject({ code: "FLASH_DEVICE_HELD" });
    } finally {
      tool("umount", at("mnt"));
    }
  });

  test("a partition of it mounted", async () => {
    old();
    // Told to the kernel alone: a partition of 10 MiB that starts at 1 MiB, in sectors of 512 bytes.
    tool("addpart", loop.path, "1", "2048", "20480");
    const part = `${loop.path}p1`;
    try {
      await expect(flash([disk, part])).rejects.toMatchObject({ code: "FLASH_NOT_A_DISK" });
      tool("mkfs.ext4", "-q", "-F", part);
      tool("mount", part, at("mnt"));
      try {
        await expect(flash([disk, loop.path])).rejects.toMatchObject({ code: "FLASH_DEVICE_MOUNTED" });
      } finally {
        tool("umount", at("mnt"));
      }
    } finally {
      tool("delpart", loop.path, "1");
    }
  });
});

const numberOf = (path: string) => tool("lsblk", "--noheadings", "--nodeps", "--output", "MAJ:MIN", path);

describe("writing", () => {
  test("a dry run says what it would do and writes nothing", async () => {
    old();
    const { exit, stdout } = await flash([disk, loop.path]);
    expect(exit).toBe(0);
    expect(stdout).toContain(`would erase ${loop.path}`);
    untouched();
  });

  test("the device holds the image, read back, and what lay behind it stays", async () => {
    old();
    symlinkSync(loop.path, at("by-id"));
    const { exit, stdout } = await flash([at("release"), at("by-id"), "--apply", "--json"], { answer: loop.path });
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      written: true,
      device: loop.path,
      bytes: raw.length,
      sha256: createHash("sha256").update(raw).digest("hex"),
    });
    expect(held().equals(raw)).toBe(true);
    expect(
      held(16 * MIB)
        .subarray(raw.length)
        .every((byte) => byte === 0xee),
    ).toBe(true);
  });

  test("an image outside its release is written when it is the listed one", async () => {
    old();
    copyFileSync(disk, at("elsewhere/disk.raw.zst"));
    const args = [at("elsewhere/disk.raw.zst"), loop.path, "--release", at("release"), "--apply", "--yes", loop.path];
    expect((await flash(args)).exit).toBe(0);
    expect(held().equals(raw)).toBe(true);
  });

  test("an installer is written as it is", async () => {
    old();
    expect((await flash([at("release/installer.iso"), loop.path, "--apply", "--yes", loop.path])).exit).toBe(0);
    const iso = readFileSync(at("release/installer.iso"));
    expect(held(iso.length).equals(iso)).toBe(true);
  });

  const apply = () => [disk, loop.path, "--apply", "--yes", loop.path];
  /** No boot sector, no partition table: neither the old nor the new. */
  const notBootable = () => expect(held(MIB).equals(Buffer.alloc(MIB))).toBe(true);

  test("an interrupt in the middle leaves a device that does not boot, and says so", async () => {
    old();
    const stop = new AbortController();
    let writes = 0;
    const machine = machineWith((target) => ({
      write: async (chunk, position) => {
        writes += 1;
        if (writes === 4) stop.abort(new Error("interrupted"));
        await target.write(chunk, position);
      },
    }));
    await expect(flash(apply(), { machine, signal: stop.signal })).rejects.toMatchObject({ code: "FLASH_INTERRUPTED", exit: 3 });
    notBootable();
  });

  test("a device that refuses a write", async () => {
    old();
    const machine = machineWith((target) => ({
      write: async (chunk, position) => {
        if (position > 2 * MIB) throw Object.assign(new Error("EIO: i/o error, write"), { code: "EIO" });
        await target.write(chunk, position);
      },
    }));
    await expect(flash(apply(), { machine })).rejects.toMatchObject({ code: "FLASH_WRITE_FAILED" });
    notBootable();
  });

  test("a device that loses what it was given", async () => {
    old();
    const machine = machineWith((target) => ({
      write: async (chunk, position) => {
        if (position < 2 * MIB) await target.write(chunk, position);
      },
    }));
    await expect(flash(apply(), { machine })).rejects.toMatchObject({ code: "FLASH_READBACK_DIFFERS", exit: 1 });
  });

  test("a device that gives back less, or nothing", async () => {
    const short = machineWith((target) => ({ readBack: () => target.readBack(raw.length - 512) }));
    await expect(flash(apply(), { machine: short })).rejects.toMatchObject({ code: "FLASH_READBACK_DIFFERS" });
    const dead = machineWith(() => ({
      readBack: async function* () {
        yield Buffer.alloc(0);
        throw new Error("EIO: i/o error, read");
      },
    }));
    await expect(flash(apply(), { machine: dead })).rejects.toMatchObject({ code: "FLASH_READBACK_FAILED", exit: 3 });
  });
});

test("--list names the loop device, its size and what speaks against the system's disk", async () => {
  const { stdout } = await flash(["--list", "--json"]);
  const { disks } = JSON.parse(stdout) as { disks: { device: string; size: number; against: string | null; mounts: string[] }[] };
  expect(disks).toContainEqual(expect.objectContaining({ device: loop.path, size: 16 * MIB, against: null }));
  expect(disks.find(({ mounts }) => mounts.includes("/"))?.against).toBe("FLASH_SYSTEM_DISK");
  expect((await flash(["--list"])).stdout).toContain(loop.path);
});
