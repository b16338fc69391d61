import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type BackendEntry, type GpuBackends, gpuBackendsBytes } from "@secai/formats/gpu-backends";
import type { GpuState } from "@secai/formats/gpu-state";
import { GPU_QUALIFICATION_PREDICATE } from "@secai/formats/uris";
import { detect } from "@secai/gpu/detect";
import { loadDeclared, locate } from "@secai/gpu/layout";
import {
  declaredBackends,
  declaredExtensions,
  type FakeMachine,
  fakeMachine,
  ran,
  reportOf,
  rtx,
} from "@secai/gpu/machine.test-data";
import { probeApart } from "@secai/gpu/run-probes";
import { tinyModelBytes } from "@secai/gpu/tiny-model";
import { runGpu } from "@secai/release/gpu/command";
import type { GpuWorld } from "@secai/release/gpu/world";
import { runVerify } from "@secai/verify/command";
import { afterAll, beforeAll, describe, test } from "vitest";

// From the run on one machine to the belief of another: a qualification is made and signed by the real command, the verifier accepts it as
// it accepts any file, and a machine calls its GPU qualified for exactly this product, driver and image.

const TOP = join(import.meta.dirname, "../../..");
const tokens = [1, 2, 3, 4, 5, 6, 7, 8];
let folder = "";
let declared: GpuBackends;

function makeKey(name: string): string {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const path = join(folder, `${name}.key`);
  writeFileSync(path, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  writeFileSync(join(folder, `${name}.pub`), publicKey.export({ type: "spki", format: "pem" }));
  return path;
}

/** A tree with the declared files, whose contents nobody will run. */
function makeTree(): string {
  const tree = join(folder, "tree");
  const image = declaredBackends("cpu", "cuda");
  const put = (file: BackendEntry["files"][number]) => {
    mkdirSync(dirname(join(tree, file.path)), { recursive: true });
    writeFileSync(join(tree, file.path), file.path);
    return { ...file, sha256: sha256(file.path), size: file.path.length };
  };
  declared = {
    ...image,
    runtime: { ...image.runtime, files: image.runtime.files.map(put) },
    backends: image.backends.map((entry) => ({ ...entry, files: entry.files.map(put) })),
  };
  writeFileSync(join(tree, "usr/lib/secure-ai/gpu-backends.json"), gpuBackendsBytes(declared));
  return tree;
}

function world(tree: string): GpuWorld {
  const bytes = readFileSync(join(tree, "usr/lib/secure-ai/gpu-backends.json"));
  return {
    devices: () => [
      {
        ...{ address: "0000:01:00.0", class: "030000", vendor: "10de", device: "2684", name: "NVIDIA GeForce RTX 4090" },
        ...{ driver: "nvidia", driver_version: "550.163.01", nodes: [], backends: ["cuda"] },
      },
    ],
    declared: async () => ({ backends: declared, bytes }),
    locate: (_trees, path) => join(tree, path),
    probe: async ({ backend }) => ran(backend, tokens, backend === "cpu" ? "CPU" : "NVIDIA GeForce RTX 4090"),
    model: () => Buffer.from("a model"),
    modules: "node_modules",
    kernel: "6.12.107",
    now: () => new Date(Date.UTC(2026, 0, 1)),
  };
}

function recorder() {
  const lines = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => {
      lines.stdout += text;
    },
    stderr: (text: string) => {
      lines.stderr += text;
    },
    top: TOP,
    env: {},
  };
  return { lines, io };
}

let tree = "";
let bundle = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "secai-qualified-"));
  makeKey("other");
  const key = makeKey("release");
  tree = makeTree();
  const { io } = recorder();
  const args = ["--tree", tree, "--tokens", "8", "--signing-key", key, "--out", join(folder, "out")];
  assert.equal(await runGpu(args, io, world(tree)), 0);
  assert.deepEqual(readdirSync(folder).includes("out"), false, "a dry run writes nothing");
  assert.equal(await runGpu([...args, "--apply"], io, world(tree)), 0);
  bundle = join(folder, "out/gpu-qualification-10de-2684-cuda.json.sigstore.json");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function verify(key: string): Promise<number> {
  const { io } = recorder();
  const file = bundle.slice(0, -".sigstore.json".length);
  return await runVerify(["file", file, "--key", join(folder, `${key}.pub`), "--type", GPU_QUALIFICATION_PREDICATE], io);
}

test("nothing is signed about what is no image", async () => {
  const { io } = recorder();
  await assert.rejects(runGpu(["--apply"], io, world(tree)), { code: "RELEASE_USAGE" });
});

test("secai verify file accepts it with the key that signed, and with no other", async () => {
  assert.equal(await verify("release"), 0);
  assert.equal(await verify("other"), 1);
});

