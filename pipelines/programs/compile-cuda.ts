// Compiles the CUDA backend of the runtime from the sources in the npm package, with the distribution's own CUDA toolkit.
// compile-cuda --sources TGZ --lock ENTRY --tool-root NAME --architectures 75-virtual,80-virtual --ccache DIR|none --out DIR
// writes libggml-cuda.so and backend.json
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { compileBackend } from "../backends/compile.ts";
import {
  architecturesOf,
  BUILD,
  cmakeArguments,
  codeNames,
  openedLibraries,
  requireArchitectures,
  SOURCES,
} from "../backends/cuda.ts";
import { unpackLlamaSources } from "../backends/llama-sources.ts";
import { backendFolder, writeRecord } from "../backends/record.ts";
import { readFlags, sourceDateEpoch, toolOutput } from "./tool.ts";

const LIBRARY = "libggml-cuda.so";
/** The compiler of the largest kernels takes 1.5 GB. */
const BYTES_A_JOB = 2 ** 31;

const flag = readFlags(process.argv.slice(2));
const out = flag("out");
const architectures = flag("architectures").split(",");

sourceDateEpoch();
const sources = unpackLlamaSources(flag("sources"), SOURCES);
console.log(`sources: llama.cpp ${sources.llamaCpp}, ggml ${sources.ggml}`);
compileBackend({
  target: "ggml-cuda",
  gpus: codeNames(architectures),
  cmake: (cached) => cmakeArguments(architectures, cached),
  bytesAJob: BYTES_A_JOB,
  ccache: flag("ccache"),
});
mkdirSync(out, { recursive: true });
const library = join(out, LIBRARY);
copyFileSync(join(BUILD, "bin", LIBRARY), library);
const found = architecturesOf(toolOutput("cuobjdump", ["--list-ptx", library]), toolOutput("cuobjdump", ["--list-elf", library]));
requireArchitectures(found, architectures);
const record = writeRecord(out, {
  name: "cuda",
  version: sources.ggml,
  libraries: [LIBRARY],
  folder: backendFolder("cuda"),
  source: { kind: "compiled", lock: [flag("lock")], toolRoot: flag("tool-root") },
  architectures: found,
  // llama.cpp; of header libraries CUB and libcu++; of the toolkit's own headers and its device functions.
  licences: ["MIT", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause", "LicenseRef-NVIDIA-CUDA-Toolkit-EULA"],
  opened: openedLibraries(found),
});
console.log(`${LIBRARY}: ${record.files[0]?.size} bytes, needs ${record.libraries.join(", ")}`);
