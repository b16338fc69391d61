import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";

/** Where the kernel tells about its devices; a test has a tree of its own. */
export interface KernelFiles {
  /** Usually /sys. */
  readonly sys: string;
  /** Usually /proc. */
  readonly proc: string;
}
export const kernelFiles: KernelFiles = { sys: "/sys", proc: "/proc" };

/** A whole disk as the kernel shows it. */
export interface Disk {
  /** The kernel's name, e.g. "sdb"; the device file is /dev/sdb. */
  readonly name: string;
  /** "major:minor". */
  readonly number: string;
  /** Bytes. */
  readonly size: number;
  readonly model: string;
  readonly removable: boolean;
  readonly readOnly: boolean;
  /** The disk itself, its partitions, and all that is built upon them (LVM, encryption, RAID), as "major:minor". */
  readonly numbers: readonly string[];
  /** Names of what is built upon the disk. */
  readonly holders: readonly string[];
  /** Where file systems of it are mounted. */
  readonly mounts: readonly string[];
  readonly swap: boolean;
}

/** Every whole disk that has a medium in it; memory disks and unused loop devices are left out. */
export function listDisks(files: KernelFiles = kernelFiles): readonly Disk[] {
  const uses = usesOf(files);
  return readdirSync(join(files.sys, "block"))
    .filter((name) => !/^(zram|ram|dm-)/.test(name))
    .toSorted()
    .map((name) => readDisk(files, name, uses))
    .filter(({ size }) => size > 0);
}

/** What the kernel says of "major:minor": a whole disk, a part or mapping of one, or nothing. */
export function findDisk(number: string, files: KernelFiles = kernelFiles): Disk | "not-a-disk" | undefined {
  const link = quietly(() => readlinkSync(join(files.sys, "dev/block", number)));
  if (link === undefined) return undefined;
  const name = basename(link);
  if (/^dm-/.test(name) || readValue(join(files.sys, "block", name, "size")) === undefined) return "not-a-disk";
  return readDisk(files, name, usesOf(files));
}

interface Uses {
  /** Mount points by "major:minor" and by device path. */
  readonly mounts: ReadonlyMap<string, readonly string[]>;
  /** Device paths of active swap. */
  readonly swaps: ReadonlySet<string>;
}

function readDisk({ sys }: KernelFiles, name: string, uses: Uses): Disk {
  const dir = join(sys, "block", name);
  const parts = namesIn(dir).filter((part) => readValue(join(dir, part, "partition")) !== undefined);
  const holders = [...new Set([dir, ...parts.map((part) => join(dir, part))].flatMap((path) => holdersOf(sys, path, 0)))];
  const all = [name, ...parts, ...holders];
  const numberOf = (one: string) => readValue(join(parts.includes(one) ? join(dir, one) : join(sys, "block", one), "dev")) ?? "";
  const numbers = all.map(numberOf).filter((number) => number !== "");
  const mounts = [...numbers, ...all.map((one) => `/dev/${one}`)].flatMap((key) => uses.mounts.get(key) ?? []);
  return {
    name,
    number: numberOf(name),
    // The kernel counts in sectors of 512 bytes here, whatever those of the medium are.
    size: Number(readValue(join(dir, "size")) ?? "0") * 512,
    model: modelOf(dir),
    removable: readValue(join(dir, "removable")) === "1",
    readOnly: readValue(join(dir, "ro")) === "1",
    numbers,
    holders,
    mounts: [...new Set(mounts)].toSorted(),
    swap: all.some((one) => uses.swaps.has(`/dev/${one}`)),
  };
}

/** Mappings upon mappings, e.g. a logical volume in an encrypted partition. */
function holdersOf(sys: string, dir: string, depth: number): readonly string[] {
  if (depth > 8) return [];
  const direct = namesIn(join(dir, "holders"));
  return direct.flatMap((name) => [name, ...holdersOf(sys, join(sys, "block", name), depth + 1)]);
}

function modelOf(dir: string): string {
  const backing = readValue(join(dir, "loop/backing_file"));
  if (backing !== undefined) return `loop over ${backing}`;
  const words = [readValue(join(dir, "device/vendor")), readValue(join(dir, "device/model"))];
  // A device chooses its own name: only printable ASCII reaches a terminal.
  return words
    .filter((word) => word !== undefined && !word.startsWith("0x"))
    .join(" ")
    .replaceAll(/[^ -~]/g, "?");
}

/** proc_pid_mountinfo(5): fields 3 (major:minor) and 5 (mount point), and the source after the separator. */
function usesOf({ proc }: KernelFiles): Uses {
  const mounts = new Map<string, string[]>();
  const add = (key: string, point: string) => mounts.set(key, [...(mounts.get(key) ?? []), point]);
  for (const line of linesOf(join(proc, "self/mountinfo"))) {
    const [, , number = "", , point = ""] = line.split(" ");
    const source = line.split(" - ")[1]?.split(" ")[1] ?? "";
    add(number, unescapeOctal(point));
    if (source.startsWith("/dev/")) add(source, unescapeOctal(point));
  }
  const swaps = linesOf(join(proc, "swaps"))
    .slice(1)
    .map((line) => unescapeOctal(line.split(/\s+/)[0] ?? ""));
  return { mounts, swaps: new Set(swaps) };
}

const unescapeOctal = (text: string) =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

function linesOf(path: string): readonly string[] {
  return readFileSync(path, "utf8").split("\n").filter(Boolean);
}

const namesIn = (dir: string): readonly string[] => quietly(() => readdirSync(dir)) ?? [];
const readValue = (path: string): string | undefined => quietly(() => readFileSync(path, "utf8").trim());

/** Undefined for what is not there: devices come and go, and not every kind has every file. */
function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
