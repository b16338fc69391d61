import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import type { Sha256 } from "./digest.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { integer, list, literal, object, parseShape, type Shape, type TypeOf, text } from "./shape.ts";
import { lineShape, sha256Shape, versionShape } from "./shapes.ts";

/** Largest modules.json, in bytes. */
export const MAX_KERNEL_MODULES_BYTES = 1 << 20;

const digestShape = sha256Shape as Shape<Sha256>;
/** A module as the kernel lists it, e.g. "nvidia_uvm". */
const moduleName = text(/^[A-Za-z0-9_]{1,56}$/, 56);
/** What `uname -r` prints. */
const releaseShape = text(/^[0-9][0-9A-Za-z.+~_-]{0,63}$/, 64);

/** modules.json: the kernel modules that were compiled for an image, and what stands behind each. */
export const kernelModulesShape = object({
  schema: literal(1),
  /** The image's kernel: its release, and the words that a module's vermagic must equal. */
  kernel: object({ release: releaseShape, vermagic: lineShape }),
  /** First line that the compiler prints of itself. */
  compiler: lineShape,
  source: object({
    package: text(/^[a-z0-9][a-z0-9+.-]{0,127}$/, 128),
    version: text(/^[!-~]+$/, 256),
    patches: list(object({ name: text(/^[0-9A-Za-z][0-9A-Za-z._-]{0,127}$/, 128), sha256: digestShape }), { max: 100 }),
  }),
  /** Whose key signed every module: the certificate's subject, and the digest of its DER form. */
  signer: object({ subject: lineShape, certificate: digestShape }),
  modules: list(
    object({
      name: moduleName,
      path: text(/^\/usr\/lib\/modules(?:\/[0-9A-Za-z][0-9A-Za-z.+~_-]*)+\.ko\.xz$/, 512),
      /** Of the compressed file as it lies in the image; `size` in bytes. */
      sha256: digestShape,
      size: integer(1),
      version: versionShape,
      /** MODULE_LICENSE, e.g. "Dual MIT/GPL". */
      licence: lineShape,
      vermagic: lineShape,
      depends: list(moduleName, { max: 100 }),
      /** Below /usr/lib/firmware. */
      firmware: list(text(/^(?:[0-9A-Za-z_][0-9A-Za-z._-]*)(?:\/[0-9A-Za-z_][0-9A-Za-z._-]*)*$/, 256), { max: 1000 }),
    }),
    { min: 1, max: 1000 },
  ),
});
export type KernelModules = TypeOf<typeof kernelModulesShape>;

/** The bytes of modules.json. @throws FormatError SCHEMA_MISMATCH, DUPLICATE_ENTRY for facts that no reader would accept */
export const kernelModulesBytes = (modules: Omit<KernelModules, "schema">): Buffer =>
  Buffer.from(`${canonicalJson(checkKernelModules({ ...modules, schema: 1 }))}\n`);

/**
 * A list that agrees with itself: every module is for the one kernel, lies below its folder, and stands there once, in order of paths.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY
 */
export function parseKernelModules(bytes: Uint8Array): KernelModules {
  return checkKernelModules(parseCanonicalJson(bytes, MAX_KERNEL_MODULES_BYTES));
}

function checkKernelModules(value: unknown): KernelModules {
  const list = parseShape(kernelModulesShape, value, "a list of kernel modules");
  const { kernel, modules, source } = list;
  if (kernel.vermagic.split(" ", 1)[0] !== kernel.release) throw mismatch(`a vermagic of ${kernel.release}`, kernel.vermagic);
  for (const module of modules) checkModule(module, kernel);
  requireSorted(
    modules.map(({ path }) => path),
    "modules",
  );
  requireDistinct(
    modules.map(({ name }) => name),
    "modules",
  );
  requireSorted(
    source.patches.map(({ name }) => name),
    "patches",
  );
  return list;
}

function checkModule({ name, path, vermagic }: KernelModules["modules"][number], kernel: KernelModules["kernel"]): void {
  if (vermagic !== kernel.vermagic) throw mismatch(`${name} for ${kernel.vermagic}`, vermagic);
  const [release, file] = [path.split("/")[4], path.slice(path.lastIndexOf("/") + 1)];
  if (release !== kernel.release) throw mismatch(`${path} below the folder of ${kernel.release}`, release ?? "");
  // modprobe(8): dashes and underscores of a module's name are one.
  if (file.replace(".ko.xz", "").replaceAll("-", "_") !== name) throw mismatch(`a file named for ${name}`, file);
}

function requireSorted(keys: readonly string[], what: string): void {
  requireDistinct(keys, what);
  const at = keys.findIndex((key, index) => index > 0 && key < (keys[index - 1] ?? ""));
  if (at >= 0) throw mismatch(`${what} in order`, `${keys[at]} after ${keys[at - 1]}`);
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });
