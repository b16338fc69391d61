import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { canonicalJson, parseJson } from "./canonical-json.ts";
import { FormatError } from "./errors.ts";
import { ForensicError } from "./forensic-errors.ts";
import { anyObject, integer, list, literal, object, parseShape, type Shape, type TypeOf, text } from "./shape.ts";

/** Largest bundle that is read. */
export const MAX_FORENSIC_BYTES = 64 << 20;
/** Keeps a signature over a bundle from counting for anything else that the same key might sign. */
export const FORENSIC_DOMAIN = "SecAI-Forensic-Bundle-v2";

/** Deepest nesting: evidence of a report (the kit reads 16 levels), inside an incident, inside a list, inside the bundle. */
const MAX_DEPTH = 24;

const digest = text(/^[0-9a-f]{64}$/, 64);
/** RFC 3339 in UTC. */
export const forensicInstant = text(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/, 32);
const word = text(/^[a-z][a-z0-9_.-]{0,63}$/, 64);
/** No control characters (in the sense of the kit's lines, which stop at U+007F), so that no record can fake another. */
const line = (maxLength: number): Shape<string> => {
  const shape = text(/^.*$/s, maxLength);
  const isControl = (character: string): boolean =>
    character < " " || character === "\u007f" || character === "\u2028" || character === "\u2029";
  return {
    schema: { ...shape.schema, pattern: "^[^\\u0000-\\u001f\\u007f\\u2028\\u2029]*$" },
    mistake: (value, path) =>
      shape.mistake(value, path) ?? ([...(value as string)].some(isControl) ? `${path} has a control character` : undefined),
  };
};
const flag = literal(true, false);
const link = object({ seq: integer(0), mac: digest });

/** As the incident recorder keeps them; evidence is the reporters' own and is shown, not judged. */
export const forensicIncidentShape = object(
  {
    id: text(/^INC-\d{8}-\d{6}-\d{4,12}$/, 64),
    created_at: forensicInstant,
    class: word,
    severity: literal("low", "medium", "high", "critical"),
    state: literal("open", "contained", "containment_failed", "resolved", "acknowledged"),
    source: word,
    description: line(1024),
    evidence: anyObject,
    fingerprint: digest,
    count: integer(1),
    last_seen_at: forensicInstant,
    latched: flag,
    escalated: flag,
    containment_actions: list(word, { max: 16 }),
    containment_results: list(
      object({ action: word, success: flag, attempts: integer(0), completed_at: forensicInstant }, { error: line(1024) }),
      { max: 16 },
    ),
    hash: digest,
  },
  { resolved_at: forensicInstant, acknowledged_at: forensicInstant },
);

/**
 * What the incident recorder knows, for the time after: all incidents, the end of its audit log with the log's head, and a signature,
 * Ed25519 over "SecAI-Forensic-Bundle-v2", NUL and the RFC 8785 form of everything but `signature`.
 */
export const forensicShape = object({
  schema: literal(2),
  exported_at: forensicInstant,
  incidents: list(forensicIncidentShape, { max: 5000 }),
  /** Raw lines of the audit log, oldest first. */
  audit_entries: list(text(/^\{.*\}$/s, 1 << 20), { max: 1000 }),
  audit_head: link,
  store_head: link,
  system_state: object({
    export_time: forensicInstant,
    service: literal("incident-recorder"),
    total_incidents: integer(0, 5000),
    open_incidents: integer(0, 5000),
  }),
  policy_digest: digest,
  // 64 bytes leave four bits of the last letter unused: only the spelling with zeros there is the one signature (RFC 4648 §3.5).
  signature: object({ algorithm: literal("ed25519"), key_id: digest, value: text(/^[A-Za-z0-9+/]{85}[AQgw]==$/, 88) }),
});
export type ForensicBundle = TypeOf<typeof forensicShape>;

/**
 * The bundle in these bytes, not yet verified. Repeated keys and other spellings are refused: two readers could see
 * different bundles.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED (also when nested too deep), SCHEMA_MISMATCH; ForensicError FORENSIC_AMBIGUOUS
 */
