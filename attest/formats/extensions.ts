import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { requireDistinct } from "./distinct.ts";
import { extensionNameShape } from "./gpu-backends.ts";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "./shape.ts";
import { lineShape, sha256Shape } from "./shapes.ts";

/** Largest extensions.json, in bytes. */
export const MAX_EXTENSIONS_BYTES = 1 << 18;

/**
 * GPT type of a partition that holds a system extension. Of our own making: no generator or tool mounts, formats or grows what it does not
 * know, and systemd-repart tells these partitions from every other.
 */
export const EXTENSION_PARTITION_TYPE = "5ecae870-9f0c-4d6b-8f5e-1e6c0a7d3b21";

/** A PCI device is meant when its class begins with one of the classes and, where vendors are listed, its vendor is one of them. */
const hardwareShape = object({
  /** Lower-case hex: base class, subclass, interface, or the beginning of that, e.g. "03" for display controllers. */
  pciClasses: list(text(/^([0-9a-f]{2}){1,3}$/, 6), { max: 64 }),
  pciVendors: list(text(/^[0-9a-f]{4}$/, 4), { max: 64 }),
});
export type ExtensionHardware = TypeOf<typeof hardwareShape>;

const extensionShape = object({
  name: extensionNameShape,
  title: lineShape,
  /** GPT partition label. */
  partition: text(/^ext_[a-z0-9-]{1,32}_[0-9A-Za-z.+~-]{1,64}$/, 101),
  rootHash: sha256Shape,
  dataBytes: integer(1),
  hashOffset: integer(1),
  hardware: hardwareShape,
});
export type Extension = TypeOf<typeof extensionShape>;

/** /usr/lib/secure-ai/extensions.json of the sealed root: the system extensions of this image, by their root hashes. */
export const extensionsShape = object({ schema: literal(1), extensions: list(extensionShape, { max: 32 }) });
export type Extensions = TypeOf<typeof extensionsShape>;

/** @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY */
export function parseExtensions(bytes: Uint8Array): Extensions {
  const parsed = parseShape(extensionsShape, parseCanonicalJson(bytes, MAX_EXTENSIONS_BYTES), "extensions.json, schema 1");
  requireDistinct(
    parsed.extensions.map(({ name }) => name),
    "extensions",
  );
  requireDistinct(
    parsed.extensions.map(({ partition }) => partition),
    "partitions",
  );
  return parsed;
}

/** The bytes of extensions.json. @throws FormatError for one that no reader accepts */
export function extensionsBytes(extensions: Extensions): Buffer {
  const bytes = Buffer.from(`${canonicalJson(extensions)}\n`);
  parseExtensions(bytes);
  return bytes;
}

/** Whether hardware of this kind is what an extension is for. `pciClass`: six lower-case hex digits. */
export function isHardwareFor({ pciClasses, pciVendors }: ExtensionHardware, pciClass: string, vendor: string): boolean {
  return pciClasses.some((prefix) => pciClass.startsWith(prefix)) && (pciVendors.length === 0 || pciVendors.includes(vendor));
}

/** Where systemd-sysext shows an extension to the overlay that it mounts; NAME stands for the layer. */
const LAYER = /^\/run\/systemd\/sysext\/extensions\/([^/]+)\/usr$/;

/** Octal escapes of blank, tab, newline and backslash (proc_pid_mountinfo(5)). */
const unescaped = (field: string) =>
  field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

export interface MergedExtensions {
  /** Of the overlay file system, major:minor. */
  readonly device: string;
  /** Names of the extensions, topmost first; of a layer that systemd-sysext did not make, its path. */
  readonly layers: readonly string[];
}

/**
 * What is laid over /usr; undefined when nothing is. An overlay that systemd-sysext would not mount has layers that no extension is named
 * like.
 * @param mountinfo of a process: `id parent device root point options [optional...] - type source superOptions`
 */
export function mergedExtensions(mountinfo: string): MergedExtensions | undefined {
  const rows = mountinfo.split("\n").map((line) => /^\d+ \d+ (\d+:\d+) \S+ (\S+) \S+ (?:\S+ )*?- (\S+) \S+ (\S+)$/.exec(line));
  const [, device = "", , type, options = ""] = rows.findLast((row) => row?.[2] === "/usr") ?? [];
  if (type !== "overlay") return undefined;
  const paths = options
    .split(",")
    .filter((option) => /^(lowerdir\+?|upperdir)=/.test(option))
    .flatMap((option) => unescaped(option.slice(option.indexOf("=") + 1)).split(":"));
  // systemd-sysext's own list comes first, the root's /usr last; whatever else stands in their places is a layer too.
  const own = paths[0] === "/run/systemd/sysext/meta/usr" ? 1 : 0;
  const base = paths.at(-1) === "/usr" ? -1 : paths.length;
  return { device, layers: paths.slice(own, base).map((path) => LAYER.exec(path)?.[1] ?? path) };
}
