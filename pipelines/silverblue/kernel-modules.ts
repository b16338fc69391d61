import { parseJson } from "@secai/formats/canonical-json";
import { list, literal, object, parseShape, type TypeOf, text } from "@secai/formats/shape";
import { KernelModuleError } from "../modules/errors.ts";

const moduleList = object({
  schema: literal(1),
  packages: list(
    object({
      /** Path of an RPM inside the module image. */
      file: text(/^[A-Za-z0-9][A-Za-z0-9+._~^-]*(\/[A-Za-z0-9][A-Za-z0-9+._~^-]*)*\.rpm$/, 512),
      sha256: text(/^[0-9a-f]{64}$/, 64),
    }),
    { min: 1, max: 100 },
  ),
});
export type ModuleList = TypeOf<typeof moduleList>;

const MAX_BYTES = 1 << 20;

/** @throws FormatError SCHEMA_MISMATCH, JSON_MALFORMED */
export const parseModuleList = (bytes: Uint8Array): ModuleList =>
  parseShape(moduleList, parseJson(bytes, MAX_BYTES), "a list of module packages");

export type ModuleFile =
  | { readonly kind: "module"; readonly path: string }
  /** Not taken: configuration, scripts and documentation of a package are no kernel modules. */
  | { readonly kind: "left"; readonly path: string };

/**
 * What a package's file is for the image. Fedora has merged /usr, so /lib is /usr/lib.
 * @throws KernelModuleError KERNEL_MODULE_MISMATCH for a module in the folder of another kernel
 */
export function classify(parts: readonly string[], kernel: string): ModuleFile {
  const merged = parts[0] === "lib" ? ["usr", ...parts] : parts;
  const path = merged.join("/");
  if (!path.startsWith("usr/lib/modules/") || !/\.ko(\.(xz|zst|gz))?$/.test(path)) return { kind: "left", path };
  if (merged[3] !== kernel)
    throw new KernelModuleError("KERNEL_MODULE_MISMATCH", { expected: `modules of ${kernel}`, actual: path });
  return { kind: "module", path };
}