export function parseForensic(bytes: Uint8Array): ForensicBundle {
  const value = parseJson(bytes, MAX_FORENSIC_BYTES);
  requireDepth(value);
  const bundle = parseShape(forensicShape, value, "a forensic bundle, schema 2");
  // Printed again it must be the same bytes: a repeated key or spare white space would be lost on the way.
  const written = Buffer.from(bytes).toString("utf8");
  const printed = JSON.stringify(value);
  if (written !== printed && written !== `${printed}\n`)
    throw new ForensicError("FORENSIC_AMBIGUOUS", {
      expected: "JSON as the recorder prints it",
      actual: "other bytes for the same value",
    });
  return bundle;
}

/** Level by level: printing a value from outside, which is next, would end at the call stack's end. */
function requireDepth(value: unknown): void {
  let level = [value].filter(isNested);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MAX_DEPTH)
      throw new FormatError("JSON_MALFORMED", { expected: `JSON of at most ${MAX_DEPTH} levels`, actual: "more" });
    level = level.flatMap((one) => Object.values(one).filter(isNested));
  }
}
const isNested = (value: unknown): value is object => typeof value === "object" && value !== null;

/**
 * Returns the bundle if the incident recorder's key signed it and its audit log ends where it says.
 * @throws ForensicError FORENSIC_KEY, FORENSIC_SIGNATURE, FORENSIC_AUDIT, FORENSIC_CONTENT
 */
export function verifyForensic(bytes: Uint8Array, publicKeyPem: string): ForensicBundle {
  const bundle = parseForensic(bytes);
  requireSignature(bundle, readKey(publicKeyPem));
  requireCounts(bundle);
  requireChain(bundle);
  return bundle;
}

function readKey(pem: string): KeyObject {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType !== "ed25519") throw new TypeError(`a key of type ${key.asymmetricKeyType}`);
    return key;
  } catch (cause) {
    throw new ForensicError("FORENSIC_KEY", {
      expected: "an Ed25519 public key in PEM",
      actual: (cause as Error).message,
      cause,
    });
  }
}

function requireSignature({ signature, ...payload }: ForensicBundle, key: KeyObject): void {
  const keyId = createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest("hex");
  if (signature.key_id !== keyId)
    throw new ForensicError("FORENSIC_KEY", { expected: `key ${keyId}`, actual: `key ${signature.key_id}` });
  const signed = Buffer.from(`${FORENSIC_DOMAIN}\0${canonicalJson(payload)}`);
  if (!verify(null, signed, key, Buffer.from(signature.value, "base64")))
    throw new ForensicError("FORENSIC_SIGNATURE", { expected: `a signature by ${keyId} over this content`, actual: "another" });
}

function requireCounts({ incidents, system_state: state, exported_at }: ForensicBundle): void {
  const ids = new Set(incidents.map(({ id }) => id));
  if (ids.size !== incidents.length || state.total_incidents !== incidents.length || state.export_time !== exported_at)
    throw new ForensicError("FORENSIC_CONTENT", {
      expected: `${state.total_incidents} incidents`,
      actual: `${ids.size} of ${incidents.length}`,
    });
}

/** Without the log's key the records cannot be authenticated one by one, but that each names the one before it can be seen. */
function requireChain({ audit_entries: entries, audit_head: head }: ForensicBundle): void {
  let before: { readonly seq: number; readonly mac: string } | undefined;
  for (const entry of entries) {
    const record = readRecord(entry);
    if (before !== undefined && (record.seq !== before.seq + 1 || record.prev !== before.mac))
      broken(`record ${before.seq + 1}`, `record ${record.seq}`);
    before = record;
  }
  if (before?.seq !== head.seq || before.mac !== head.mac)
    broken(`records up to ${head.seq}`, `records up to ${before?.seq ?? "none"}`);
}

function readRecord(entry: string): { readonly seq: number; readonly mac: string; readonly prev: string } {
  let value: Readonly<Record<string, unknown>> = {};
  try {
    value = JSON.parse(entry) as typeof value;
  } catch {
    broken("a record", "no JSON");
  }
  const { seq, mac, prev } = value;
  if (typeof seq !== "number" || typeof mac !== "string" || typeof prev !== "string") return broken("a record", "something else");
  return { seq, mac, prev };
}

function broken(expected: string, actual: string): never {
  throw new ForensicError("FORENSIC_AUDIT", { expected, actual });
}
