import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { requireDistinct } from "./distinct.ts";
import { FormatError } from "./errors.ts";
import { integer, list, literal, object, parseShape, type TypeOf, text } from "./shape.ts";
import { lineShape, timestampShape, uriShape } from "./shapes.ts";

/** Largest OpenVEX document, in bytes. */
export const MAX_OPENVEX_BYTES = 4 << 20;
export const OPENVEX_CONTEXT = "https://openvex.dev/ns/v0.2.0";

/** CVE, GHSA, DSA …: letters, digits and dashes. */
export const vulnerabilityIdShape = text(/^[A-Z][A-Za-z0-9-]{2,63}$/, 64);
const productShape = object({ "@id": uriShape }, { subcomponents: list(object({ "@id": uriShape }), { max: 1000 }) });

/** Why a vulnerability in a component is none of the product (OpenVEX 0.2.0, "Status Justifications"). */
export const justificationShape = literal(
  "component_not_present",
  "vulnerable_code_not_present",
  "vulnerable_code_not_in_execute_path",
  "vulnerable_code_cannot_be_controlled_by_adversary",
  "inline_mitigations_already_exist",
);

const statementShape = object(
  {
    vulnerability: object({ name: vulnerabilityIdShape }),
    products: list(productShape, { min: 1, max: 1000 }),
    status: literal("not_affected", "affected", "fixed", "under_investigation"),
    timestamp: timestampShape,
  },
  { justification: justificationShape, impact_statement: lineShape, action_statement: lineShape, status_notes: lineShape },
);

/** https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md, version 0.2.0. */
export const openVexShape = object({
  "@context": literal(OPENVEX_CONTEXT),
  "@id": uriShape,
  author: lineShape,
  timestamp: timestampShape,
  version: integer(1),
  statements: list(statementShape, { max: 10_000 }),
});
export type OpenVex = TypeOf<typeof openVexShape>;
export type VexStatement = OpenVex["statements"][number];

/**
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH (also: not_affected without a justification,
 *   affected without an action), DUPLICATE_ENTRY (a vulnerability twice)
 */
export function parseOpenVex(bytes: Uint8Array): OpenVex {
  const document = parseShape(openVexShape, parseCanonicalJson(bytes, MAX_OPENVEX_BYTES), "an OpenVEX 0.2.0 document");
  requireDistinct(
    document.statements.map(({ vulnerability }) => vulnerability.name),
    "vulnerabilities",
  );
  for (const { status, justification, impact_statement, action_statement, vulnerability } of document.statements) {
    const reasoned = status !== "not_affected" || justification !== undefined || impact_statement !== undefined;
    if (!reasoned || (status === "affected" && action_statement === undefined))
      throw new FormatError("SCHEMA_MISMATCH", { expected: `a reason for ${status}`, actual: `${vulnerability.name}: none` });
  }
  return document;
}

/** The bytes of a vex/openvex.json. @throws as parseOpenVex, for a document that no reader accepts */
export function openVexBytes(document: OpenVex): Buffer {
  const bytes = Buffer.from(`${canonicalJson(document)}\n`);
  parseOpenVex(bytes);
  return bytes;
}
