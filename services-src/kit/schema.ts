import type { Static, TSchema } from "@sinclair/typebox";
import { Errors } from "@sinclair/typebox/errors";
import { Check } from "@sinclair/typebox/value";

/** Where in a document something is wrong: RFC 6901 pointer and one sentence. */
export interface Problem {
  readonly pointer: string;
  readonly message: string;
}

/**
 * One definition, four uses: the static type, the validator, the OpenAPI fragment (`schema` is JSON Schema) and the test generator.
 * The validator interprets the schema instead of compiling it to JavaScript, because services run with code generation from strings
 * switched off; test/contract/policy-engine/schema.test.ts holds it equal to ajv in strict mode.
 */
export interface Shape<T> {
  readonly name: string;
  readonly schema: TSchema;
  is(value: unknown): value is T;
  /** At most `limit` problems: the sender of a request must not choose how much work we do. */
  problems(value: unknown, limit: number): readonly Problem[];
}

export function shape<S extends TSchema>(name: string, schema: S): Shape<Static<S>> {
  return {
    name,
    schema,
    is: (value): value is Static<S> => Check(schema, value),
    problems: (value, limit) => firstProblems(schema, value, limit),
  };
}

function firstProblems(schema: TSchema, value: unknown, limit: number): readonly Problem[] {
  const problems: Problem[] = [];
  for (const error of Errors(schema, value)) {
    if (problems.length >= limit) break;
    problems.push({ pointer: error.path, message: error.message });
  }
  return problems;
}
