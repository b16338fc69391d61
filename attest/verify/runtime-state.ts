import { integer, list, literal, object, type Shape, type TypeOf, table, text } from "@secai/formats/shape";
import { sha256Shape } from "@secai/formats/shapes";

// What a collector reports about the running system beyond the boot: a snapshot, not covered by the quote.

/** What a collector makes of any name it meets: printable ASCII, at most this long; see `visible`. */
export const MAX_NAME_CHARS = 512;
const nameShape = text(/^[ -~]*$/, MAX_NAME_CHARS);
const pathShape = text(/^\/[ -~]*$/, MAX_NAME_CHARS);

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return {
    schema: { anyOf: [{ type: "null" }, shape.schema] },
    mistake: (value, path) => (value === null ? undefined : shape.mistake(value, path)),
  };
}

/** A file and the digest of its content; null: it could not be read. For a symbolic link the digest is that of its target's text. */
const fileShape = object({ path: pathShape, sha256: nullable(sha256Shape) });

const listenerShape = object({
  protocol: literal("tcp", "udp", "raw", "packet"),
  /** RFC 5952 text; "*" for a packet socket, which has none. */
  address: text(/^([0-9a-f.:]{2,45}|\*)$/, 45),
  port: integer(0, 65_535),
  uid: integer(0, 4_294_967_295),
  /** Unit of a process that holds the socket; null: nobody does, or not in a unit. */
  unit: nullable(nameShape),
});

const unitShape = object({
  name: nameShape,
  load: nameShape,
  active: nameShape,
  /** Null: no file, as for a unit made of a mount, or one that somebody asked for and nobody wrote. */
  fragment: nullable(fileShape),
  dropIns: list(fileShape, { max: 64 }),
});

const mountShape = object({
  /** Unit in whose mount namespace it is; null: the system's own. */
  view: nullable(nameShape),
  point: pathShape,
  /** What of the file system is mounted there. */
  root: nameShape,
  /** major:minor. */
  device: text(/^\d{1,10}:\d{1,10}$/, 24),
  type: nameShape,
});

const processShape = object({
  exe: nameShape,
  /** Whether the program's file lies in the sealed root file system. */
  sealed: literal(true, false),
  unit: nullable(nameShape),
  /** Controlling terminal as major:minor; null: none. */
  terminal: nullable(text(/^\d{1,10}:\d{1,10}$/, 24)),
  /** Files it has mapped as code that do not lie in the sealed root. */
  foreignCode: list(nameShape, { max: 16 }),
});

const deviceShape = text(/^\d{1,10}:\d{1,10}$/, 24);

/** A layer of the overlay on /usr beside the root's own. */
const layerShape = object({
  /** Of the system extension, or the path of another layer. */
  name: nameShape,
  /** What is mounted whole at /run/extensions/NAME; null: nothing. */
  device: nullable(deviceShape),
  /** What device-mapper says about that device. */
  verity: literal("verified", "corrupted", "absent"),
  hash: nullable(sha256Shape),
});

/** Schema of the evidence's `running` member. Every list is bounded: a machine that has more of something is not one of ours. */
export const stateShape = object(
  {
    listeners: list(listenerShape, { max: 1024 }),
    firewall: object({
      /** Of the ruleset file. */
      file: nullable(sha256Shape),
      /** Rules in force, one object of `nft -j` a line, in order, without handles and counters. */
      loaded: nullable(list(text(/^[ -~]*$/, 4096), { max: 4096 })),
      /** The same of a network namespace in which nothing but that file was loaded. */
      expected: nullable(list(text(/^[ -~]*$/, 4096), { max: 4096 })),
    }),
    /** Value in force of every setting that a sysctl.d file names, white space as one blank; null: this kernel has none such. */
    sysctl: table(/^[ -~]{1,256}$/, nullable(nameShape), { max: 2048 }),
    units: list(unitShape, { max: 4096 }),
    /** Files and links in the folders of /run from which systemd takes units. */
    unitFiles: list(fileShape, { max: 1024 }),
    /** What the sealed generators make of the sealed root, the command line and the disk, without credentials: what of `unitFiles` is theirs. */
    generated: list(fileShape, { max: 1024 }),
    /** Policies, bundles, programs and settings of ours, as the system and the running services see them. */
    files: list(object({ path: pathShape, sha256: nullable(sha256Shape), view: nullable(nameShape) }), { max: 4096 }),
    /** Of the root file system. */
    rootDevice: text(/^\d{1,10}:\d{1,10}$/, 24),
    /** The system's mounts outside /run, /tmp and /var; of each other mount namespace, those over sealed paths. */
    mounts: list(mountShape, { max: 4096 }),
    modules: object({
      loaded: list(nameShape, { max: 2048 }),
      /** Modules that modprobe.d files forbid. */
      barred: list(nameShape, { max: 2048 }),
      /** /proc/sys/kernel/tainted. */
      taint: integer(0),
    }),
    /** Every program that runs, once for each unit and terminal. */
    processes: list(processShape, { max: 4096 }),
  },
  {
    /** What is laid over /usr, in the system's view; absent: nothing, or the collector is of a release that had no extensions. */
    overlay: object({ device: deviceShape, layers: list(layerShape, { max: 128 }) }),
  },
);
export type RunningState = TypeOf<typeof stateShape>;
export type Listener = TypeOf<typeof listenerShape>;
export type UnitState = TypeOf<typeof unitShape>;
export type FileState = TypeOf<typeof fileShape>;
export type MountState = TypeOf<typeof mountShape>;
export type OverlayState = NonNullable<RunningState["overlay"]>;
export type ProcessState = TypeOf<typeof processShape>;

/** A name from outside as evidence may hold it: what is not printable ASCII as `\u{hex}`, the end cut off. Never equal to a sealed name then. */
export function visible(name: string): string {
  const printable = name.replaceAll(/[^ -~]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
  return printable.length <= MAX_NAME_CHARS ? printable : `${printable.slice(0, MAX_NAME_CHARS - 3)}...`;
}

/** Trees of a machine that are not sealed: interfaces of the kernel, and what is written while it runs. */
export const UNSEALED_TREES = ["/boot", "/dev", "/efi", "/proc", "/run", "/sys", "/tmp", "/var"] as const;

/** Whether an absolute path lies in the sealed root file system, if nothing is mounted over it. */
export function isSealedPath(path: string): boolean {
  return !UNSEALED_TREES.some((tree) => path === tree || path.startsWith(`${tree}/`));
}
