import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { BACKENDS, type Backend } from "@secai/formats/gpu-backends";
import { MAX_PROBE_TOKENS } from "@secai/formats/gpu-probe";
import { type GpuQualification, gpuQualificationStatement } from "@secai/formats/gpu-qualification";
import { bundleOf } from "@secai/formats/release-layout";
import { keySigner, type Signer } from "@secai/sign/signer";
import { KEY_SIGNER_HELP, keySignerOptions, openKeySigner } from "@secai/sign/signer-options";
import { answer, ownSigners, parseOptions } from "../commands/options.ts";
import { ReleaseError } from "../errors.ts";
import type { ReleaseIo } from "../gate/io.ts";
import { writeNpmTree } from "./npm-tree.ts";
import { type Candidate, candidateOf, compare, type Request } from "./qualify.ts";
import type { GpuWorld } from "./world.ts";

const help = `secai gpu qualify [--tree DIR]... [--apply]: proves that a GPU of this machine computes what the CPU computes.

Runs a small model with the image's own libraries on the CPU and on the GPU, each in a process of its own, and compares the tokens. With
--apply the result is written and signed; an appliance with the same image, GPU and driver accepts it as evidence.

  --tree DIR            a tree of the image or of one of its extensions, as a build leaves it; may be repeated (secai gpu trees prints
                        them). Without it: the npm packages of this checkout, Vulkan only, of which nothing can be signed
  --backend NAME        cuda, rocm or vulkan (default: the best that the image declares for the GPU)
  --tokens N            how many tokens to compare, 8 to ${MAX_PROBE_TOKENS} (default: 64)
  --out DIR             where the statement goes (default: out/gpu)
  --apply               write and sign it; without, run and compare only
  --json                one JSON document on standard output
  --help
Who signs; default: this user's release key:
${KEY_SIGNER_HELP}

Examples:
  secai gpu qualify
  secai gpu qualify --tree image-tree --tree extension-cuda
  secai gpu qualify --tree image-tree --tree extension-cuda --apply

Exit status: 0 the tokens are the same, 1 they are not or a library is another, 2 wrong use, 3 no GPU or no built image here.
`;

const DEFAULT_OUT = "out/gpu";
const MIN_TOKENS = 8;

const options = {
  ...keySignerOptions,
  tree: { type: "string", multiple: true },
  backend: { type: "string" },
  tokens: { type: "string", default: "64" },
  out: { type: "string", default: DEFAULT_OUT },
  apply: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;
type Values = ReturnType<typeof parseOptions<typeof options>>["values"];

/** `secai gpu qualify`. @throws QualifyError, ReleaseError, SignError, FormatError */
export async function runGpu(args: readonly string[], io: ReleaseIo, world: GpuWorld): Promise<number> {
  const { values, positionals } = parseOptions(args, options);
  if (values.help === true) {
    io.stdout(help);
    return 0;
  }
  if (positionals.length > 0)
    throw new ReleaseError("RELEASE_USAGE", { expected: "options only", actual: positionals.join(" ") });
  const asked = requestFrom(values);
  if (values.apply === true && asked.trees.length === 0)
    throw new ReleaseError("RELEASE_USAGE", { expected: "--tree with --apply", actual: "a checkout without an image" });
  return await withTrees(asked, world, (request) => qualify(request, values, io, world));
}

/** What a run is over: the trees that were named, or one of npm's packages that is gone afterwards. */
async function withTrees(asked: Request, world: GpuWorld, work: (request: Request) => Promise<number>): Promise<number> {
  // Where there is no GPU, nothing needs copying to say so.
  if (asked.trees.length > 0 || world.devices().length === 0) return await work(asked);
  const tree = await mkdtemp(join(tmpdir(), "secai-npm-tree-"));
  try {
    await writeNpmTree(world.modules, tree);
    return await work({ ...asked, trees: [tree] });
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

async function qualify(request: Request, values: Values, io: ReleaseIo, world: GpuWorld): Promise<number> {
  const candidate = await candidateOf(request, world);
  io.stderr(`${lineOf(candidate)}\n`);
  // Before the run: whoever may not sign learns it at once.
  const signer = values.apply === true ? await openSigner(values, io) : undefined;
  const result = await compare(candidate, request, world);
  const written = signer === undefined ? undefined : await write(candidate, result, signer, resolve(values.out));
  answer(
    io,
    values.json,
    { applied: written !== undefined, ...(written !== undefined && { written }), ...result },
    textOf(result, written),
  );
  return 0;
}

function requestFrom({ tree, backend, tokens }: Values): Request {
  const count = /^[1-9]\d{0,3}$/.test(tokens) ? Number(tokens) : 0;
  if (count < MIN_TOKENS || count > MAX_PROBE_TOKENS)
    throw new ReleaseError("RELEASE_USAGE", { expected: `--tokens from ${MIN_TOKENS} to ${MAX_PROBE_TOKENS}`, actual: tokens });
  const known = BACKENDS.find((name) => name === backend);
  if (backend !== undefined && (known === undefined || known === "cpu"))
    throw new ReleaseError("RELEASE_USAGE", { expected: "--backend cuda, rocm or vulkan", actual: backend });
  return { trees: tree ?? [], backend: known as Backend | undefined, tokens: count };
}

async function openSigner(values: Values, io: ReleaseIo): Promise<Signer> {
  const isNamed = Object.keys(keySignerOptions).some((name) => values[name as keyof typeof keySignerOptions] !== undefined);
  return isNamed ? await openKeySigner(values, io.env) : keySigner((await ownSigners(io)).signers.release[0]);
}

/** The predicate as a file, and the bundle of the statement beside it. */
async function write(
  { backendsDigest }: Candidate,
  result: GpuQualification,
  signer: Signer,
  out: string,
): Promise<readonly string[]> {
  const bundle = await signer.signStatement(gpuQualificationStatement(result, backendsDigest));
  const { backend, device } = result;
  const path = join(out, `gpu-qualification-${device.vendor}-${device.device}-${backend}.json`);
  await mkdir(out, { recursive: true });
  await writeFile(path, `${canonicalJson(result)}\n`, { mode: 0o644 });
  await writeFile(bundleOf(path), bundle, { mode: 0o644 });
  return [path, bundleOf(path)];
}

const lineOf = ({ device, backend, libraries, runtime }: Candidate): string =>
  `${device.name} (${device.vendor}:${device.device}, ${device.driver} ${device.driver_version}) with ${backend} of ` +
  `${runtime.package} ${runtime.version}; ${libraries.length} libraries as declared`;

function textOf({ gpu, cpu, backend }: GpuQualification, written: readonly string[] | undefined): string {
  const same = `the same ${gpu.tokens.length} tokens: CPU ${cpu.ms} ms, ${backend} ${gpu.ms} ms on ${gpu.device}`;
  return written === undefined
    ? `${same}\nwould write and sign the qualification (run with --apply)\n`
    : `${same}\nsigned qualification: ${written.join(", ")}\n`;
}
