// Lays out the inference runtime for the root: its own libraries from the npm package, and the backends that live in the root.
// runtime --npm DIR --package NAME --version V --backends DIR --out DIR
// --backends holds a folder for each backend of the root, as its step made it
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseBackendRecord } from "@secai/formats/gpu-backends";
import { filesOfRuntime, unpackPackage } from "../backends/npm.ts";
import { RECORD_FILE, RUNTIME_FOLDER } from "../backends/record.ts";
import { readFlags } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const out = flag("out");

function put(from: string, path: string): void {
  mkdirSync(join(out, path, ".."), { recursive: true, mode: 0o755 });
  copyFileSync(from, join(out, path));
}

const libraries = unpackPackage(flag("npm"), flag("package"), flag("version"));
const own = filesOfRuntime(readdirSync(libraries));
for (const name of own) put(join(libraries, name), `${RUNTIME_FOLDER}/${name}`);
for (const backend of readdirSync(flag("backends")).sort()) {
  const folder = join(flag("backends"), backend);
  const { files } = parseBackendRecord(readFileSync(join(folder, RECORD_FILE)));
  for (const { path } of files) put(join(folder, path.slice(path.lastIndexOf("/") + 1)), path);
  console.log(`backend ${backend}: ${files.length} libraries`);
}
console.log(`runtime: ${own.join(", ")}`);
