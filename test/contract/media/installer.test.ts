import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { zstdCompressSync } from "node:zlib";
import { sha256 } from "@secai/formats/digest";
import { afterAll, expect, test } from "vitest";
import { type FakeDisk, type InstallerRun, InstallerScene } from "./installer.ts";

const MIB = 2 ** 20;
const scene = new InstallerScene();
afterAll(() => scene.remove());

/** Three MiB and a block: the last part is no whole MiB, as that of the image is not. */
const content = randomBytes(3 * MIB + 4096);
const payload = zstdCompressSync(content);
const words = {
  "secai.install": `sha256:${sha256(payload)}`,
  "secai.install-content": `sha256:${sha256(content)}`,
  "secai.install-bytes": `${content.length}`,
  "secai.install-minimum-gib": "8",
  "secai.install-version": "1.2.3",
};
const line = (changes: Partial<typeof words> = {}) =>
  ["quiet", ...Object.entries({ ...words, ...changes }).map(([name, value]) => `${name}=${value}`)].join(" ");
const vda: FakeDisk = { name: "vda", mib: 16_384 };
const confirmed = ["vda", "erase vda"];
const run = (change: Partial<InstallerRun> = {}) =>
  scene.run({ commandLine: line(), payload, disks: [vda], lines: confirmed, ...change });
const untouched = (name = "vda") =>
  readFileSync(scene.disk(name))
    .subarray(content.length)
    .every((byte) => byte === 0xee);
const start = (name = "vda") => readFileSync(scene.disk(name)).subarray(0, MIB);

const OLD = Buffer.alloc(MIB, 0xee);

const impossible: readonly { name: string; disk: FakeDisk; mounts?: string; why: RegExp }[] = [
  { name: "one that is read-only", disk: { ...vda, readOnly: true }, why: /Not possible: read-only/ },
  { name: "one a MiB too small", disk: { ...vda, mib: 8191 }, why: /Not possible: smaller than 8 GiB/ },
  { name: "one that another device is made of", disk: { ...vda, holder: "dm-0" }, why: /Not possible: in use by dm-0/ },
  { name: "one that is mounted", disk: vda, mounts: "/dev/vda / ext4 rw 0 0\n", why: /Not possible: in use: mounted/ },
  { name: "one with a mounted partition", disk: vda, mounts: "/dev/vda3 /x ext4 rw 0 0\n", why: /Not possible: in use: mounted/ },
  {
    name: "an NVMe disk with a mounted partition",
    disk: { ...vda, name: "nvme0n1" },
    mounts: "/dev/nvme0n1p2 /x ext4 rw 0 0\n",
    why: /Not possible: in use: mounted/,
  },
  {
    name: "an installation medium",
    disk: { ...vda, content: Buffer.concat([Buffer.alloc(16 * 2048), Buffer.from("\x01CD001\x01")]) },
    why: /Not possible: an installation medium/,
  },
];
for (const { name, disk, mounts, why } of impossible) {
  test(`does not offer ${name}`, () => {
    const before = sha256(
      Buffer.concat([disk.content ?? Buffer.alloc(0), OLD.subarray(disk.content?.length ?? 0)]).subarray(0, MIB),
    );
    const { status, output } = run({ disks: [disk], lines: [disk.name, `erase ${disk.name}`], ...(mounts && { mounts }) });
    expect(output).toMatch(why);
    expect(status).toBe(1);
    expect(sha256(start(disk.name))).toBe(before);
  });
}

const unconfirmed: readonly { name: string; lines: readonly string[]; says: RegExp }[] = [
  { name: "a name that is none", lines: ["vdb"], says: /There is no disk of this name/ },
  { name: "a path", lines: ["/dev/vda"], says: /There is no disk of this name/ },
  { name: "two names", lines: ["vda vda"], says: /There is no disk of this name/ },
  { name: "a partition", lines: ["vda1"], says: /There is no disk of this name/ },
  { name: "a pattern", lines: ["vd*"], says: /There is no disk of this name/ },
  { name: "no confirmation", lines: ["vda", ""], says: /Not confirmed/ },
  { name: "yes", lines: ["vda", "yes"], says: /Not confirmed/ },
  { name: "the name alone", lines: ["vda", "vda"], says: /Not confirmed/ },
  { name: "another disk's confirmation", lines: ["vda", "erase vdb"], says: /Not confirmed/ },
];
for (const { name, lines, says } of unconfirmed) {
  test(`writes nothing for ${name}`, () => {
    const { output } = run({ lines });
    expect(output).toMatch(says);
    expect(start()).toEqual(OLD);
  });
}

const damaged = [
  {
    name: "a payload with one byte changed",
    change: { payload: Buffer.from(payload.map((byte, at) => (at === 9 ? byte ^ 1 : byte))) },
  },
  { name: "a payload cut short", change: { payload: payload.subarray(0, -1) } },
  { name: "another image's digest", change: { commandLine: line({ "secai.install": `sha256:${sha256("x")}` }) } },
  { name: "no digest", change: { commandLine: line().replace(/secai\.install=\S+/, "") } },
  { name: "a digest twice", change: { commandLine: `${line()} secai.install=sha256:${sha256("x")}` } },
  { name: "a digest that is none", change: { commandLine: line({ "secai.install": "sha256:*" }) } },
  { name: "no content digest", change: { commandLine: line().replace(/secai\.install-content=\S+/, "") } },
];
for (const { name, change } of damaged) {
  test(`installs nothing with ${name}`, () => {
    const { output } = run(change);
    expect(output).toMatch(/SECAI-INSTALL-DAMAGED/);
    expect(output).not.toMatch(/SECAI-INSTALLED/);
    expect(start()).toEqual(OLD);
  });
}

test("a disk that does not hold what was written starts nothing", () => {
  const { output } = run({ commandLine: line({ "secai.install-content": `sha256:${sha256("x")}` }) });
  expect(output).toMatch(/SECAI-INSTALL-FAILED/);
  expect(output).not.toMatch(/SECAI-INSTALLED/);
  expect(start().equals(Buffer.alloc(MIB))).toBe(true);
});

test("installs on the disk that is named and confirmed, leaves the others alone, and says what it did", () => {
  const { output } = run({ disks: [{ ...vda, name: "sda" }, vda, { ...vda, name: "vdaa" }] });
  expect(output).toMatch(new RegExp(`^content read back {3}sha256:${sha256(content)}$`, "m"));
  expect(output).toMatch(new RegExp(`^image +sha256:${sha256(payload)}$`, "m"));
  expect(readFileSync(scene.disk("vda")).subarray(0, content.length).equals(content)).toBe(true);
  expect(untouched()).toBe(true);
  for (const name of ["sda", "vdaa"]) expect(start(name)).toEqual(OLD);
});

test("after a refusal it asks again", () => {
  const { output } = run({ lines: ["vdz", "vda", "no", ...confirmed] });
  expect(output).toMatch(/no disk of this name.*Not confirmed.*SECAI-INSTALLED on vda/s);
});
