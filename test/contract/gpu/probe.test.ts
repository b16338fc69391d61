import { strict as assert } from "node:assert";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { type Probe, type ProbeReport, parseProbe, parseProbeReport } from "@secai/formats/gpu-probe";
import { tinyModelBytes } from "@secai/gpu/tiny-model";
import { writeNpmTree } from "@secai/release/gpu/npm-tree";
import { afterAll, beforeAll, describe, test } from "vitest";

// The probe over the runtime that images carry: the CPU for real, Vulkan through Mesa's renderer for the CPU, and every way in which a
// library can be unusable.

const TOP = join(import.meta.dirname, "../../..");
const PROBE = join(TOP, "services-src/gpu/programs/probe.ts");
const VULKAN = "usr/lib/secure-ai/backends/vulkan/libggml-vulkan.so";
const CPU_TOKENS = 40;

let folder = "";
let tree = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "secai-probe-"));
  tree = join(folder, "tree");
  await writeNpmTree(join(TOP, "node_modules"), tree);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function probe(args: readonly string[]): Probe {
  const stdout = execFileSync(process.execPath, [PROBE, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return parseProbe(Buffer.from(`${stdout.trimEnd().split("\n").at(-1)}\n`));
}

test("the CPU chooses the same tokens each time, and other tokens with another model", () => {
  const [first, second] = [probe(["--backend", "cpu", "--root", tree]), probe(["--backend", "cpu", "--root", tree])];
  assert.equal(first.outcome, "ran");
  assert.equal(first.tokens?.length, CPU_TOKENS);
  assert.deepEqual(first.tokens, second.tokens);
  const other = join(folder, "other.gguf");
  const bytes = tinyModelBytes();
  bytes.fill(bytes.subarray(bytes.length - 8192, bytes.length - 4096), bytes.length - 4096);
  writeFileSync(other, bytes);
  assert.notDeepEqual(probe(["--backend", "cpu", "--root", tree, "--model", other]).tokens, first.tokens);
});

test("a model that is damaged is refused by name", () => {
  const broken = join(folder, "broken.gguf");
  writeFileSync(broken, tinyModelBytes().subarray(0, 100_000));
  const { status, stderr } = spawnSync(process.execPath, [PROBE, "--backend", "cpu", "--root", tree, "--model", broken], {
    encoding: "utf8",
  });
  assert.equal(status, 1);
  assert.match(stderr, /GPU_MODEL_UNUSABLE/);
});

/** The tree with another file in place of the Vulkan library. */
function treeWith(name: string, change: (path: string) => void): string {
  const changed = join(folder, name);
  cpSync(tree, changed, { recursive: true });
  change(join(changed, VULKAN));
  return changed;
}

describe("a library that cannot be used is reported with the loader's reason", () => {
  const cases: readonly { readonly name: string; readonly change: (path: string) => void; readonly expected: Partial<Probe> }[] =
    [
      { name: "absent", change: (path) => rmSync(path), expected: { outcome: "failed" } },
      { name: "no library", change: (path) => writeFileSync(path, "#!/bin/sh\n"), expected: { outcome: "not loaded" } },
      { name: "empty", change: (path) => truncateSync(path, 0), expected: { outcome: "not loaded" } },
    ];
  for (const { name, change, expected } of cases) {
    test(name, () => {
      const { outcome, reason, tokens } = probe(["--backend", "vulkan", "--root", treeWith(name.replace(" ", "-"), change)]);
      assert.equal(outcome, expected.outcome);
      assert.match(reason, /libggml-vulkan\.so/);
      assert.equal(tokens, undefined);
    });
  }
});

test("a library that ends its process takes nothing else with it", () => {
  // Its program headers point behind the end of the file: the loader dies reading it.
  const broken = treeWith("truncated", (path) => truncateSync(path, 4096));
  const stdout = execFileSync(process.execPath, [PROBE, "--all", "--root", broken], { stdio: ["ignore", "pipe", "ignore"] });
  const { probes } = parseProbeReport(stdout);
  assert.deepEqual(
    probes.map(({ backend, outcome }) => [backend, outcome]),
    [
      ["cpu", "ran"],
      ["vulkan", "failed"],
    ],
  );
  assert.match(probes[1]?.reason ?? "", /ended by SIG(BUS|SEGV)/);
});

test("a system without a declaration has nothing to probe, and one without a runtime says so", () => {
  const empty = join(folder, "bare");
  mkdirSync(empty);
  const { status, stdout } = spawnSync(process.execPath, [PROBE, "--all", "--root", empty], { encoding: "utf8" });
  assert.deepEqual([status, stdout], [0, ""]);
  assert.match(probe(["--backend", "cpu", "--root", empty]).reason, /declares no such backend/);
});

/** Root and Vulkan extension of the image, from the cache or built: the very files that a machine has. */
function imageTrees(): readonly [root: string, vulkan: string] {
  const command = [join(TOP, "scripts/secai.ts"), "gpu", "trees", "debian-13"];
  const trees = execFileSync(process.execPath, command, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })
    .trimEnd()
    .split("\n");
  const root = trees.find((path) => existsSync(join(path, "usr/libexec/secure-ai/secai-gpu-probe.mjs")));
  const vulkan = trees.find((path) => existsSync(join(path, "usr/share/vulkan/icd.d/lvp_icd.json")));
  if (root === undefined || vulkan === undefined) throw new Error(`no root and no Vulkan extension among ${trees.join(", ")}`);
  return [root, vulkan];
}

describe("on the image's Node, with its runtime and its Vulkan extension", () => {
  let [image, vulkan] = ["", ""];
  beforeAll(() => {
    [image, vulkan] = imageTrees();
  });

  /** As the unit starts it, with Mesa's renderer for the CPU as the only driver. The extension lies beside the root instead of over it. */
  function probeInImage(args: readonly string[], driver = "/extension/usr/share/vulkan/icd.d/lvp_icd.json"): Buffer {
    const [library] = globSync("usr/lib/*-linux-gnu", { cwd: vulkan });
    const binds = [
      "--ro-bind",
      join(image, "usr"),
      "/usr",
      "--ro-bind",
      join(image, "etc"),
      "/etc",
      "--ro-bind",
      vulkan,
      "/extension",
    ];
    const links = ["lib", "lib64", "bin"].flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`]);
    const places = ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--unshare-all", "--clearenv"];
    const set = ["--setenv", "VK_DRIVER_FILES", driver, "--setenv", "LD_LIBRARY_PATH", `/extension/${library}`];
    const node = ["/usr/bin/node", "--jitless", "--no-expose-wasm", "--disallow-code-generation-from-strings"];
    const program = ["/usr/libexec/secure-ai/secai-gpu-probe.mjs", "--root", "/", "--root", "/extension"];
    return execFileSync("bwrap", [...binds, ...links, ...places, ...set, "--", ...node, ...program, ...args], {
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 22,
    });
  }

  test("a software renderer is never taken for a GPU", () => {
    const { model, probes }: ProbeReport = parseProbeReport(probeInImage(["--all"]));
    assert.equal(model.sha256, sha256(tinyModelBytes()));
    assert.deepEqual(
      probes.map(({ backend, outcome, devices }) => [backend, outcome, devices]),
      [
        ["cpu", "ran", []],
        ["vulkan", "no device", []],
      ],
    );
  });

  test("without a driver the library still loads, and no device is listed", () => {
    assert.equal(parseProbe(probeInImage(["--backend", "vulkan"], "/nowhere.json")).outcome, "no device");
  });

  test("Vulkan computes the very tokens of the CPU, with the weights in the device's memory", () => {
    const run = (name: string) => parseProbe(probeInImage(["--backend", name, "--software", "--tokens", "24"]));
    const [cpu, gpu] = [run("cpu"), run("vulkan")];
    assert.equal(gpu.outcome, "ran", gpu.reason);
    assert.match(gpu.device ?? "", /llvmpipe/);
    assert.equal(gpu.software, true);
    assert.ok((gpu.deviceBytes ?? 0) > 300_000);
    assert.deepEqual(gpu.tokens, cpu.tokens);
  });
});
