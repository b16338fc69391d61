import { strict as assert } from "node:assert";
import fc from "fast-check";
import { test } from "vitest";
import { parseBase64 } from "./base64.ts";
import { canonicalJson, parseCanonicalJson, parseJson } from "./canonical-json.ts";
import { buildChecksums, parseChecksums } from "./checksums.ts";
import { parseSha256, sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { exampleFacts, exampleManifestFacts } from "./example.test-data.ts";
import { isFileName, lookAlikes, parseFileName } from "./file-name.ts";
import { buildManifest, manifestBytes, parseManifest } from "./manifest.ts";
import { buildProvenance, parseProvenance } from "./provenance.ts";
import { bundleOf, placeOf, releasePlaces, roleOf } from "./release-layout.ts";
import { buildStatement, parseStatement, statementBytes, subjectOf } from "./statement.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

/** One row for each near miss: the parser, what it is given, the code it must answer with. */
const rejected: readonly { readonly name: string; readonly run: () => unknown; readonly code: string }[] = [
  { name: "upper case digest", run: () => parseSha256("A".repeat(64)), code: "DIGEST_MALFORMED" },
  { name: "digest with newline", run: () => parseSha256(`${"a".repeat(64)}\n`), code: "DIGEST_MALFORMED" },
  { name: "digest with prefix", run: () => parseSha256(`sha256:${"a".repeat(64)}`), code: "DIGEST_MALFORMED" },
  { name: "base64 without padding", run: () => parseBase64("YQ"), code: "BASE64_MALFORMED" },
  { name: "base64 with spare bits", run: () => parseBase64("YR=="), code: "BASE64_MALFORMED" },
  { name: "base64 with a line end", run: () => parseBase64("YWJj\n"), code: "BASE64_MALFORMED" },
  { name: "base64url", run: () => parseBase64("-_-_"), code: "BASE64_MALFORMED" },
  { name: "JSON with a duplicate key", run: () => parseCanonicalJson(bytes('{"a":1,"a":1}\n'), 99), code: "JSON_NOT_CANONICAL" },
  {
    name: "JSON with keys out of order",
    run: () => parseCanonicalJson(bytes('{"b":1,"a":1}\n'), 99),
    code: "JSON_NOT_CANONICAL",
  },
  { name: "JSON with an escaped letter", run: () => parseCanonicalJson(bytes('"\\u0061"\n'), 99), code: "JSON_NOT_CANONICAL" },
  { name: "JSON with 1.0 for 1", run: () => parseCanonicalJson(bytes("1.0\n"), 99), code: "JSON_NOT_CANONICAL" },
  { name: "JSON with -0", run: () => parseCanonicalJson(bytes("-0\n"), 99), code: "JSON_NOT_CANONICAL" },
  { name: "JSON without newline", run: () => parseCanonicalJson(bytes("1"), 99), code: "JSON_NOT_CANONICAL" },
  { name: "JSON with a byte order mark", run: () => parseCanonicalJson(bytes("\xef\xbb\xbf1\n"), 99), code: "JSON_MALFORMED" },
  { name: "JSON in Latin-1", run: () => parseCanonicalJson(bytes('"\xe4"\n'), 99), code: "JSON_MALFORMED" },
  {
    name: "JSON as deep as the stack",
    run: () => parseCanonicalJson(bytes(`${"[".repeat(2e5)}${"]".repeat(2e5)}\n`), 1e6),
    code: "JSON_MALFORMED",
  },
  { name: "JSON over its limit", run: () => parseJson(bytes("12345"), 4), code: "JSON_TOO_LARGE" },
  { name: "a parent directory", run: () => parseFileName("../x"), code: "FILE_NAME_UNSAFE" },
  { name: "a dot between", run: () => parseFileName("a/./b"), code: "FILE_NAME_UNSAFE" },
  { name: "an empty part", run: () => parseFileName("a//b"), code: "FILE_NAME_UNSAFE" },
  { name: "a backslash", run: () => parseFileName("a\\b"), code: "FILE_NAME_UNSAFE" },
  { name: "a full-width letter", run: () => parseFileName("ａ"), code: "FILE_NAME_UNSAFE" },
  { name: "a name of a size no file system takes", run: () => parseFileName("a".repeat(101)), code: "FILE_NAME_UNSAFE" },
  { name: "a bundle of a bundle", run: () => roleOf("measurements.json.sigstore.json.sigstore.json"), code: "FILE_UNKNOWN" },
  { name: "a service named like its folder", run: () => roleOf("services/.mjs"), code: "FILE_UNKNOWN" },
  { name: "a private key", run: () => roleOf("keys/release.key"), code: "FILE_UNKNOWN" },
  { name: "checksums with one space", run: () => parseChecksums(bytes(`${"a".repeat(64)} x\n`)), code: "CHECKSUMS_MALFORMED" },
  {
    name: "checksums with three spaces",
    run: () => parseChecksums(bytes(`${"a".repeat(64)}   x\n`)),
    code: "CHECKSUMS_MALFORMED",
  },
  {
    name: "checksums with an upper case digest",
    run: () => parseChecksums(bytes(`${"A".repeat(64)}  x\n`)),
    code: "CHECKSUMS_MALFORMED",
  },
  {
    name: "checksums with an empty line",
    run: () => parseChecksums(bytes(`${"a".repeat(64)}  x\n\n`)),
    code: "CHECKSUMS_MALFORMED",
  },
  {
    name: "checksums of their own signature",
    run: () => parseChecksums(bytes(`${"a".repeat(64)}  SHA256SUMS.sigstore.json\n`)),
    code: "CHECKSUMS_MALFORMED",
  },
  {
    name: "a statement of version 0.1",
    run: () =>
      parseStatement(
        statementBytes({
          ...buildStatement("urn:x", [subjectOf("x", sha256("x"))], {}),
          _type: "https://in-toto.io/Statement/v0.1" as never,
        }),
      ),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a statement about nothing",
    run: () => parseStatement(statementBytes(buildStatement("urn:x", [], {}))),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a statement about one name twice",
    run: () =>
      parseStatement(statementBytes(buildStatement("urn:x", [subjectOf("x", sha256("x")), subjectOf("x", sha256("y"))], {}))),
    code: "DUPLICATE_ENTRY",
  },
  {
    name: "a subject outside the release",
    run: () => parseStatement(statementBytes(buildStatement("urn:x", [subjectOf("/etc/passwd", sha256("x"))], {}))),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "provenance with a dependency twice",
    run: () => buildProvenance({ ...exampleFacts, dependencies: [...exampleFacts.dependencies, ...exampleFacts.dependencies] }),
    code: "DUPLICATE_ENTRY",
  },
  {
    name: "provenance with a dependency without digest",
    run: () => buildProvenance({ ...exampleFacts, dependencies: [{ name: "x", digest: {} }] }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "provenance that ends before it starts",
    run: () =>
      buildProvenance({
        ...exampleFacts,
        metadata: { invocationId: "1", startedOn: "2026-01-01T00:00:01Z", finishedOn: "2026-01-01T00:00:00Z" },
      }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "provenance with a builder that is no URI",
    run: () => buildProvenance({ ...exampleFacts, builder: { id: "me", version: { x: "1" } } }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a predicate of another type",
    run: () => parseProvenance({ ...buildProvenance(exampleFacts), predicateType: "urn:x" }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a manifest of a release without disk",
    run: () =>
      buildManifest({ ...exampleManifestFacts, files: exampleManifestFacts.files.filter(({ name }) => name !== "disk.raw.zst") }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a manifest of an unknown file",
    run: () => buildManifest({ ...exampleManifestFacts, files: [{ name: "x", sha256: sha256("x"), size: 1 }] }),
    code: "FILE_UNKNOWN",
  },
  {
    name: "a manifest that lists a file twice",
    run: () =>
      parseManifest(
        manifestBytes(
          buildManifest({ ...exampleManifestFacts, files: [...exampleManifestFacts.files, ...exampleManifestFacts.files] }),
        ),
      ),
    code: "DUPLICATE_ENTRY",
  },
  {
    name: "a manifest with an absent file that is listed",
    run: () =>
      parseManifest(manifestBytes(buildManifest({ ...exampleManifestFacts, absent: [{ name: "uki.efi", reason: "x" }] }))),
    code: "DUPLICATE_ENTRY",
  },
  {
    name: "a manifest from before 1970",
    run: () => buildManifest({ ...exampleManifestFacts, sourceDateEpoch: -1e14 / 1000 }),
    code: "SCHEMA_MISMATCH",
  },
];
for (const { name, run, code } of rejected) test(`refused: ${name}`, () => assert.throws(run, { code }));

const parsers = {
  parseCanonicalJson: (data: Uint8Array) => parseCanonicalJson(data, 1 << 20),
  parseStatement,
  parseManifest,
  parseChecksums,
};
for (const [name, parse] of Object.entries(parsers)) {
  test(`${name} returns or throws a FormatError, whatever the bytes`, () => {
    const json = fc.jsonValue().map((value) => Buffer.from(`${canonicalJson(value)}\n`));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), json), (data) => {
        try {
          parse(data);
        } catch (error) {
          assert.ok(error instanceof FormatError, String(error));
        }
      }),
    );
  });
}

test("canonical JSON reads back as the same value, and printing it again changes nothing", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const printed = `${canonicalJson(value)}\n`;
      assert.equal(`${canonicalJson(parseCanonicalJson(Buffer.from(printed), 1 << 20))}\n`, printed);
    }),
  );
});

