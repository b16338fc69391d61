import type { Merged } from "./merge.ts";
import type { BootcRecipe, DebianRecipe, Recipe, RecipeExtension, RecipePackage, ToolRootName } from "./recipe.ts";

type Packages = readonly (string | RecipePackage)[];
type UnnormalisedExtension = Omit<RecipeExtension, "packages" | "remove"> & {
  readonly packages: Packages;
  readonly remove?: RecipeExtension["remove"];
};

/** A recipe as its files have it: packages may be bare names, lists that nobody gave are absent. */
type Raw<Kind extends Recipe> = Omit<Kind, "packages" | "toolRoots" | "npm" | "extensions"> & {
  readonly packages: Packages;
  readonly toolRoots: Readonly<Record<ToolRootName, Packages>>;
  readonly npm?: Recipe["npm"];
  readonly extensions?: readonly UnnormalisedExtension[];
};
type RawBootc = Omit<Raw<BootcRecipe>, "modules" | "remove"> & {
  readonly modules?: BootcRecipe["modules"];
  readonly remove: Partial<BootcRecipe["remove"]>;
};

const named = (packages: Packages): RecipePackage[] =>
  packages.map((entry) => (typeof entry === "string" ? { name: entry } : entry));

type CommonKeys = "packages" | "toolRoots" | "npm" | "extensions";

function normaliseCommon<Kind extends Recipe>(raw: Pick<Raw<Recipe>, CommonKeys>): Pick<Kind, CommonKeys> {
  const roots = Object.entries(raw.toolRoots).map(([name, packages]) => [name, named(packages)] as const);
  const extensions = (raw.extensions ?? []).map(({ packages, remove, ...rest }) => ({
    ...rest,
    packages: named(packages),
    remove: remove ?? { paths: [] },
  }));
  const toolRoots = Object.fromEntries(roots) as unknown as Kind["toolRoots"];
  const npm: Kind["npm"] = raw.npm ?? [];
  return { packages: named(raw.packages), toolRoots, npm, extensions } as Pick<Kind, CommonKeys>;
}

/** Every `{release}` below `value` as what it stands for. */
function withRelease<T>(value: T, release: string): T {
  if (typeof value === "string") return value.replaceAll("{release}", release) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => withRelease(item, release)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withRelease(inner, release)])) as T;
}

function normaliseBootc(raw: RawBootc): BootcRecipe {
  const { release } = raw;
  return {
    ...raw,
    ...normaliseCommon<BootcRecipe>(raw),
    base: withRelease(raw.base, release),
    modules: withRelease(raw.modules ?? [], release),
    remove: { packages: raw.remove.packages ?? [], commands: raw.remove.commands ?? [] },
  };
}

/** The schema was satisfied: this is where the checked value gets its type. */
export function normalise({ value }: Merged): Recipe {
  const { base } = value as { readonly base: Recipe["base"] };
  if (base.kind === "bootc") return normaliseBootc(value as unknown as RawBootc);
  const raw = value as unknown as Raw<DebianRecipe>;
  return { ...raw, ...normaliseCommon<DebianRecipe>(raw) };
}
