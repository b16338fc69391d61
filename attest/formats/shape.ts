import { FormatError } from "./errors.ts";

/** A JSON Schema (draft 2020-12), as data. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/**
 * What a value from outside must look like. Written once, it gives the type, the JSON Schema that is published and the validator.
 * The validator compiles no code at run time, so that the verifier starts in milliseconds and runs where eval is forbidden;
 * shape.test.ts holds it equal to ajv over the same schema.
 */
export interface Shape<T> {
  readonly schema: JsonSchema;
  /** The first mistake in `value`, or undefined. Never throws. */
  mistake(value: unknown, path: string): string | undefined;
  /** Only for inference; never set. */
  readonly type?: T;
}
export type TypeOf<S> = S extends Shape<infer T> ? T : never;
type Fields = Readonly<Record<string, Shape<unknown>>>;
type TypesOf<F extends Fields> = { readonly [K in keyof F]: TypeOf<F[K]> };

/** @throws FormatError SCHEMA_MISMATCH, with the path of the first mistake */
export function parseShape<T>(shape: Shape<T>, value: unknown, what: string): T {
  const mistake = shape.mistake(value, "");
  if (mistake !== undefined) throw new FormatError("SCHEMA_MISMATCH", { expected: what, actual: mistake });
  return value as T;
}

/** A string that matches `pattern` (which must be anchored) and is at most `maxLength` UTF-16 units long. */
export function text(pattern: RegExp, maxLength = 1024): Shape<string> {
  return {
    schema: { type: "string", pattern: pattern.source, maxLength },
    mistake: (value, path) =>
      typeof value === "string" && value.length <= maxLength && pattern.test(value)
        ? undefined
        : `${at(path)} is not a string that matches ${pattern.source}`,
  };
}

/** Exactly this value or one of these. */
export function literal<const T extends readonly (string | number | boolean)[]>(...allowed: T): Shape<T[number]> {
  return {
    schema: { enum: allowed },
    mistake: (value, path) => (allowed.some((one) => one === value) ? undefined : `${at(path)} is not ${allowed.join(" or ")}`),
  };
}

export function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER): Shape<number> {
  return {
    schema: { type: "integer", minimum, maximum },
    mistake: (value, path) =>
      Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum
        ? undefined
        : `${at(path)} is not an integer from ${minimum} to ${maximum}`,
  };
}

export function list<T>(item: Shape<T>, { min = 0, max = 10_000 } = {}): Shape<readonly T[]> {
  return {
    schema: { type: "array", items: item.schema, minItems: min, maxItems: max },
    mistake(value, path) {
      if (!Array.isArray(value)) return `${at(path)} is not an array`;
      if (value.length < min || value.length > max) return `${at(path)} has ${value.length} items, not ${min} to ${max}`;
      // A plain loop, as in objects: a baseline has tens of thousands of members, and an iterator of pairs costs more than the checks.
      for (let index = 0; index < value.length; index++) {
        const mistake = item.mistake(value[index], `${path}/${index}`);
        if (mistake !== undefined) return mistake;
      }
      return undefined;
    },
  };
}

/** An object with these members and no others. */
export function object<R extends Fields, O extends Fields = Record<never, never>>(
  required: R,
  optional?: O,
): Shape<TypesOf<R> & Partial<TypesOf<O>>> {
  const known = new Map(Object.entries({ ...required, ...optional }));
  const names = Object.keys(required);
  return {
    schema: {
      type: "object",
      properties: Object.fromEntries([...known].map(([name, shape]) => [name, shape.schema])),
      required: names,
      additionalProperties: false,
    },
    mistake(value, path) {
      if (!isRecord(value)) return `${at(path)} is not an object`;
      const missing = names.find((name) => !Object.hasOwn(value, name));
      if (missing !== undefined) return `${at(path)} lacks "${missing}"`;
      for (const name of Object.keys(value)) {
        const shape = known.get(name);
        if (shape === undefined) return `${at(path)} has an unknown member`;
        const mistake = shape.mistake(value[name], `${path}/${name}`);
        if (mistake !== undefined) return mistake;
      }
      return undefined;
    },
  };
}

/** An object used as a table: every key matches, every value has the shape. */
export function table<T>(key: RegExp, item: Shape<T>, { min = 0, max = 1000 } = {}): Shape<Readonly<Record<string, T>>> {
  return {
    schema: {
      type: "object",
      propertyNames: { pattern: key.source },
      additionalProperties: item.schema,
      minProperties: min,
      maxProperties: max,
    },
    mistake(value, path) {
      if (!isRecord(value)) return `${at(path)} is not an object`;
      const entries = Object.entries(value);
      if (entries.length < min || entries.length > max) return `${at(path)} has ${entries.length} members, not ${min} to ${max}`;
      return firstOf(entries, ([name, member]) =>
        key.test(name) ? item.mistake(member, `${path}/${name}`) : `${at(path)} has a key that does not match ${key.source}`,
      );
    },
  };
}

/** The shape, or null where a document says that there is none. */
export function nullable<T>(item: Shape<T>): Shape<T | null> {
  return {
    schema: { anyOf: [{ type: "null" }, item.schema] },
    mistake: (value, path) => (value === null ? undefined : item.mistake(value, path)),
  };
}

/** Any JSON object: for the part of a document that another parser reads. */
export const anyObject: Shape<Readonly<Record<string, unknown>>> = {
  schema: { type: "object" },
  mistake: (value, path) => (isRecord(value) ? undefined : `${at(path)} is not an object`),
};

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function firstOf<T>(items: Iterable<T>, mistakeOf: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const mistake = mistakeOf(item);
    if (mistake !== undefined) return mistake;
  }
  return undefined;
}

const at = (path: string) => (path === "" ? "the document" : path);
