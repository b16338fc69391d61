import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { CodedError } from "@secai/formats/errors";
import { type Extension, MAX_EXTENSIONS_BYTES, mergedExtensions, parseExtensions } from "@secai/formats/extensions";
import { ExtensionRefusal, type ExtensionRefusalCode } from "../extension-errors.ts";
import { type BlockPartition, type PciDevice, parseChoice, partitionFor, type Refused, select } from "../extensions.ts";
import { readBounded } from "../files.ts";
import { createLog, errorFields } from "../log.ts";
import { commandRunner } from "../run-command.ts";

// Opens, checks, mounts and merges the system extensions that this machine's hardware needs. A refused one is named and left out; the
// machine goes on without it. Runs before /var is there: systemd-sysext would also take what lies in /var/lib/extensions.

/** Sealed with the root file system. */
const DECLARED = "/usr/lib/secure-ai/extensions.json";
const STATE = "/run/secure-ai/extensions.json";
const MOUNTS = "/run/extensions";
const PCI = "/sys/bus/pci/devices";
const BLOCK = "/sys/class/block";

const log = createLog("extensions");
const run = commandRunner({ PATH: "/usr/sbin:/usr/bin", LC_ALL: "C", SYSTEMD_SYSEXT_HIERARCHIES: "/usr" });
const textOf = (path: string) => readFileSync(path, "latin1").trim();

const pciDevices = (): readonly PciDevice[] =>
  readdirSync(PCI).map((name) => ({
    pciClass: textOf(`${PCI}/${name}/class`).slice(2),
    vendor: textOf(`${PCI}/${name}/vendor`).slice(2),
  }));

/** The disk of a partition, from the kernel's own tree: .../block/vda/vda5 */
const diskOf = (device: string) => basename(dirname(readlinkSync(`${BLOCK}/${device}`)));

