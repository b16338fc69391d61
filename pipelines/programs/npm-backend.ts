// Takes the libraries of one backend of the runtime out of the npm package that publishes them, and checks that they are what they should be.
// npm-backend --backend cpu|vulkan --npm DIR --package NAME --runtime NAME --version V --out DIR
// NAME is the package that has the backend, and the one that the runtime itself comes from; writes the libraries and backend.json
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BackendError } from "../backends/errors.ts";
import { BASE_LIBRARY, filesOfBackend, ggmlVersionOf, type NpmBackend, spirvVersions, unpackPackage } from "../backends/npm.ts";
import { backendFolder, RUNTIME_FOLDER, writeRecord } from "../backends/record.ts";
import { readFlags } from "./tool.ts";

const flag = readFlags(process.argv.slice(2));
const version = flag("version");
const out = flag("out");

const unpack = (name: string) => unpackPackage(flag("npm"), name, version);

function backendName(): NpmBackend {
  const name = flag("backend");
  if (name !== "cpu" && name !== "vulkan") throw new Error(`no npm package brings the backend ${name}`);
  return name;
}

/** Both packages must come from one build: their common library is the same, byte for byte. */
function baseLibrary(libraries: string, runtime: string): Buffer {
  const [own, runtimes] = [libraries, runtime].map((folder) => readFileSync(join(folder, BASE_LIBRARY)));
  if (own === undefined || runtimes === undefined || !own.equals(runtimes))
    throw new BackendError("GPU_BACKEND_SOURCE_UNEXPECTED", {
      expected: `${flag("package")} with the ${BASE_LIBRARY} of ${flag("runtime")}`,
      actual: "another one",
    });
  return own;
}

const backend = backendName();
const libraries = unpack(flag("package"));
const runtime = flag("runtime") === flag("package") ? libraries : unpack(flag("runtime"));
const files = filesOfBackend(backend, readdirSync(libraries));
const ggml = ggmlVersionOf(baseLibrary(libraries, runtime));
mkdirSync(out, { recursive: true });
for (const name of files.libraries) copyFileSync(join(libraries, name), join(out, name));
const record = writeRecord(out, {
  name: backend,
  version: ggml,
  libraries: files.libraries,
  folder: backend === "cpu" ? RUNTIME_FOLDER : backendFolder(backend),
  source: { kind: "npm", lock: [`npm:${flag("package")}@${version}`] },
  architectures:
    backend === "cpu"
      ? files.variants
      : [...new Set(files.libraries.flatMap((name) => spirvVersions(readFileSync(join(out, name)))))].sort(),
  licences: ["MIT"],
});
console.log(`backend ${backend}: ggml ${ggml}, ${record.files.length} libraries, ${record.architectures.join(", ")}`);
