// Runs a model on the backends of this machine and says, as JSON, what came of it. It loads drivers into its process, so it has no rights
// that they should not have, and each backend gets a process of its own.
import { mkdtempSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sha256, sha256File } from "@secai/formats/digest";
import { CodedError } from "@secai/formats/errors";
import { BACKENDS, type Backend } from "@secai/formats/gpu-backends";
import { failedProbe, MAX_PROBE_TOKENS, type Probe, probeBytes, probeReportBytes } from "@secai/formats/gpu-probe";
import { writeAtomic } from "@secai/kit/files";
import { createLog, errorFields } from "@secai/kit/log";
import { GpuError } from "../errors.ts";
import { type Layout, libraryOf, loadDeclared, locate, runtimeFolder } from "../layout.ts";
import { probe } from "../probe.ts";
import { probeApart } from "../run-probes.ts";
import { tinyModelBytes } from "../tiny-model.ts";

const HELP = `secai-gpu-probe --all [OPTIONS]: every declared backend, each in a process of its own
secai-gpu-probe --backend cpu|vulkan|cuda|rocm [OPTIONS]: one backend, in this process

  --root DIR     a tree laid over the root file system, e.g. an extension's; may be repeated (default: /)
  --model FILE   a GGUF model (default: the built-in one)
  --tokens N     how many tokens to generate (default: 40)
  --software     take a renderer that computes on the CPU for a device, to prove a backend where there is no GPU
  --out FILE     with --all: where the report goes, instead of standard output
`;
const DEFAULT_TOKENS = 40;

const log = createLog("gpu-probe");

function options() {
  try {
    return parseArgs({
      options: {
        all: { type: "boolean", default: false },
        backend: { type: "string" },
        root: { type: "string", multiple: true, default: ["/"] },
        model: { type: "string" },
        tokens: { type: "string", default: String(DEFAULT_TOKENS) },
        software: { type: "boolean", default: false },
        out: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (cause) {
    throw new GpuError("GPU_USAGE", { expected: "known flags", actual: (cause as Error).message, cause });
  }
}
type Options = ReturnType<typeof options>;

function backendFrom(name: string | undefined): Backend {
  const backend = BACKENDS.find((known) => known === name);
  if (backend === undefined)
    throw new GpuError("GPU_USAGE", { expected: `--backend ${BACKENDS.join("|")}`, actual: name ?? "none" });
  return backend;
}

function tokensFrom(text: string): number {
  const tokens = /^[1-9]\d{0,3}$/.test(text) ? Number(text) : 0;
  if (tokens < 1 || tokens > MAX_PROBE_TOKENS)
    throw new GpuError("GPU_USAGE", { expected: `--tokens from 1 to ${MAX_PROBE_TOKENS}`, actual: text });
  return tokens;
}

/** The model that was named, or the built-in one in a folder that is removed afterwards. */
async function withModel<T>(named: string | undefined, work: (path: string) => Promise<T>): Promise<T> {
  if (named !== undefined) return await work(named);
  const folder = mkdtempSync(join(tmpdir(), "secai-gpu-"));
  try {
    const path = join(folder, "tiny.gguf");
    writeFileSync(path, tinyModelBytes());
    return await work(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function one(backend: Backend, { root, model, tokens, software }: Options): Promise<Probe> {
  const layout: Layout = { roots: root };
  const runtime = runtimeFolder(layout);
  const declared = (await loadDeclared(layout))?.backends.backends.find(({ name }) => name === backend);
  if (runtime === undefined || declared === undefined) return failedProbe(backend, "this system declares no such backend");
  const path = libraryOf(declared);
  const library = path === undefined ? undefined : locate(layout, path);
  if (backend !== "cpu" && library === undefined) return failedProbe(backend, `${path ?? "its library"} is not here`);
  return await withModel(model, (file) =>
    probe({ backend, runtime, library, model: file, tokens: tokensFrom(tokens), software }),
  );
}

async function all({ root, model, tokens, software, out }: Options): Promise<void> {
  const declared = await loadDeclared({ roots: root });
  if (declared === undefined) {
    log("info", "this system declares no backends");
    return;
  }
  const args = [...root.flatMap((dir) => ["--root", dir]), "--tokens", tokens, ...(software ? ["--software"] : [])];
  const argv = [...process.execArgv, process.argv[1] ?? ""];
  await withModel(model, async (file) => {
    const probes: Probe[] = [];
    // One after the other: two backends at once would share the device.
    for (const { name } of declared.backends.backends)
      probes.push(await probeApart({ argv, env: process.env }, name, [...args, "--model", file]));
    const digest = model === undefined ? sha256(tinyModelBytes()) : await sha256File(file);
    const report = probeReportBytes({ schema: 1, model: { sha256: digest }, probes });
    for (const { backend, outcome, reason } of probes) log("info", "probed", { backend, outcome, reason });
    if (out === undefined) process.stdout.write(report);
    else await writeAtomic(out, report, 0o644);
  });
}

try {
  const chosen = options();
  if (chosen.help) process.stdout.write(HELP);
  else if (chosen.all) await all(chosen);
  else {
    // At once and whole: a driver may end this process on its way out.
    writeSync(1, probeBytes(await one(backendFrom(chosen.backend), chosen)));
  }
} catch (error) {
  log("error", "probe failed", errorFields(error));
  process.exit(error instanceof CodedError ? error.exit : 70);
}
// Threads that a driver started do not keep the process.
process.exit(0);
