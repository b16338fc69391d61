// `schemas.ts [--write]`: prints the JSON Schemas of every document, or writes them to docs/schemas/.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { documents, schemaFile } from "./house/schemas.ts";
import { top } from "./house/tree.ts";

const folder = join(top, "docs/schemas");
const write = process.argv[2] === "--write";
if (write) {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
}
for (const name of Object.keys(documents)) {
  if (write) writeFileSync(join(folder, `${name}.schema.json`), schemaFile(name));
  else process.stdout.write(schemaFile(name));
}
