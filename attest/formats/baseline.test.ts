import { strict as assert } from "node:assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { test } from "vitest";
import { exampleBaselineFacts as facts } from "./baseline.test-data.ts";
import { type Baseline, baselineBytes, baselineShape, buildBaseline, parseBaseline } from "./baseline.ts";
import { canonicalJson, type JsonValue } from "./canonical-json.ts";
import { sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";

const baseline = buildBaseline(facts);
const print = (value: unknown) => Buffer.from(`${canonicalJson(value)}\n`);
/** The bytes of the example with some members replaced; a function sees the old member. */
const spoiled = (change: Partial<Record<keyof Baseline, unknown>>) => print({ ...baseline, ...change });
const [root, link] = baseline.files.toSorted((a) => (a.path === "/" ? -1 : 1));
const entry = { path: "/x", mode: "0644", uid: 0, gid: 0 };
const withEntry = (one: Record<string, unknown>) => spoiled({ files: [...baseline.files, one] });

const extensionFiles = [
  { path: "/usr", mode: "0755", uid: 0, gid: 0, type: "directory" },
  { path: "/usr/x.so", mode: "0644", uid: 0, gid: 0, type: "file", sha256: sha256("x"), size: 1 },
] as const;
const extension = { name: "vulkan", rootHash: sha256("vulkan"), files: extensionFiles };
const withExtensions = (...extensions: readonly unknown[]) => print({ ...baseline, extensions });

const rejected: readonly { name: string; bytes: Uint8Array; code: string }[] = [
  { name: "another schema", bytes: spoiled({ schema: 2 }), code: "SCHEMA_MISMATCH" },
  { name: "an unknown member", bytes: print({ ...baseline, extra: 1 }), code: "SCHEMA_MISMATCH" },
  { name: "no files", bytes: spoiled({ files: [] }), code: "SCHEMA_MISMATCH" },
  { name: "files out of order", bytes: spoiled({ files: baseline.files.toReversed() }), code: "SCHEMA_MISMATCH" },
  { name: "a file twice", bytes: spoiled({ files: [root, root, ...baseline.files.slice(1)] }), code: "DUPLICATE_ENTRY" },
  { name: "a file without digest", bytes: withEntry({ ...entry, type: "file", size: 1 }), code: "SCHEMA_MISMATCH" },
  { name: "a link with a digest", bytes: spoiled({ files: [root, { ...link, sha256: sha256("x") }] }), code: "SCHEMA_MISMATCH" },
  { name: "a directory with a target", bytes: withEntry({ ...entry, type: "directory", target: "y" }), code: "SCHEMA_MISMATCH" },
  { name: "a device", bytes: withEntry({ ...entry, type: "device" }), code: "SCHEMA_MISMATCH" },
  { name: "a mode of three digits", bytes: withEntry({ ...entry, type: "directory", mode: "755" }), code: "SCHEMA_MISMATCH" },
  { name: "a relative path", bytes: withEntry({ ...entry, type: "directory", path: "x" }), code: "SCHEMA_MISMATCH" },
  { name: "a path with ..", bytes: withEntry({ ...entry, type: "directory", path: "/x/../y" }), code: "SCHEMA_MISMATCH" },
  { name: "a path with a newline", bytes: withEntry({ ...entry, type: "directory", path: "/x\n" }), code: "SCHEMA_MISMATCH" },
  {
    name: "a file below a file",
    bytes: print({
      ...baseline,
      files: [
        ...baseline.files,
        { ...entry, type: "file", sha256: sha256("x"), size: 1 },
        { ...entry, path: "/x/y", type: "directory" },
      ],
    }),
    code: "SCHEMA_MISMATCH",
  },
  { name: "an extension without a root hash", bytes: withExtensions({ ...extension, rootHash: "" }), code: "SCHEMA_MISMATCH" },
  { name: "an extension twice", bytes: withExtensions(extension, extension), code: "DUPLICATE_ENTRY" },
  {
    name: "an extension's files out of order",
    bytes: withExtensions({ ...extension, files: extensionFiles.toReversed() }),
    code: "SCHEMA_MISMATCH",
  },
  { name: "another root hash", bytes: spoiled({ rootHash: sha256("other") }), code: "SCHEMA_MISMATCH" },
  {
    name: "a command line with one word more",
    bytes: spoiled({ commandLine: `${baseline.commandLine} x` }),
    code: "SCHEMA_MISMATCH",
  },
  { name: "a kernel argument less", bytes: spoiled({ kernelArguments: ["ro"] }), code: "SCHEMA_MISMATCH" },
  { name: "a kernel argument of two words", bytes: spoiled({ kernelArguments: ["ro console=ttyS0"] }), code: "SCHEMA_MISMATCH" },
  {
    name: "a service with another digest",
    bytes: spoiled({ services: { "policy-engine": { ...baseline.services["policy-engine"], sha256: sha256("x") } } }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a policy that is no file",
    bytes: spoiled({ policies: [{ path: "/bin", sha256: sha256("x") }] }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a firewall that is nowhere",
    bytes: spoiled({ firewall: { path: "/y", sha256: sha256("x") } }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a unit that is nowhere",
    bytes: spoiled({ units: [{ name: "x.service", sha256: sha256("x"), enabled: false }] }),
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a unit enabled by a word",
    bytes: spoiled({ units: [{ ...baseline.units[0], enabled: "true" }] }),
    code: "SCHEMA_MISMATCH",
  },
  { name: "port 0", bytes: spoiled({ ports: [{ service: "a", address: "::1", port: 0 }] }), code: "SCHEMA_MISMATCH" },
  { name: "a port twice", bytes: spoiled({ ports: [...baseline.ports, ...baseline.ports] }), code: "DUPLICATE_ENTRY" },
  {
    name: "a package twice",
    bytes: spoiled({ packages: [...baseline.packages, ...baseline.packages] }),
    code: "DUPLICATE_ENTRY",
  },
  { name: "spare white space", bytes: Buffer.from(JSON.stringify(baseline, null, 1)), code: "JSON_NOT_CANONICAL" },
  { name: "17 MiB", bytes: Buffer.alloc(17 << 20, " "), code: "JSON_TOO_LARGE" },
];
for (const { name, bytes, code } of rejected) {
  test(`a baseline with ${name} is refused`, () => assert.throws(() => parseBaseline(bytes), { code }));
}

test("a baseline reads back as it was; facts in another order give the same bytes", () => {
  assert.deepEqual(parseBaseline(baselineBytes(baseline)), baseline);
  const turned = buildBaseline({ ...facts, files: facts.files.toReversed() });
  assert.deepEqual(baselineBytes(turned), baselineBytes(baseline));
});

test("facts that disagree are refused when building, too", () => {
  assert.throws(() => buildBaseline({ ...facts, policies: [{ path: "/nowhere", sha256: sha256("x") }] }), {
    code: "SCHEMA_MISMATCH",
  });
});

test("the published schema says what the parser's shape says", () => {
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(baselineShape.schema);
  assert.equal(validate(JSON.parse(canonicalJson(baseline))), true);
  const shapeless = rejected.filter(({ name }) =>
    /without digest|with a digest|with a target|device|three digits|port 0|a word/.test(name),
  );
  assert.equal(shapeless.length, 7);
  for (const { name, bytes } of shapeless) assert.equal(validate(JSON.parse(Buffer.from(bytes).toString())), false, name);
});

test("any JSON in any member gives a baseline or a FormatError", () => {
  const member = fc.constantFrom(...(Object.keys(baseline) as (keyof Baseline)[]));
  fc.assert(
    fc.property(member, fc.jsonValue(), (name, value) => {
      try {
        parseBaseline(print({ ...(baseline as unknown as Record<string, JsonValue>), [name]: value as JsonValue }));
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
      }
    }),
  );
});

test("a baseline with extensions is put in order and read back", () => {
  const files = extensionFiles.toReversed();
  const built = buildBaseline({ ...facts, extensions: [{ ...extension, files: [...files] }] });
  assert.deepEqual(parseBaseline(baselineBytes(built)), built);
  assert.deepEqual(built.extensions, [{ ...extension, files: [...extensionFiles] }]);
});