test("RFC 8785, section 3.2.3: keys in the order of their UTF-16 code units; numbers as ECMAScript prints them", () => {
  const keys = ["\u20ac", "\r", "\ufb33", "1", "\ud83d\ude00", "\u0080", "\u00f6"];
  const printed = canonicalJson(Object.fromEntries(keys.map((key) => [key, 0])));
  assert.deepEqual(Object.keys(JSON.parse(printed)), ["1", "\r", "\u0080", "\u00f6", "\u20ac", "\ud83d\ude00", "\ufb33"]);
  assert.equal(canonicalJson([1e30, 4.5, 2e-3, 1e-27, -0]), "[1e+30,4.5,0.002,1e-27,0]");
});

test("checksums read back as they were, sorted", () => {
  const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._+-]{0,20}(\/[A-Za-z0-9_][A-Za-z0-9._+-]{0,20})?$/);
  fc.assert(
    fc.property(fc.dictionary(name, fc.string(), { minKeys: 1 }), (files) => {
      const digests = new Map(Object.entries(files).map(([file, content]) => [file, sha256(content)]));
      const parsed = parseChecksums(Buffer.from(buildChecksums(digests)));
      assert.deepEqual(new Map([...parsed].sort()), new Map([...digests].sort()));
    }),
  );
});

