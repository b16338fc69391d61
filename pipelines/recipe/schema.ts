import { readFileSync } from "node:fs";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { jsonPath, type Mistake, nearest } from "./mistake.ts";
import type { RecipeFile } from "./recipe-file.ts";

const schemaUrl = new URL("../../recipes/schema/recipe.schema.json", import.meta.url);

interface Validators {
  /** One file: everything optional, nothing unknown. */
  readonly part: ValidateFunction;
  /** All files merged: everything there. */
  readonly whole: ValidateFunction;
}

let validators: Validators | undefined;

function loadValidators(): Validators {
  if (validators !== undefined) return validators;
  // verbose: an error carries the schema it failed, from which known keys are read for did-you-mean.
  // strictRequired is off because the root demands keys that `part` describes.
  // Optimising the validators costs more than a handful of files repays.
  const code = { optimize: false };
  const ajv = new Ajv({ strict: true, strictRequired: false, allErrors: true, allowUnionTypes: true, verbose: true, code });
  const schema = JSON.parse(readFileSync(schemaUrl, "utf8")) as object;
  ajv.addSchema(schema, "recipe");
  const part = ajv.getSchema("recipe#/$defs/part");
  const whole = ajv.getSchema("recipe");
  if (part === undefined || whole === undefined) throw new TypeError("recipe.schema.json lost its definitions");
  validators = { part, whole };
  return validators;
}

/** `/packages/3/name` -> `["packages", 3, "name"]`; digits are indexes only below lists, which is where this schema has them. */
function segments(pointer: string): (string | number)[] {
  if (pointer === "") return [];
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^(0|[1-9][0-9]*)$/.test(part) ? Number(part) : part));
}

function knownKeys(error: ErrorObject): string[] {
  const schema = error.parentSchema as { readonly properties?: object } | undefined;
  return Object.keys(schema?.properties ?? {});
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function withSuggestion(mistake: Mistake, suggestion: string | undefined): Mistake {
  return suggestion === undefined ? mistake : { ...mistake, suggestion };
}

function partMistake(error: ErrorObject, source: RecipeFile): Mistake {
  const path = segments(error.instancePath);
  if (error.keyword === "additionalProperties") {
    const key = String((error.params as { additionalProperty: unknown }).additionalProperty);
    const full = [...path, key];
    const mistake: Mistake = { ...source.keyPosition(full), code: "KEY_UNKNOWN", path: jsonPath(full), message: "unknown key" };
    return withSuggestion(mistake, nearest(key, knownKeys(error)));
  }
  const here = { ...source.position(path), path: jsonPath(path) };
  if (error.keyword === "enum") {
    const allowed = (error.params as { allowedValues: readonly unknown[] }).allowedValues.map(String);
    const message = `${show(error.data)} is none of ${allowed.join(", ")}`;
    return withSuggestion({ ...here, code: "VALUE_UNKNOWN", message }, nearest(String(error.data), allowed));
  }
  if (error.keyword === "required") {
    const key = (error.params as { missingProperty: string }).missingProperty;
    return { ...here, code: "KEY_MISSING", message: `the key "${key}" is missing` };
  }
  return { ...here, code: "VALUE_INVALID", message: `${show(error.data)} ${error.message ?? "is not allowed"}` };
}

/** Everything the schema finds wrong with one file. */
export function partMistakes(source: RecipeFile): Mistake[] {
  const { part } = loadValidators();
  if (part(source.value)) return [];
  // "if" only says that its "then" or "else" failed, which say why themselves.
  const errors = (part.errors ?? []).filter(({ keyword }) => keyword !== "if");
  return errors.map((error) => partMistake(error, source));
}

/** Keys that neither the recipe nor a fragment has; they stand at the first line of the recipe. */
export function missingKeys(merged: unknown, recipe: RecipeFile): Mistake[] {
  const { whole } = loadValidators();
  if (whole(merged)) return [];
  return (whole.errors ?? [])
    .filter(({ keyword }) => keyword === "required")
    .map((error) => {
      const path = [...segments(error.instancePath), (error.params as { missingProperty: string }).missingProperty];
      const message = "is missing, here and in every fragment";
      return { file: recipe.file, line: 1, column: 1, code: "KEY_MISSING", path: jsonPath(path), message };
    });
}
