import { canonicalJson, type JsonValue, parseCanonicalJson } from "./canonical-json.ts";
import type { Sha256 } from "./digest.ts";
import { requireDistinct } from "./distinct.ts";
import { MAX_PAYLOAD_BYTES } from "./dsse.ts";
import { fileNameShape } from "./file-name.ts";
import { anyObject, list, literal, object, parseShape, type Shape } from "./shape.ts";
import { sha256Shape, uriShape } from "./shapes.ts";
import { STATEMENT_TYPE } from "./uris.ts";

/** A file of the release that a statement is about. */
export interface Subject {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

/** in-toto Statement v1: who signs it says `predicate` about `subject`. */
export interface Statement<Predicate = Readonly<Record<string, unknown>>> {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly Subject[];
  readonly predicateType: string;
  readonly predicate: Predicate;
}

const subjectShape = object({ name: fileNameShape, digest: object({ sha256: sha256Shape }) });

export const statementShape: Shape<Statement> = object({
  _type: literal(STATEMENT_TYPE),
  subject: list(subjectShape, { min: 1, max: 1000 }),
  predicateType: uriShape,
  predicate: anyObject,
});

export const subjectOf = (name: string, digest: Sha256): Subject => ({ name, digest: { sha256: digest } });

/** Subjects in the order of their names, so that the same facts give the same bytes. */
export function buildStatement<Predicate>(
  predicateType: string,
  subjects: readonly Subject[],
  predicate: Predicate,
): Statement<Predicate> {
  const subject = subjects.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return { _type: STATEMENT_TYPE, subject, predicateType, predicate };
}

/** The bytes of a statement file, which are also the bytes that are signed. */
export function statementBytes(statement: Statement<unknown>): Buffer {
  return Buffer.from(`${canonicalJson(statement)}\n`);
}

/**
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH, DUPLICATE_ENTRY (two subjects of one name)
 */
export function parseStatement(bytes: Uint8Array): Statement {
  return toStatement(parseCanonicalJson(bytes, MAX_PAYLOAD_BYTES));
}

function toStatement(value: JsonValue): Statement {
  const statement = parseShape(statementShape, value, "an in-toto Statement v1");
  requireDistinct(
    statement.subject.map(({ name }) => name),
    "subjects",
  );
  return statement;
}
