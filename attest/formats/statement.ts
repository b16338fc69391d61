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

/** A predicate that somebody has parsed already, of canonical bytes. */
export interface KnownPredicate {
  /** Exactly `canonicalJson(value)` and one newline. */
  readonly bytes: Uint8Array;
  readonly value: Readonly<Record<string, unknown>>;
}

const BEFORE_PREDICATE = Buffer.from(`{"_type":${JSON.stringify(STATEMENT_TYPE)},"predicate":`);

/**
 * `parseStatement` of a statement that probably says what is `known`: where the same bytes stand in it, that part is neither parsed nor
 * printed once more, and the predicate is `known.value` itself. JSON has no context: put in place of `{}`, a whole object changes nothing
 * of what is around it. Other bytes are parsed in full.
 * @throws FormatError as `parseStatement`
 */
export function parseStatementOf(bytes: Uint8Array, known: KnownPredicate): Statement {
  const object = known.bytes.subarray(0, -1);
  const start = BEFORE_PREDICATE.length;
  const end = start + object.length;
  const isSame =
    bytes.length <= MAX_PAYLOAD_BYTES &&
    BEFORE_PREDICATE.equals(bytes.subarray(0, start)) &&
    Buffer.compare(object, bytes.subarray(start, end)) === 0;
  if (!isSame) return parseStatement(bytes);
  const around = parseStatement(Buffer.concat([BEFORE_PREDICATE, Buffer.from("{}"), bytes.subarray(end)]));
  return { ...around, predicate: known.value };
}

function toStatement(value: JsonValue): Statement {
  const statement = parseShape(statementShape, value, "an in-toto Statement v1");
  requireDistinct(
    statement.subject.map(({ name }) => name),
    "subjects",
  );
  return statement;
}
