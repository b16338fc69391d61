import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { isSignedFile } from "@secai/formats/release-layout";
import { Ajv, type AnySchemaObject } from "ajv";
import addFormats from "ajv-formats";
import { afterAll, describe, expect, test } from "vitest";
import { makeKeys, makeRelease, temporaryDirectory } from "../release/fixture.ts";
import { namesIn } from "../release/forge.ts";
import { IN_TOTO_STATEMENT } from "./in-toto.ts";

// Other people's schemas over what a release holds.

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);
makeKeys(at("keys"));
await makeRelease(at("release"), at("keys"));
const names = namesIn(at("release"));
const json = (name: string): unknown => JSON.parse(readFileSync(at(`release/${name}`), "utf8"));

const schemas = join(dirname(createRequire(import.meta.url).resolve("@cyclonedx/cyclonedx-library/package.json")), "res/schema");
const schema = (name: string) =>
  JSON.parse(readFileSync(join(schemas, `${name}.SNAPSHOT.schema.json`), "utf8")) as AnySchemaObject;

/** By the names under which the main schema refers to them. */
const besides = (...others: string[]) =>
  Object.fromEntries(others.map((name) => [`http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`, schema(name)]));

/** Strict about the schema is its publisher's affair; about the document it always is: no unknown member anywhere. */
function validator(main: AnySchemaObject, others: Readonly<Record<string, AnySchemaObject>> = {}) {
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
  addFormats.default(ajv);
  // Internationalised addresses and references; ajv-formats has no pattern of theirs, and none of our documents uses them.
  for (const format of ["idn-email", "iri-reference"]) ajv.addFormat(format, true);
  for (const [id, other] of Object.entries(others)) ajv.addSchema(other, id);
  const validate = ajv.compile(main);
  return (document: unknown) =>
    validate(document) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

describe("CycloneDX 1.6", () => {
  const mistakesIn = validator(schema("bom-1.6"), besides("spdx", "jsf-0.82"));
  const documents = names.filter((name) => name.endsWith(".cdx.json"));

  test("has an image SBOM, a service SBOM and a VEX document to look at", () =>
    expect(documents.length).toBeGreaterThanOrEqual(3));
  test.each(documents)("%s is valid", (name) => expect(mistakesIn(json(name))).toEqual([]));
  test("notices what is not in the format", () => {
    expect(mistakesIn({ ...(json("sbom/image.cdx.json") as object), extra: 1 })).not.toEqual([]);
    expect(mistakesIn({ ...(json("sbom/image.cdx.json") as object), specVersion: 1.6 })).not.toEqual([]);
  });
});

describe("in-toto Statement v1", () => {
  const mistakesIn = validator(IN_TOTO_STATEMENT);
  const statementOf = (file: string) => {
    const { dsseEnvelope } = json(`${file}.sigstore.json`) as { dsseEnvelope: { payload: string } };
    return JSON.parse(Buffer.from(dsseEnvelope.payload, "base64").toString()) as Record<string, unknown>;
  };
  const files = names.filter(isSignedFile);

  test.each(files)("what was signed about %s is valid", (file) => expect(mistakesIn(statementOf(file))).toEqual([]));
  test.each(["_type", "subject", "predicateType"])("a statement without %s is not", (member) => {
    const { [member]: _, ...rest } = statementOf(files[0] ?? "");
    expect(mistakesIn(rest)).not.toEqual([]);
  });
});
