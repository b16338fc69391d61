import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { documents, publishedSchema, schemaFile } from "../scripts/house/schemas.ts";
import { readRepositoryFile, top } from "../scripts/house/tree.ts";

test("docs/schemas has a file for every document and no other", () => {
  const expected = Object.keys(documents).map((name) => `${name}.schema.json`);
  expect(readdirSync(join(top, "docs/schemas")).sort()).toEqual(expected.sort());
});
describe.each(Object.keys(documents))("%s", (name) => {
  // Mend with: node scripts/setup.mjs scripts/schemas.ts --write
  test("is published as the code has it", () => {
    expect(readRepositoryFile(`docs/schemas/${name}.schema.json`)).toBe(schemaFile(name));
  });
  test("is a JSON Schema that refuses an empty document", () => {
    const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(publishedSchema(name));
    expect(validate([])).toBe(false);
  });
});
