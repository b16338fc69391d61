/**
 * An object of the session, by the calls that make it: what it is stands in its id, as in the real engine, and the same calls make the
 * same object. `of` is the object that the last call was made on.
 */
export interface Recipe {
  readonly type: "Query" | "CacheVolume" | "Container" | "Directory" | "File" | "Host" | "Secret";
  readonly call: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly of?: Recipe;
}

const TYPES: ReadonlySet<unknown> = new Set(["CacheVolume", "Container", "Directory", "File", "Secret"]);

export const idOf = (recipe: Recipe): string => Buffer.from(JSON.stringify(recipe)).toString("base64");

/** The object with this id, if it is one of `type`. */
export function recipeOf(id: unknown, type: Recipe["type"]): Recipe {
  const recipe = JSON.parse(Buffer.from(String(id), "base64").toString("utf8")) as Recipe;
  if (!TYPES.has(recipe.type) || recipe.type !== type) throw new Error(`expected an id of a ${type}`);
  return recipe;
}
