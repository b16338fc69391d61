import type { GraphQLFieldResolver } from "graphql";
import { getNamedType, isObjectType } from "graphql";
import type { Evaluator } from "./evaluate.ts";
import { idOf, type Recipe } from "./recipe.ts";

export interface Context {
  readonly evaluator: Evaluator;
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

const OBJECTS: ReadonlySet<string> = new Set(["CacheVolume", "Container", "Directory", "File", "Host", "Secret"]);

/** A field that makes an object only writes the call down; a field that asks for a value does what was written down. */
export const resolveField: GraphQLFieldResolver<Recipe | undefined, Context> = (source, args, { evaluator, signal }, info) => {
  const named = getNamedType(info.returnType);
  const type = named.name;
  const recipe = { call: info.fieldName, args, ...(source === undefined ? {} : { of: source }) };
  if (isObjectType(named) && OBJECTS.has(type)) return { ...recipe, type } as Recipe;
  if (info.fieldName === "id" && source !== undefined) return idOf(source);
  return evaluator.value({ ...recipe, type: "Query" }, signal);
};
