import { VerifyFormatError } from "./format-errors.ts";

/** One step of a document: an element opens (and may close at once), closes, or text stands between. */
export type XmlToken =
  | {
      readonly kind: "open";
      readonly name: string;
      readonly attributes: Readonly<Record<string, string>>;
      readonly empty: boolean;
    }
  | { readonly kind: "close"; readonly name: string }
  | { readonly kind: "text"; readonly text: string };

const NAME = "[A-Za-z_][A-Za-z0-9_.:-]*";
const OPEN = new RegExp(`<(${NAME})((?:\\s+${NAME}\\s*=\\s*(?:"[^"<]*"|'[^'<]*'))*)\\s*(/?)>`, "y");
const CLOSE = new RegExp(`</(${NAME})\\s*>`, "y");
const ATTRIBUTE = new RegExp(`(?<name>${NAME})\\s*=\\s*(?:"(?<double>[^"]*)"|'(?<single>[^']*)')`, "g");
const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/**
 * The plain part of XML 1.0 (https://www.w3.org/TR/xml/) and nothing else: elements, attributes, text, the five predefined entities and
 * character references. A document type, comment, CDATA section or processing instruction is refused, and with it every way to make a
 * reader fetch or multiply anything.
 * @throws VerifyFormatError XML_MALFORMED
 */
export function* xmlTokens(document: string): Generator<XmlToken> {
  const text = document.replace(/^\uFEFF?<\?xml [^?<>]*\?>\s*/, "");
  const open: string[] = [];
  for (let at = 0; at < text.length; ) {
    if (text[at] !== "<") {
      const next = text.indexOf("<", at);
      const end = next < 0 ? text.length : next;
      yield { kind: "text", text: decoded(text.slice(at, end)) };
      at = end;
    } else if (text[at + 1] === "/") {
      const [whole, name] = matchAt(CLOSE, text, at);
      if (open.pop() !== name) throw malformed("elements that close in order", whole);
      yield { kind: "close", name };
      at += whole.length;
    } else {
      const [whole, name, attributes, slash] = matchAt(OPEN, text, at);
      if (slash === "") open.push(name);
      yield { kind: "open", name, attributes: attributesOf(attributes), empty: slash !== "" };
      at += whole.length;
    }
  }
  if (open.length > 0) throw malformed(`</${open.at(-1)}>`, "the end of the document");
}

/** What a sticky pattern finds at this very place, and its groups. @throws VerifyFormatError XML_MALFORMED */
function matchAt(pattern: RegExp, text: string, at: number): readonly [whole: string, name: string, more: string, last: string] {
  pattern.lastIndex = at;
  const [whole, name, more = "", last = ""] = pattern.exec(text) ?? [];
  if (whole === undefined || name === undefined) throw malformed("plain XML", `something else at character ${at}`);
  return [whole, name, more, last];
}

const NO_ATTRIBUTES: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

function attributesOf(text: string): Readonly<Record<string, string>> {
  if (text === "") return NO_ATTRIBUTES;
  const found: Record<string, string> = Object.create(null);
  for (const { groups } of text.matchAll(ATTRIBUTE)) {
    const name = groups?.name ?? "";
    if (name in found) throw malformed("each attribute once", name);
    found[name] = decoded(groups?.double ?? groups?.single ?? "");
  }
  return found;
}

function decoded(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&([^;&\s]{0,8})(;?)/g, (_, name: string, end: string) => {
    const known = end === ";" ? (ENTITIES[name] ?? character(name)) : undefined;
    if (known === undefined) throw malformed("a predefined entity", `&${name}`);
    return known;
  });
}

function character(name: string): string | undefined {
  const [, hex, decimal] = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name) ?? [];
  const code = hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal);
  return Number.isInteger(code) && code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
}

const malformed = (expected: string, actual: string) => new VerifyFormatError("XML_MALFORMED", { expected, actual });