/** Undefined for what is no partition, and for a device that went away meanwhile: at first boot the disk is being laid out beside us. */
function partitionOf(device: string): BlockPartition | undefined {
  try {
    const label = /^PARTNAME=(.*)$/m.exec(textOf(`${BLOCK}/${device}/uevent`))?.[1];
    if (label === undefined) return undefined;
    return { device, disk: diskOf(device), label, bytes: Number(textOf(`${BLOCK}/${device}/size`)) * 512 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

const partitions = (): readonly BlockPartition[] =>
  readdirSync(BLOCK).flatMap((device) => {
    const partition = partitionOf(device);
    return partition === undefined ? [] : [partition];
  });

/** The one disk from which the verified root runs. */
function rootDisk(): string {
  const root = basename(readlinkSync("/dev/mapper/root"));
  const disks = new Set(readdirSync(`${BLOCK}/${root}/slaves`).map(diskOf));
  const [disk] = disks;
  if (disk === undefined || disks.size > 1)
    throw new ExtensionRefusal("EXTENSION_PARTITION", { expected: "a root on one disk", actual: [...disks].join(" ") });
  return disk;
}

function must(code: ExtensionRefusalCode, argv: readonly string[], limitMs: number): void {
  const { ok, said } = run(argv, limitMs);
  if (!ok) throw new ExtensionRefusal(code, { expected: `${argv[0]} to succeed`, actual: said });
}

const mapperName = (name: string) => `extension-${name}`;

/**
 * Opens and reads every block once: dm-verity would otherwise find a changed one only when something uses it. Default behaviour on
 * corruption: the read is an error, and nothing panics.
 */
function openVerified(extension: Extension, device: string): void {
  const { name, rootHash, dataBytes, hashOffset } = extension;
  const mapper = mapperName(name);
  const path = `/dev/${device}`;
  must("EXTENSION_UNVERIFIED", ["veritysetup", "open", `--hash-offset=${hashOffset}`, path, mapper, path, rootHash], 30_000);
  const bytes = Number(textOf(`${BLOCK}/${basename(readlinkSync(`/dev/mapper/${mapper}`))}/size`)) * 512;
  if (bytes !== dataBytes)
    throw new ExtensionRefusal("EXTENSION_UNVERIFIED", { expected: `${dataBytes} bytes of data`, actual: `${bytes}` });
  const read = ["dd", `if=/dev/mapper/${mapper}`, "of=/dev/null", "iflag=direct", "status=none"];
  // Opening compares nothing: the first read is what leads up to the root hash.
  must("EXTENSION_UNVERIFIED", [...read, "bs=4096", "count=1"], 30_000);
  must("EXTENSION_CORRUPTED", [...read, "bs=4M"], 600_000);
}

function mount({ name }: Extension): void {
  const point = `${MOUNTS}/${name}`;
  mkdirSync(point, { recursive: true, mode: 0o755 });
  must(
    "EXTENSION_UNMOUNTABLE",
    ["mount", "-t", "erofs", "-o", "ro,nodev,nosuid", `/dev/mapper/${mapperName(name)}`, point],
    30_000,
  );
}

/** What was opened of an extension that is not merged goes again; what was not, is no matter. */
function close({ name }: Extension): void {
  run(["umount", `${MOUNTS}/${name}`], 30_000);
  run(["rmdir", `${MOUNTS}/${name}`], 30_000);
  run(["veritysetup", "close", mapperName(name)], 30_000);
}

function prepare(extension: Extension, found: readonly BlockPartition[], disk: string): Refused | undefined {
  try {
    openVerified(extension, partitionFor(extension, found, disk).device);
    mount(extension);
    return undefined;
  } catch (error) {
    close(extension);
    if (!(error instanceof ExtensionRefusal)) throw error;
    log("error", "extension refused", { name: extension.name, ...errorFields(error) });
    return { name: extension.name, reason: error.code };
  }
}

/** Lays them over /usr. All or none: whatever lies there afterwards must be exactly these. */
function merge(ready: readonly Extension[]): readonly Refused[] {
  if (ready.length === 0) return [];
  const { said } = run(["systemd-sysext", "merge", "--no-reload", "--no-pager"], 60_000);
  const expected = ready.map(({ name }) => name).sort();
  const merged = mergedExtensions(textOf("/proc/self/mountinfo"))?.layers.toSorted() ?? [];
  if (merged.join(" ") === expected.join(" ")) return [];
  run(["systemd-sysext", "unmerge", "--no-reload", "--no-pager"], 60_000);
  for (const extension of ready) close(extension);
  log("error", "extensions not merged", { code: "EXTENSION_UNMERGED", expected, merged, said });
  return expected.map((name) => ({ name, reason: "EXTENSION_UNMERGED" }));
}

function writeState(merged: readonly string[], refused: readonly Refused[]): void {
  mkdirSync(dirname(STATE), { recursive: true, mode: 0o750 });
  const text = canonicalJson({ schema: 1, merged: [...merged], refused: refused.map(({ name, reason }) => ({ name, reason })) });
  writeFileSync(`${STATE}.new`, `${text}\n`, { mode: 0o644 });
  renameSync(`${STATE}.new`, STATE);
}

/** Level 2 reaches every console even under "quiet": whoever stands in front of the machine should know why its GPU does nothing. */
function announce(refused: readonly Refused[]): void {
  for (const { name, reason } of refused) {
    try {
      writeFileSync("/dev/kmsg", `<2>secure-ai: SECAI-EXTENSION-REFUSED: ${name}: ${reason}\n`);
    } catch (error) {
      log("warning", "no console", errorFields(error));
    }
  }
}

function mergeWanted(extensions: readonly Extension[]): void {
  const { wanted, refused } = select(extensions, parseChoice(textOf("/proc/cmdline")), pciDevices());
  const [found, disk] = wanted.length === 0 ? [[], ""] : [partitions(), rootDisk()];
  const prepared = wanted.map((extension) => ({ extension, refusal: prepare(extension, found, disk) }));
  const ready = prepared.flatMap(({ extension, refusal }) => (refusal === undefined ? [extension] : []));
  const unmerged = merge(ready);
  const merged = unmerged.length === 0 ? ready.map(({ name }) => name) : [];
  const all = [...refused, ...prepared.flatMap(({ refusal }) => (refusal === undefined ? [] : [refusal])), ...unmerged];
  writeState(merged, all);
  announce(all);
  log(all.length === 0 ? "info" : "error", "extensions", { merged, refused: all });
}

try {
  mergeWanted(parseExtensions(await readBounded(DECLARED, MAX_EXTENSIONS_BYTES)).extensions);
} catch (error) {
  log("error", "extensions could not be merged", errorFields(error));
  process.exit(error instanceof CodedError ? error.exit : 70);
}
