import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBundle, SERVICE_FLAGS } from "../contract/integrity-monitor/bundle.ts";
import { createHome, startService } from "../contract/integrity-monitor/service.ts";
import { createTree, type Tree } from "../contract/integrity-monitor/tree.ts";
import { type Figure, peerOf } from "./figure.ts";
import { timeCommand } from "./timing.ts";

const MODEL_BYTES = 1 << 30;
const BLOCK_BYTES = 16 << 20;
const ROUNDS = 3;
/** About as many as the image's policy names; and as many as somebody would make to wear the service out. */
const USUAL_FILES = 1_000;
const MANY_FILES = 10_000;

/** A file of bytes that no disk can leave out. */
function writeModel(path: string): void {
  const file = openSync(path, "w");
  const block = randomBytes(BLOCK_BYTES);
  for (let written = 0; written < MODEL_BYTES; written += BLOCK_BYTES) writeSync(file, block);
  closeSync(file);
}

const secondsOf = (node: readonly string[], script: string, model: string): number =>
  (JSON.parse(execFileSync(process.execPath, [...node, script, model], { encoding: "utf8" })) as { seconds: number }).seconds;

/** One large file, page cache warm: the monitor's own hashing, with and without a JIT, and openssl, in turns. */
function throughput(folder: string): readonly Figure[] {
  const model = join(folder, "model.gguf");
  writeModel(model);
  const child = buildBundle("test/bench/integrity-sweep-child.ts");
  try {
    let best = { native: Number.POSITIVE_INFINITY, jitless: Number.POSITIVE_INFINITY, openssl: Number.POSITIVE_INFINITY };
    for (let round = 0; round <= ROUNDS; round += 1) {
      const now = {
        openssl: timeCommand({ argv: ["openssl", "dgst", "-sha256", model] }),
        native: secondsOf([], child.path, model),
        jitless: secondsOf(SERVICE_FLAGS, child.path, model),
      };
      if (round > 0)
        best = {
          native: Math.min(best.native, now.native),
          jitless: Math.min(best.jitless, now.jitless),
          openssl: Math.min(best.openssl, now.openssl),
        };
    }
    const mib = MODEL_BYTES / 2 ** 20;
    const figure = (id: string, title: string, seconds: number): Figure => ({
      id,
      title,
      unit: "x",
      value: best.openssl / seconds,
      budget: { limit: 0.8, kind: "at least" },
      peer: peerOf(seconds, "openssl dgst -sha256", best.openssl, "s"),
      parts: [
        { name: "MiB/s", value: mib / seconds },
        { name: "MiB/s of openssl", value: mib / best.openssl },
      ],
    });
    return [
      figure("integrity.hash", "throughput of hashing one large file, to openssl", best.native),
      figure("integrity.hash.jitless", "the same without a JIT, as in the image", best.jitless),
    ];
  } finally {
    child.remove();
  }
}

interface Load {
  readonly files: number;
  readonly model: boolean;
}

interface Run {
  readonly readyMs: number;
  readonly scanMs: number;
  readonly peakMib: number;
  readonly cpuSeconds: number;
}

/** The service as it runs in the image, until it has read everything and has looked at it a few times more. */
async function runService({ files, model }: Load): Promise<Run> {
  const bundle = buildBundle();
  const tree = createTree();
  const home = createHome(tree);
  try {
    if (model) registerModel(tree);
    for (let index = 0; index < files; index += 1) tree.write(`/etc/secure-ai/policy/many-${index}.yaml`, `number: ${index}\n`);
    const started = performance.now();
    const running = await startService(home, { command: [process.execPath, ...SERVICE_FLAGS, bundle.path] });
    const readyMs = performance.now() - started;
    await running.until("looked at everything", ({ scanned, pending_hashes }) => scanned && pending_hashes === 0);
    let scanMs = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round += 1) {
      await running.call("POST", "/api/v1/scan");
      scanMs = Math.min(scanMs, Number((await running.call("GET", "/api/v1/status")).json.last_scan_ms));
    }
    const { peak: peakMib } = running.memory();
    // User and system time, in hundredths of a second (proc(5)).
    const [user, system] = readFileSync(`/proc/${running.pid}/stat`, "latin1").split(" ").slice(13, 15).map(Number);
    await running.end("SIGTERM");
    return { readyMs, scanMs, peakMib, cpuSeconds: ((user ?? 0) + (system ?? 0)) / 100 };
  } finally {
    bundle.remove();
    await Promise.all([tree.remove(), home.remove()]);
  }
}

function registerModel(tree: Tree): void {
  const path = "/var/lib/secure-ai/vault/models/large.gguf";
  writeModel(tree.at(path));
  const [sha256] = execFileSync("openssl", ["dgst", "-sha256", "-r", tree.at(path)], { encoding: "latin1" }).split(" ");
  const entry = { name: "large", filename: "large.gguf", sha256, size_bytes: MODEL_BYTES };
  tree.write("/var/lib/secure-ai/registry/manifest.json", JSON.stringify({ version: 1, models: [entry] }));
}

async function service(): Promise<readonly Figure[]> {
  const usual = await runService({ files: USUAL_FILES, model: true });
  const many = await runService({ files: MANY_FILES, model: false });
  return [
    {
      id: "integrity.rss",
      title: "most memory of the service: 1 000 files and a model of 1 GiB",
      unit: "MiB",
      value: usual.peakMib,
      budget: { limit: 90, kind: "at most" },
      parts: [{ name: "with 10 000 files", value: many.peakMib }],
    },
    {
      id: "integrity.sweep",
      title: "a full sweep of 10 000 unchanged files",
      unit: "s",
      value: many.scanMs / 1000,
      budget: { limit: 5, kind: "at most" },
      parts: [{ name: "of 1 000 files", value: usual.scanMs / 1000 }],
    },
    {
      id: "integrity.start",
      title: "start of the service",
      unit: "s",
      value: usual.readyMs / 1000,
      budget: { limit: 0.4, kind: "at most" },
      parts: [{ name: "processor time until all was read and looked at", value: usual.cpuSeconds }],
    },
  ];
}

export async function measureIntegritySweep(): Promise<readonly Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), "secai-bench-"));
  try {
    return [...throughput(folder), ...(await service())];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
