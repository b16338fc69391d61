// Writes gpu-backends.json of an image: what can compute in it, file by file, or the name of the backend that is not as declared.
// gpu-backends --package NAME --version V --declared NAME,NAME --places NAME=PLACE,NAME=PLACE --root DIR,DIR --backends DIR --extensions DIR
//   --multiarch NAME --out FILE
// DIRs of --root: the one that wins first. --backends and --extensions hold a folder for each; a place is "root" or "extension:NAME"
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gpuBackendsBytes } from "@secai/formats/gpu-backends";
import { collectGpuBackends } from "../backends/collect.ts";
import { listOf, readFlags } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const list = (name: string): readonly string[] => listOf(flag(name));

/** Folders below a folder, by name; none where an image has none. */
function foldersOf(directory: string): Record<string, string> {
  return directory === "" ? {} : Object.fromEntries(readdirSync(directory).map((name) => [name, join(directory, name)]));
}

const made = collectGpuBackends({
  runtime: { package: flag("package"), version: flag("version") },
  declared: list("declared"),
  places: Object.fromEntries(list("places").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])),
  outputs: foldersOf(flag("backends")),
  root: list("root"),
  extensions: foldersOf(flag("extensions")),
  multiarch: flag("multiarch"),
});
writeFileSync(flag("out"), gpuBackendsBytes(made));
for (const { name, place, version, files } of made.backends)
  console.log(`backend ${name} in ${place}: ggml ${version}, ${files.length} ${files.length === 1 ? "library" : "libraries"}`);