test("a manifest and a provenance read back as they were", () => {
  const manifest = buildManifest(exampleManifestFacts);
  assert.deepEqual(parseManifest(manifestBytes(manifest)), manifest);
  const statement = buildProvenance(exampleFacts);
  assert.deepEqual(parseStatement(statementBytes(statement)), JSON.parse(JSON.stringify(statement)));
  assert.deepEqual(parseProvenance(statement), statement.predicate);
});

test("the same facts in another order give the same provenance", () => {
  const turned = {
    ...exampleFacts,
    subjects: exampleFacts.subjects.toReversed(),
    dependencies: exampleFacts.dependencies.toReversed(),
  };
  assert.deepEqual(statementBytes(buildProvenance(turned)), statementBytes(buildProvenance(exampleFacts)));
});

test("recipe and lock are dependencies without being named", () => {
  const names = buildProvenance(exampleFacts).predicate.buildDefinition.resolvedDependencies.map(({ name }) => name);
  assert.deepEqual(names, ["bash", "recipes/debian-13.yaml", "recipes/locks/debian-13.lock.json", "zsh"]);
});

test("look-alikes are found by letter case", () => {
  assert.deepEqual(lookAlikes(["a/B", "a/b", "c"]), [["a/B", "a/b"]]);
  assert.deepEqual(lookAlikes(["a", "b"]), []);
});

test("every place has one role, and a bundle is never a bundle's subject", () => {
  for (const name of ["SHA256SUMS", "disk.raw.zst", "services/a-b.mjs", "sbom/image.cdx.json", "keys/PK.crt"]) {
    assert.ok(isFileName(name));
    assert.equal(releasePlaces.filter(({ pattern }) => pattern.test(name)).length >= 1, true);
    assert.equal(placeOf(bundleOf(bundleOf(name))), undefined);
  }
  assert.equal(roleOf("sbom/image.cdx.json"), "image-sbom");
  assert.equal(roleOf("sbom/other.cdx.json"), "service-sbom");
});
