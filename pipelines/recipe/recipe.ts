import type { Sha256 } from "@secai/formats/digest";
import { checkRecipe } from "./check.ts";
import { RecipeError } from "./errors.ts";
import type { Position } from "./mistake.ts";

export type Architecture = "amd64" | "arm64";
export type GpuBackend = "cpu" | "cuda" | "rocm" | "vulkan" | "xpu";
export type OutputKind = "raw.zst" | "qcow2" | "ova" | "oci" | "iso";

/** A part of a Debian archive: one root below which `dists/` and `pool/` lie. Where it is mirrored is not the recipe's business. */
export interface Archive {
  readonly name: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
}

export interface DebianBase {
  readonly kind: "debian";
  /** Code name, e.g. "trixie". */
  readonly release: string;
  readonly architecture: Architecture;
  readonly archives: readonly Archive[];
}

export interface RecipePackage {
  readonly name: string;
  readonly reason?: string;
}

/** A package of the npm registry, exactly; its tarball is fetched, nothing of it is installed. */
export interface RecipeNpmPackage {
  readonly name: string;
  readonly version: string;
  readonly reason: string;
}

/** A system extension: what only some machines need, sealed like the root, on a partition of its own. */
export interface RecipeExtension {
  readonly name: string;
  readonly title: string;
  /** Beyond the image's own packages. */
  readonly packages: readonly RecipePackage[];
  readonly remove: { readonly paths: readonly string[] };
  /** Merged when a PCI device has one of the classes and, unless `pciVendors` is empty, one of the vendors. Lower-case hex. */
  readonly hardware: { readonly pciClasses: readonly string[]; readonly pciVendors: readonly string[] };
  readonly sizeMiB: number;
  readonly sizeBudgetMiB: number;
}

/** Root file systems that steps run in; each recipe has the first two. */
export type ToolRootName = "build" | "machine" | "cuda" | "rocm" | "modules";

/** A recipe with all its fragments merged and checked: a plain value, the same for the same files. */
export interface Recipe {
  readonly schema: 1;
  readonly id: string;
  readonly title: string;
  readonly version: string;
  readonly base: DebianBase;
  /** What the image asks for; what it gets, with dependencies, stands in the lock. */
  readonly packages: readonly RecipePackage[];
  readonly toolRoots: Readonly<Record<"build" | "machine", readonly RecipePackage[]>> &
    Readonly<Partial<Record<ToolRootName, readonly RecipePackage[]>>>;
  readonly npm: readonly RecipeNpmPackage[];
  readonly extensions: readonly RecipeExtension[];
  /** Besides `roothash=`. */
  readonly kernelArguments: readonly string[];
  /** Folders of services-src/. */
  readonly services: readonly string[];
  /** Folders from the top of the repository, copied in this order; a later one wins. */
  readonly overlays: readonly string[];
  readonly initrd: { readonly overlay: string; readonly modules: readonly string[] };
  /** Paths are absolute in the image; `*`, `?` and `[...]` stand for parts of one segment. */
  readonly remove: { readonly packages: readonly string[]; readonly paths: readonly string[] };
  readonly disk: { readonly espMiB: number; readonly rootMiB: number; readonly verityMiB: number; readonly imageGiB: number };
  readonly gpuBackends: readonly GpuBackend[];
  readonly outputs: readonly OutputKind[];
  /** Of the compressed disk image. */
  readonly sizeBudgetMiB: number;
  /** Version of CycloneDX that the image's SBOM is written in; "1.6" when absent. */
  readonly cycloneDx?: "1.6" | "1.7";
}

/** A recipe and where each piece of it came from. */
export interface RecipeSource {
  readonly recipe: Recipe;
  /** Which line a value came from: `disk.espMiB`, or list and item: `packages/systemd`. */
  readonly origins: ReadonlyMap<string, Position>;
  /** Every file that was read, the recipe last; paths from the top of the repository. */
  readonly files: readonly { readonly file: string; readonly sha256: Sha256 }[];
}

/** A recipe's file, from the top of the repository, for what people type: an id ("debian-13") or a path. */
export function recipeFile(name: string): string {
  return name.endsWith(".yaml") || name.includes("/") ? name : `recipes/${name}.yaml`;
}

/**
 * Reads a recipe and everything it extends.
 * @param file absolute, or from the top of the repository
 * @throws RecipeError RECIPE_INVALID with every mistake
 */
export async function loadRecipeSource(topDir: string, file: string): Promise<RecipeSource> {
  const result = await checkRecipe(topDir, file);
  if (result.source === undefined) throw new RecipeError(result.mistakes);
  return result.source;
}

/** As `loadRecipeSource`, for those who need not know where things stand. */
export async function loadRecipe(topDir: string, file: string): Promise<Recipe> {
  return (await loadRecipeSource(topDir, file)).recipe;
}
