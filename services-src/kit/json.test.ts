import fc from "fast-check";
import { expect, test } from "vitest";
import { HttpError } from "./errors.ts";
import { parseStrictJson } from "./json.ts";

const rejected = [
  { name: "nothing", text: "" },
  { name: "two values", text: "{} {}" },
  { name: "a duplicate key", text: '{"a":1,"a":2}' },
  { name: "a duplicate key with a space before its colon", text: '{"a":1,"a" :2}' },
  { name: "a duplicate key in disguise", text: '{"a":1,"\\u0061":2}' },
  { name: "a duplicate key deep inside", text: '[{"x":{"a":1,"b":[],"a":2}}]' },
  { name: "__proto__", text: '{"__proto__":{}}' },
  { name: "deep nesting", text: `${"[".repeat(17)}${"]".repeat(17)}` },
  { name: "a byte order mark", text: "\uFEFF{}" },
  { name: "a comment", text: "{} // x" },
];
for (const { name, text } of rejected) {
  test(`parseStrictJson rejects ${name}`, () => {
    expect(() => parseStrictJson(Buffer.from(text))).toThrow(expect.objectContaining({ code: "HTTP_BODY_MALFORMED" }));
  });
}

test("parseStrictJson rejects bytes that are no UTF-8", () => {
  expect(() => parseStrictJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(HttpError);
});

test("the same key in different objects, and keys that look like syntax, are fine", () => {
  const text = '{"a":{"a":1},"b":[{"a":1},{"a":2}],"{\\"a\\":":"\\"a\\":1","\\\\":0}';
  expect(parseStrictJson(Buffer.from(text))).toEqual(JSON.parse(text));
});

test("parseStrictJson reads what JSON.stringify wrote", () => {
  const shallow = fc.jsonValue({ maxDepth: 5 }).filter((value) => !JSON.stringify(value).includes("__proto__"));
  fc.assert(
    fc.property(shallow, (value) => {
      expect(parseStrictJson(Buffer.from(JSON.stringify(value)))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
