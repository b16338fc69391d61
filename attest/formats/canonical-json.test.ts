import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson, isSameJson, type JsonValue, parseCanonicalJson } from "./canonical-json.ts";
import { parseStatement, parseStatementOf, statementBytes } from "./statement.ts";

const MAX_BYTES = 1 << 20;
const file = (value: unknown) => Buffer.from(`${canonicalJson(value)}\n`);
const code = (expected: string) => expect.objectContaining({ code: expected });
const refusal = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return error;
  }
};

describe("canonical JSON", () => {
  it.each([
    ["keys out of order", '{"b":1,"a":2}\n'],
    ["keys out of order, deep within", '[{"a":[{"d":1,"c":2}]}]\n'],
    ["whole numbers as keys in numeric order", '{"2":1,"10":2}\n'],
    ["a key twice", '{"a":1,"a":1}\n'],
    ["white space", '{"a": 1}\n'],
    ["no newline", '{"a":1}'],
    ["two newlines", '{"a":1}\n\n'],
    ["another spelling of a number", '{"a":1.0}\n'],
    ["a negative zero", "-0\n"],
    ["another spelling of a string", '"\\u0041"\n'],
  ])("is not %s", (_, text) => {
    expect(refusal(() => parseCanonicalJson(Buffer.from(text), MAX_BYTES))).toEqual(code("JSON_NOT_CANONICAL"));
  });

  it("is not what begins with a byte order mark, nor what is no UTF-8, nor deeper than the stack", () => {
    const texts = [
      Buffer.from('\uFEFF{"a":1}\n'),
      Buffer.from([0x22, 0xff, 0x22, 0x0a]),
      Buffer.from(`${"[".repeat(2e5)}${"]".repeat(2e5)}\n`),
    ];
    for (const text of texts) expect(refusal(() => parseCanonicalJson(text, MAX_BYTES))).toEqual(code("JSON_MALFORMED"));
  });

  it("is what the serialisation gives, whole numbers as keys and other scripts included", () => {
    expect(parseCanonicalJson(Buffer.from('{"10":1,"2":"\u00e9\u20ac"}\n'), MAX_BYTES)).toEqual({ 2: "\u00e9\u20ac", 10: 1 });
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const bytes = file(value);
        expect(file(parseCanonicalJson(bytes, MAX_BYTES))).toEqual(bytes);
      }),
    );
  });

  it("is nothing else", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const bytes = Buffer.from(`${text}\n`);
        const found = refusal(() => parseCanonicalJson(bytes, MAX_BYTES));
        if (file(JSON.parse(text)).equals(bytes)) expect(found).toEqual(JSON.parse(text));
        else expect(found).toEqual(code("JSON_NOT_CANONICAL"));
      }),
    );
  });
});

describe("the same JSON", () => {
  it("differs where its canonical form does, and in the sign of zero", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), fc.jsonValue(), (one, other) => {
        const [left, right] = [one, other].map((value) => JSON.parse(JSON.stringify(value)) as JsonValue);
        expect(isSameJson(left, right)).toBe(canonicalJson(left) === canonicalJson(right));
        expect(isSameJson(left, JSON.parse(canonicalJson(left)))).toBe(true);
      }),
    );
    expect(isSameJson({ a: 0 }, { a: -0 })).toBe(false);
  });

  it.each([
    [[], {}],
    [{ a: 1 }, { b: 1 }],
    [{ a: 1 }, { a: 1, b: 1 }],
    [[1], [1, 2]],
    [null, {}],
    ["1", 1],
    [{ toString: 1 }, { valueOf: 1 }],
  ])("%j is not %j", (one, other) => {
    expect(isSameJson(one, other)).toBe(false);
  });
});

describe("a statement about a parsed file", () => {
  const subject = [{ name: "disk.raw.zst", digest: { sha256: "0".repeat(64) } }];
  const type = "https://in-toto.io/Statement/v1";
  const statement = (predicate: Record<string, unknown>) =>
    ({ _type: type, subject, predicateType: "https://example.org/p/v1", predicate }) as const;
  const value = { a: [1, { b: "x" }], predicateType: "}" };
  const known = { bytes: file(value), value };

  it("takes the parsed file for its predicate", () => {
    const found = parseStatementOf(statementBytes(statement(value)), known);
    expect(found.predicate).toBe(value);
    expect(found).toEqual(statement(value));
  });

  it.each([
    ["another predicate", statement({ ...value, z: 1 })],
    ["a predicate that begins as the file does", statement({ a: [1, { b: "xy" }], predicateType: "}" })],
  ])("is parsed in full over %s", (_, other) => {
    expect(parseStatementOf(statementBytes(other), known)).toEqual(other);
  });

  it("gives what a full parse gives, whatever a byte of it becomes", () => {
    const bytes = statementBytes(statement(value));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const other = Buffer.from(bytes);
        other[at] = (other[at] ?? 0) ^ change;
        const [full, short] = [parseStatement, (one: Buffer) => parseStatementOf(one, known)].map((parse) =>
          refusal(() => parse(other)),
        );
        if (full instanceof Error) expect(short).toEqual(code((full as Error & { code: string }).code));
        else expect(short).toEqual(full);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    [
      "a second predicate",
      `{"_type":"${type}","predicate":${canonicalJson(value)},"predicate":{},"predicateType":"https://example.org/p/v1"`,
    ],
    ["no comma after it", `{"_type":"${type}","predicate":${canonicalJson(value)}"predicateType":"https://example.org/p/v1"`],
  ])("refuses %s", (_, head) => {
    const bytes = Buffer.from(`${head},"subject":${canonicalJson(subject)}}\n`);
    expect(refusal(() => parseStatementOf(bytes, known))).toBeInstanceOf(Error);
    expect(refusal(() => parseStatement(bytes))).toBeInstanceOf(Error);
  });
});
