import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type BaselineEntry, parseBaseline } from "@secai/formats/baseline";
import type { Build } from "../build.ts";
import type { DebianRecipe } from "../recipe/recipe.ts";
import { loadDpkg } from "../sbom/dpkg.ts";
import { outputOf } from "../steps/exec.ts";
import type { PartSizes, Sizes } from "./sizes.ts";

/** Bytes of files by the package that lists them; "-" for those that none does. */
export function bytesByPackage(
  files: readonly BaselineEntry[],
  packages: readonly { readonly name: string; readonly paths: readonly string[] }[],
): Record<string, number> {
  const owner = new Map(packages.flatMap(({ name, paths }) => paths.map((path): [string, string] => [path, name])));
  const sums: Record<string, number> = {};
  for (const file of files) {
    if (file.type !== "file") continue;
    const name = owner.get(file.path) ?? "-";
    sums[name] = (sums[name] ?? 0) + file.size;
  }
  return sums;
}

/** What the parts of a finished build weigh. @throws SbomError, FormatError for outputs that are not what their steps promise */
export function measureSizes({ result }: Pick<Build, "result">, recipe: DebianRecipe): Sizes {
  const path = (step: string, output: string) => result.pathOf(outputOf(step, output));
  const bytes = (file: string) => statSync(file).size;
  const baseline = parseBaseline(readFileSync(path("baseline", "baseline")));
  const extension = (name: string): [string, PartSizes] => {
    const files = baseline.extensions?.find((one) => one.name === name)?.files ?? [];
    const packages = bytesByPackage(files, loadDpkg(path(`extension.${name}`, "dpkg")));
    return [`extension.${name}`, { bytes: bytes(path(`extension.${name}`, "image")), packages }];
  };
  return {
    schema: 1,
    recipe: recipe.id,
    parts: {
      root: {
        bytes: bytes(join(path("seal", "sealed"), "root.erofs")),
        packages: bytesByPackage(baseline.files, loadDpkg(path("tree", "dpkg"))),
      },
      initrd: { bytes: bytes(path("initrd", "initrd")), packages: {} },
      "kernel-image": { bytes: bytes(path("uki", "uki")), packages: {} },
      ...Object.fromEntries(recipe.extensions.map(({ name }) => extension(name))),
    },
  };
}
