import { parseArgs } from "node:util";
import { stringify } from "yaml";
import type { CommandIo } from "../io.ts";
import { checkRecipe } from "./check.ts";
import { formatMistakes } from "./mistake.ts";
import { loadRecipeSource, recipeFile } from "./recipe.ts";

const help = `secai recipe check [RECIPE...] [--json]
secai recipe show [RECIPE] [--json]

check   finds every mistake in a recipe and in the fragments it extends
show    prints the recipe with all its fragments merged

RECIPE is an id or a file from the top of the repository; default: debian-13.

  --json   one JSON document on standard output

Examples:
  secai recipe check
  secai recipe check recipes/debian-13.yaml --json
  secai recipe show debian-13
  secai recipe show --json | jq .kernelArguments

Exit status: 0 no mistakes, 2 mistakes.
`;

async function check(recipes: readonly string[], json: boolean, io: CommandIo): Promise<number> {
  const checks = [];
  for (const name of recipes) checks.push({ recipe: recipeFile(name), ...(await checkRecipe(io.top, recipeFile(name))) });
  if (json) {
    const reports = checks.map(({ recipe, mistakes }) => ({ recipe, mistakes }));
    io.stdout(`${JSON.stringify({ schema: 1, recipes: reports }, null, 2)}\n`);
  }
  for (const { recipe, mistakes } of checks) {
    if (mistakes.length > 0) io.stderr(`${formatMistakes(mistakes)}\n`);
    else io.stderr(`${recipe}: no mistakes\n`);
  }
  return checks.some(({ mistakes }) => mistakes.length > 0) ? 2 : 0;
}

async function show(name: string, json: boolean, io: CommandIo): Promise<number> {
  const { recipe, files } = await loadRecipeSource(io.top, recipeFile(name));
  const heading = files.map(({ file }) => `# from ${file}\n`).join("");
  io.stdout(json ? `${JSON.stringify(recipe, null, 2)}\n` : heading + stringify(recipe, { lineWidth: 0 }));
  return 0;
}

/** `secai recipe`. @throws RecipeError, and TypeError ERR_PARSE_ARGS for wrong flags */
export async function runRecipe(args: string[], io: CommandIo): Promise<number> {
  const options = { json: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
  const [verb, ...rest] = positionals;
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  const recipes = rest.length === 0 ? ["debian-13"] : rest;
  if (verb === "check") return check(recipes, values.json === true, io);
  if (verb === "show" && recipes.length === 1) return show(recipes[0] ?? "", values.json === true, io);
  io.stderr(help);
  return 2;
}
