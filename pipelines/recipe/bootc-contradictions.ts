import type { Contradiction } from "./contradictions.ts";
import type { BootcRecipe, ImageSource } from "./recipe.ts";

/** Tags that say nothing of what they name, on any day: no lock could tell whether an update is what was meant. */
const FLOATING_TAGS: ReadonlySet<string> = new Set(["latest", "stable", "main", "dev", "nightly", "rawhide"]);

function unpinned(source: ImageSource, path: string, at: string): Contradiction[] {
  const { tag, digest } = source;
  const found = (code: "UNPINNED" | "CONTRADICTION", key: string, message: string): Contradiction[] => [
    { code, at: at === path ? `${path}${key === "" ? "" : `.${key}`}` : at, path: key === "" ? path : `${path}.${key}`, message },
  ];
  if (tag === undefined && digest === undefined) return found("UNPINNED", "", "needs a tag that the lock pins, or a digest");
  if (tag !== undefined && digest !== undefined)
    return found("CONTRADICTION", "digest", "stands beside a tag: the lock would have two masters");
  if (tag !== undefined && FLOATING_TAGS.has(tag))
    return found("UNPINNED", "tag", `"${tag}" names whatever was pushed last; use the tag of a release, or a digest`);
  return [];
}

function images({ base, modules, imageBuilder }: BootcRecipe): Contradiction[] {
  return [
    ...unpinned(base, "base", "base"),
    ...modules.flatMap((source) => unpinned(source, "modules", `modules/${source.name}`)),
    ...unpinned(imageBuilder, "imageBuilder", "imageBuilder"),
  ];
}

/** Without a signer the image that everything stands on would be whatever a registry sends. */
function unsignedBase({ base: { signer } }: BootcRecipe): Contradiction[] {
  if (signer.kind === "cosign-key") return [];
  const message = "a base must be signed: all that the image is stands on it";
  return [{ code: "UNPINNED", at: "base.signer", path: "base.signer", message }];
}

function repositories({ base }: BootcRecipe): Contradiction[] {
  const names = base.repositories.map(({ name }) => name);
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  return twice.map((name) => ({
    at: "base.repositories",
    path: "base.repositories",
    message: `two repositories are named "${name}"`,
  }));
}

function units({ units: { enabled, disabled } }: BootcRecipe): Contradiction[] {
  return enabled
    .filter((unit) => disabled.includes(unit))
    .map((unit) => ({ at: `units.disabled/${unit}`, path: "units.disabled", message: `"${unit}" is also in units.enabled` }));
}

/** Why an output cannot be had from a container. */
const noOutput: Readonly<Record<string, string>> = {
  iso: "the image builder would install the installer from a live mirror",
  ova: "the package would hold the disk of another recipe's layout",
};

function outputs(recipe: BootcRecipe): Contradiction[] {
  return recipe.outputs.flatMap((kind) => {
    const why = noOutput[kind];
    return why === undefined ? [] : [{ at: `outputs/${kind}`, path: "outputs", message: `no ${kind} of a bootc base: ${why}` }];
  });
}

/** What is wrong with a recipe on a container although every value is right by itself. */
export function bootcContradictions(recipe: BootcRecipe): readonly Contradiction[] {
  return [...images(recipe), ...unsignedBase(recipe), ...repositories(recipe), ...units(recipe), ...outputs(recipe)];
}
