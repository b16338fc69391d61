import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { VerifyFormatError } from "./format-errors.ts";
import { parseSbomXml } from "./sbom-xml.ts";
import { xmlTokens } from "./xml.ts";

const refused = [
  { name: "a document type", text: '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>' },
  { name: "an entity of its own", text: "<a>&b;</a>" },
  { name: "an entity without end", text: "<a>&amp</a>" },
  { name: "a bare ampersand", text: "<a>b & c</a>" },
  { name: "a character reference to nothing", text: "<a>&#0;</a>" },
  { name: "a character reference past Unicode", text: "<a>&#x110000;</a>" },
  { name: "a comment", text: "<a><!-- b --></a>" },
  { name: "a CDATA section", text: "<a><![CDATA[b]]></a>" },
  { name: "a processing instruction", text: "<a><?b c?></a>" },
  { name: "two declarations", text: '<?xml version="1.0"?><?xml version="1.0"?><a/>' },
  { name: "an element that never closes", text: "<a><b></a>" },
  { name: "an element that was never opened", text: "<a/></b>" },
  { name: "the end inside an element", text: "<a>" },
  { name: "an attribute twice", text: '<a b="1" b="2"/>' },
  { name: "an attribute without quotes", text: "<a b=1/>" },
  { name: "an angle bracket in an attribute", text: '<a b="<"/>' },
];
for (const { name, text } of refused) {
  test(`${name}: XML_MALFORMED`, () => assert.throws(() => [...xmlTokens(text)], { code: "XML_MALFORMED" }));
}

test("elements, attributes, text and references are read as they are meant", () => {
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<a:b c='1 &quot; &#65;' d = "2"><e/>x &lt;&#x42;&gt;</a:b>`;
  assert.deepEqual(
    [...xmlTokens(text)].map((token) => (token.kind === "open" ? { ...token, attributes: { ...token.attributes } } : token)),
    [
      { kind: "open", name: "a:b", attributes: { c: '1 " A', d: "2" }, empty: false },
      { kind: "open", name: "e", attributes: {}, empty: true },
      { kind: "text", text: "x <B>" },
      { kind: "close", name: "a:b" },
    ],
  );
});

test("reading is total, and its time does not explode", () => {
  const piece = fc.constantFrom(
    "<",
    ">",
    "/",
    "a",
    "=",
    '"',
    "'",
    " ",
    "&",
    ";",
    "#",
    "x",
    "<a>",
    "</a>",
    "<!--",
    "<a b='",
    "]]>",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
      try {
        for (const _ of xmlTokens(pieces.join("")));
      } catch (error) {
        assert.ok(error instanceof VerifyFormatError);
      }
    }),
  );
  const long = `<a ${"b='c' ".repeat(20_000)}`;
  assert.throws(() => [...xmlTokens(long)], { code: "XML_MALFORMED" });
});

test("components are read with what identifies them; tools are not among them", () => {
  const xml = `<bom><metadata><tools><components><component type="t"><name>tool</name></component></components></tools>
    <component type="os" bom-ref="r"><name>image</name></component></metadata>
    <components><component type="data" bom-ref="d"><name>files</name>
      <components><component type="file"><name>/etc/x</name><hashes><hash alg="MD5">0</hash><hash alg="SHA-256">1</hash></hashes></component></components>
    </component></components></bom>`;
  assert.deepEqual(parseSbomXml(Buffer.from(xml)), [
    { type: "os", ref: "r", name: "image" },
    { type: "data", ref: "d", name: "files" },
    { type: "file", name: "/etc/x", sha256: "1" },
  ]);
});

test("bytes that are no UTF-8 are no XML", () =>
  assert.throws(() => parseSbomXml(Buffer.from([0xff])), { code: "XML_MALFORMED" }));