/** A machine with the GPU, the image and, by default, the key and the statement. */
async function detected(
  changes: Partial<FakeMachine> = {},
  files: Readonly<Record<string, string | Uint8Array>> = {},
): Promise<GpuState> {
  const { root, remove } = fakeMachine({
    devices: [rtx],
    modules: { nvidia: "550.163.01" },
    declared,
    extensions: declaredExtensions("cuda"),
    merged: ["cuda"],
    report: reportOf(ran("cpu", tokens, "CPU"), ran("cuda", tokens, "NVIDIA GeForce RTX 4090")),
    ...changes,
    files: {
      "usr/lib/secure-ai/trust/release.pub": readFileSync(join(folder, "release.pub")),
      "var/lib/secure-ai/gpu-qualifications/x.sigstore.json": readFileSync(bundle),
      ...files,
    },
  });
  try {
    return await detect({ root, now: () => new Date(0), hypervisor: async () => "none" });
  } finally {
    remove();
  }
}

test("a machine with the same image, GPU and driver calls it qualified, and says by what", async () => {
  const { backend, qualified } = await detected();
  assert.equal(backend, "cuda");
  assert.deepEqual(qualified === false ? false : [qualified.statement, qualified.device, qualified.finished_on], [
    sha256(readFileSync(bundle)),
    "10de:2684",
    "2026-01-01T00:00:00Z",
  ]);
});

describe("a machine does not call its GPU qualified", () => {
  const flipped = () => {
    const bytes = readFileSync(bundle);
    const at = bytes.indexOf('"payload":"') + 40;
    bytes[at] = bytes[at] === 0x41 ? 0x42 : 0x41;
    return bytes;
  };
  const cases: readonly { readonly name: string; readonly run: () => Promise<GpuState>; readonly reason: RegExp }[] = [
    {
      name: "with another driver",
      run: () => detected({ modules: { nvidia: "550.163.02" } }),
      reason: /driver nvidia 550\.163\.02/,
    },
    {
      name: "with another product",
      run: () => detected({ devices: [{ ...rtx, ids: ["0x10de", "0x2685"] }] }),
      reason: /device 10de:2685/,
    },
    {
      name: "with two products of which one is qualified",
      run: () => detected({ devices: [rtx, { ...rtx, address: "0000:02:00.0", ids: ["0x10de", "0x2685"] }] }),
      reason: /several kinds/,
    },
    {
      name: "with other libraries",
      run: () => detected({ declared: { ...declared, runtime: { ...declared.runtime, version: "1.0.1" } } }),
      reason: /gpu-backends\.json/,
    },
    {
      name: "without a trusted key",
      run: () => detected({}, { "usr/lib/secure-ai/trust/release.pub": "" }),
      reason: /trusts no key/,
    },
    {
      name: "with another key",
      run: () => detected({}, { "usr/lib/secure-ai/trust/release.pub": readFileSync(join(folder, "other.pub")) }),
      reason: /SIGNATURE_INVALID/,
    },
    {
      name: "by a statement with a flipped bit",
      run: () => detected({}, { "var/lib/secure-ai/gpu-qualifications/x.sigstore.json": flipped() }),
      reason: /x\.sigstore\.json: /,
    },
    {
      name: "by a file that is no bundle",
      run: () => detected({}, { "var/lib/secure-ai/gpu-qualifications/x.sigstore.json": "{}" }),
      reason: /x\.sigstore\.json: /,
    },
    {
      name: "when the CPU is used",
      run: () => detected({ arguments: "secai.gpu=cpu" }),
      reason: /no GPU is used/,
    },
  ];
  for (const { name, run, reason } of cases) {
    test(name, async () => {
      const { qualified, qualified_reason } = await run();
      assert.equal(qualified, false);
      assert.match(qualified_reason, reason);
    });
  }
});

test("a GPU that the packages of npm find nothing of is not called right", async () => {
  const { io } = recorder();
  const program = join(TOP, "services-src/gpu/programs/probe.ts");
  const claimed: GpuWorld = {
    ...world(tree),
    devices: () =>
      world(tree)
        .devices()
        .map((device) => ({ ...device, backends: ["vulkan"] })),
    modules: join(TOP, "node_modules"),
    declared: (trees) => loadDeclared({ roots: trees }),
    locate: (trees, path) => locate({ roots: trees }, path),
    probe: ({ backend, trees, model, tokens: count }) => {
      const roots = trees.flatMap((root) => ["--root", root]);
      // No driver: whatever this machine has, there is no device.
      const env = { PATH: process.env.PATH, VK_DRIVER_FILES: "/nowhere.json" };
      return probeApart({ argv: [program], env }, backend, [...roots, "--model", model, "--tokens", String(count)]);
    },
    model: tinyModelBytes,
  };
  await assert.rejects(runGpu(["--tokens", "8"], io, claimed), { code: "GPU_NOT_RUN" });
});

test("on a machine without a GPU the command says so by name", () => {
  const { status, stderr } = spawnSync(process.execPath, [join(TOP, "scripts/secai.ts"), "gpu", "qualify", "--backend", "rocm"], {
    encoding: "utf8",
  });
  assert.match(stderr, /^GPU_(NONE|TREES_MISSING): /m);
  assert.equal(status, 3);
});
