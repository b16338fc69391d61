import { type Document, isNode, LineCounter, parseDocument, visit } from "yaml";
import { KitError } from "./errors.ts";
import type { Problem, Shape } from "./schema.ts";

export { type Environment, readEnvironment } from "./environment.ts";

/** Problems of an operator's file that one message names. */
const MAX_PROBLEMS = 20;

/**
 * Parses an operator's YAML file: one document, YAML 1.2 core, each key once, no anchors, aliases or tags (each makes a reader see
 * something else than the eye does), then the shape. Every problem is named with its place. The result is deeply frozen.
 * @throws KitError CONFIG_SYNTAX, CONFIG_SCHEMA
 */
export function parseYaml<T>(name: string, bytes: Uint8Array, shape: Shape<T>): T {
  const lines = new LineCounter();
  const document = parsePlainDocument(name, bytes, lines);
  const value: unknown = document.toJS({ maxAliasCount: 0 });
  if (shape.is(value)) return deepFreeze(value);
  const problems = shape
    .problems(value, MAX_PROBLEMS)
    .map((problem) => `${place(name, document, lines, problem)}: ${problem.message}`);
  throw new KitError("CONFIG_SCHEMA", { expected: shape.name, actual: problems.join("; ") });
}

function parsePlainDocument(name: string, bytes: Uint8Array, lines: LineCounter): Document {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new KitError("CONFIG_SYNTAX", { expected: `${name}: UTF-8`, actual: "other bytes", cause });
  }
  const document = parseDocument(text, { version: "1.2", schema: "core", uniqueKeys: true, strict: true, lineCounter: lines });
  const broken = [...document.errors, ...document.warnings][0];
  if (broken !== undefined) throw new KitError("CONFIG_SYNTAX", { expected: `${name}: plain YAML`, actual: broken.message });
  visit(document, {
    Alias: () => syntax(name, "an alias"),
    Node: (_key, node) => {
      if ("anchor" in node && node.anchor !== undefined) syntax(name, "an anchor");
      if (node.tag !== undefined) syntax(name, "a tag");
    },
  });
  return document;
}

function syntax(name: string, actual: string): never {
  throw new KitError("CONFIG_SYNTAX", { expected: `${name}: plain YAML`, actual });
}

/** "policy.yaml:3:5 /tools/default" for the nearest node that exists. */
function place(name: string, document: Document, lines: LineCounter, { pointer }: Problem): string {
  const path = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  for (let length = path.length; length >= 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true);
    if (!isNode(node) || node.range == null) continue;
    const { line, col } = lines.linePos(node.range[0]);
    return `${name}:${line}:${col} ${pointer}`;
  }
  return `${name} ${pointer}`;
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}
