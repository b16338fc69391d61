// Compiles the ROCm backend of the runtime from the sources in the npm package, with the distribution's own HIP toolchain.
// compile-rocm --sources TGZ --patches DIR --lock ENTRY --tool-root NAME --architectures gfx1030,gfx1100 --ccache DIR|none --out DIR
// writes libggml-hip.so and backend.json
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compileBackend } from "../backends/compile.ts";
import { BUILD, SOURCES } from "../backends/cuda.ts";
import { unpackLlamaSources } from "../backends/llama-sources.ts";
import { backendFolder, writeRecord } from "../backends/record.ts";
import { cmakeArguments } from "../backends/rocm/cmake.ts";
import { gpusOf, requireGpus } from "../backends/rocm/code-objects.ts";
import { applyPatches } from "../backends/rocm/patches.ts";
import { readFlags, sourceDateEpoch } from "./tool.ts";

const LIBRARY = "libggml-hip.so";
/** The compiler of the largest kernels takes 1 GB. */
const BYTES_A_JOB = 2 ** 30;

const flag = readFlags(process.argv.slice(2));
const out = flag("out");
const architectures = flag("architectures").split(",");

sourceDateEpoch();
const sources = unpackLlamaSources(flag("sources"), SOURCES);
console.log(`sources: llama.cpp ${sources.llamaCpp}, ggml ${sources.ggml}`);
console.log(`patches: ${applyPatches(SOURCES, flag("patches")).join(", ")}`);
compileBackend({
  target: "ggml-hip",
  gpus: architectures,
  cmake: (cached) => cmakeArguments(architectures, cached),
  bytesAJob: BYTES_A_JOB,
  ccache: flag("ccache"),
});
mkdirSync(out, { recursive: true });
const library = join(out, LIBRARY);
copyFileSync(join(BUILD, "bin", LIBRARY), library);
const found = gpusOf(readFileSync(library));
requireGpus(found, architectures);
const record = writeRecord(out, {
  name: "rocm",
  version: sources.ggml,
  libraries: [LIBRARY],
  folder: backendFolder("rocm"),
  source: { kind: "compiled", lock: [flag("lock")], toolRoot: flag("tool-root") },
  architectures: found,
  // llama.cpp and the headers of HIP; the device libraries, which are in every kernel.
  licences: ["MIT", "NCSA"],
});
console.log(`${LIBRARY}: ${record.files[0]?.size} bytes, needs ${record.libraries.join(", ")}`);
