import type { Sha256 } from "@secai/formats/digest";
import { checkRecipe } from "./check.ts";
import { RecipeError, RecipeKindError } from "./errors.ts";
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
  /** Of the tool roots, whose programs run where the image is built; the image's own when absent. */
  readonly toolArchitecture?: Architecture;
  readonly archives: readonly Archive[];
}

/** Who vouches for a container image, and how one can tell. */
export type ImageSigner =
  /** `key` is a file of this repository, `identity` says whose key it is. */
  | { readonly kind: "cosign-key"; readonly key: string; readonly identity: string }
  /** Nobody does: the digest is all there is. */
  | { readonly kind: "unsigned upstream"; readonly reason: string };

/** A container image of a registry; the lock has its digest, unless it stands here. */
export interface ImageSource {
  /** Host and path, without tag or digest. */
  readonly repository: string;
  readonly signer: ImageSigner;
  readonly tag?: string;
  /** "sha256:" and hex; instead of a tag where upstream has only moving ones. */
  readonly digest?: string;
}

/** A repository of RPM packages. */
export interface RpmRepository {
  readonly name: string;
  /** Files of the base image that hold the keys which may sign its packages, absolute. */
  readonly keys: readonly string[];
  /** File of this repository with the OpenPGP keys that must have signed the index, for repositories that sign theirs. */
  readonly indexKey?: string;
}

export interface BootcBase extends ImageSource {
  readonly kind: "bootc";
  readonly architecture: Architecture;
  /** Folder of the package database in the image, absolute. */
  readonly database: string;
  readonly repositories: readonly RpmRepository[];
}

/** Prebuilt kernel modules, packed as RPMs in a container image. */
export interface RecipeModules extends ImageSource {
  readonly name: string;
  readonly reason: string;
  /** Paths of packages in that image; `*` stands for parts of one segment, and each must match one file. */
  readonly packages: readonly string[];
  /** Certificate of the base image, absolute, that must have signed every module. */
  readonly certificate: string;
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

/** Root file systems that steps run in; a Debian recipe has the first two, a bootc recipe the first. */
export type ToolRootName = "build" | "machine" | "cuda" | "rocm" | "modules";

/** What every recipe says, whatever its base. */
interface CommonRecipe {
  readonly schema: 1;
  readonly id: string;
  readonly title: string;
  readonly version: string;
  /** What the image asks for; what it gets, with dependencies, stands in the lock. */
  readonly packages: readonly RecipePackage[];
  readonly npm: readonly RecipeNpmPackage[];
  readonly extensions: readonly RecipeExtension[];
  /** Besides those that the build adds. */
  readonly kernelArguments: readonly string[];
  /** Folders of services-src/. */
  readonly services: readonly string[];
  /** Folders from the top of the repository, copied in this order; a later one wins. */
  readonly overlays: readonly string[];
  readonly gpuBackends: readonly GpuBackend[];
  readonly outputs: readonly OutputKind[];
  /** Of the compressed disk image. */
  readonly sizeBudgetMiB: number;
  /** Version of CycloneDX that the image's SBOM is written in; "1.6" when absent. */
  readonly cycloneDx?: "1.6" | "1.7";
}

/** A sealed image made from the packages of a Debian archive. */
export interface DebianRecipe extends CommonRecipe {
  readonly base: DebianBase;
  readonly toolRoots: Readonly<Record<"build" | "machine", readonly RecipePackage[]>> &
    Readonly<Partial<Record<ToolRootName, readonly RecipePackage[]>>>;
  readonly initrd: { readonly overlay: string; readonly modules: readonly string[] };
  /** Paths are absolute in the image; `*`, `?` and `[...]` stand for parts of one segment. */
  readonly remove: { readonly packages: readonly string[]; readonly paths: readonly string[] };
  readonly disk: { readonly espMiB: number; readonly rootMiB: number; readonly verityMiB: number; readonly imageGiB: number };
}

/** A bootable container made on top of another one. */
export interface BootcRecipe extends CommonRecipe {
  readonly base: BootcBase;
  /** Release of the distribution that the base is of, e.g. "42"; stands for `{release}` in tags, addresses and paths. */
  readonly release: string;
  /** Where the packages of the tool roots come from: tools have another distribution than the image. */
  readonly toolBase: DebianBase;
  readonly toolRoots: Readonly<Record<"build", readonly RecipePackage[]>> &
    Readonly<Partial<Record<ToolRootName, readonly RecipePackage[]>>>;
  /** Kernel modules that are built elsewhere; often none. */
  readonly modules: readonly RecipeModules[];
  readonly remove: {
    /** Must be in the base. */
    readonly packages: readonly string[];
    /** Must be nowhere in the command path of the finished image. */
    readonly commands: readonly string[];
  };
  readonly units: { readonly enabled: readonly string[]; readonly disabled: readonly string[] };
  /** Where the finished image is published, without tag: the only place that a machine takes an update from. */
  readonly repository: string;
  /** Makes disk images from the finished container. */
  readonly imageBuilder: ImageSource & { readonly rootFileSystem: "btrfs" | "ext4" | "xfs" };
  /** Unified kernel image, composefs with signed digest and systemd-boot instead of the base's own way to boot. */
  readonly sealed?: "experimental upstream";
}

/** A recipe with all its fragments merged and checked: a plain value, the same for the same files. */
export type Recipe = DebianRecipe | BootcRecipe;

export function isBootc(recipe: Recipe): recipe is BootcRecipe {
  return recipe.base.kind === "bootc";
}

/** The Debian archives of a recipe: of its image, or of its tools alone. */
export function debianBaseOf(recipe: Recipe): DebianBase {
  return isBootc(recipe) ? recipe.toolBase : recipe.base;
}

/** A recipe and where each piece of it came from. */
export interface RecipeSource<Kind extends Recipe = Recipe> {
  readonly recipe: Kind;
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

/** @throws RecipeError RECIPE_INVALID, RecipeKindError RECIPE_KIND_UNSUPPORTED */
export async function loadDebianRecipe(topDir: string, file: string): Promise<DebianRecipe> {
  return requireDebian(await loadRecipe(topDir, file));
}

const isBootcSource = (source: RecipeSource): source is RecipeSource<BootcRecipe> => isBootc(source.recipe);

/** The one place where a recipe that was read becomes one of its kinds. */
export function byKind<T>(
  source: RecipeSource,
  kinds: {
    readonly debian: (source: RecipeSource<DebianRecipe>) => T;
    readonly bootc: (source: RecipeSource<BootcRecipe>) => T;
  },
): T {
  return isBootcSource(source) ? kinds.bootc(source) : kinds.debian({ ...source, recipe: requireDebian(source.recipe) });
}

/** For what only a sealed image has. @throws RecipeKindError RECIPE_KIND_UNSUPPORTED */
export function requireDebian(recipe: Recipe): DebianRecipe {
  if (!isBootc(recipe)) return recipe;
  throw new RecipeKindError("RECIPE_KIND_UNSUPPORTED", {
    expected: "a recipe with base.kind debian",
    actual: `${recipe.id}, with base.kind bootc`,
  });
}
