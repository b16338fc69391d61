import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { buildBundle, SERVICE_FLAGS } from "./bundle.ts";
import { type Recorder, startRecorder } from "./recorder.ts";
import { createHome, type Home, type Options, type Service, startService } from "./service.ts";
import { createTree, type Tree } from "./tree.ts";

let tree: Tree;
let home: Home;
let recorder: Recorder;
let service: Service | undefined;
beforeEach(async () => {
  tree = createTree();
  recorder = await startRecorder();
  home = createHome(tree, recorder.address);
});
afterEach(async () => {
  await service?.end("SIGKILL");
  service = undefined;
  await Promise.all([recorder.close(), tree.remove(), home.remove()]);
});

async function looked(options?: Options): Promise<Service> {
  service = await startService(home, options);
  await service.until("looked at", ({ scanned, pending_hashes }) => scanned && pending_hashes === 0);
  return service;
}

const MODELS = "/var/lib/secure-ai/vault/models";
const MANIFEST = "/var/lib/secure-ai/registry/manifest.json";
const digestOf = (path: string): string =>
  execFileSync("openssl", ["dgst", "-sha256", "-r", path], { encoding: "latin1" }).slice(0, 64);
const register = (sha256: string, bytes: number): void =>
  tree.write(
    MANIFEST,
    JSON.stringify({
      version: 1,
      models: [{ name: "large", filename: "large.gguf", sha256, size_bytes: bytes, format: "gguf" }],
    }),
  );

test("10 000 files that all change are one report, and the status stays small", async () => {
  const name = (index: number): string => tree.at(`/etc/secure-ai/policy/many-${index}.yaml`);
  for (let index = 0; index < 10_000; index += 1) writeFileSync(name(index), `number: ${index}\n`);
  const running = await looked();
  expect((await running.status()).watched_files).toBeGreaterThan(10_000);
  for (let index = 0; index < 10_000; index += 1) appendFileSync(name(index), "more: 1\n");
  const status = await running.until("all", ({ violation_count }) => violation_count === 10_000);
  expect(status.active_violations.length).toBe(50);
  expect(status.state).toBe("recovery_required");
  await running.until("reported", () => recorder.reports.at(-1)?.evidence?.violation_count === 10_000);
  expect(recorder.malformed).toEqual([]);
  expect(recorder.reports.length).toBeLessThan(10);
  expect(recorder.reports.at(-1)?.evidence).toMatchObject({ named: 50, state: "recovery_required" });
  expect((await running.call("GET", "/health")).status).toBe(200);
  expect(statSync(home.logPath).size).toBeLessThan(4 << 20);
});

test("when the kernel's queue of events runs over, everything is looked at, and that is on record", async () => {
  // A quarter of this is how many events at once are taken for a loss.
  tree.write("/proc/sys/fs/inotify/max_queued_events", "64\n");
  const running = await looked({ env: { SWEEP_SECONDS: "600" } });
  const { scan_count } = await running.status();
  for (let index = 0; index < 400; index += 1) {
    tree.write(`${MODELS}/.promotion-${index}`, "x");
    rmSync(tree.at(`${MODELS}/.promotion-${index}`));
  }
  const status = await running.until("looked at everything", ({ scan_count: now }) => now > scan_count);
  expect(status.state).toBe("trusted");
  expect(home.auditTypes()).toContain("events_lost");
});

test("a promotion is no violation: the file first, the manifest after it", async () => {
  const running = await looked();
  writeFileSync(tree.at(`${MODELS}/.promotion-1`), "GGUF");
  execFileSync("mv", [tree.at(`${MODELS}/.promotion-1`), tree.at(`${MODELS}/large.gguf`)]);
  await sleep(300);
  register(digestOf(tree.at(`${MODELS}/large.gguf`)), 4);
  await sleep(1_500);
  await running.call("POST", "/api/v1/scan");
  expect(await running.status()).toMatchObject({ state: "trusted", violation_count: 0 });
});

test("a model of 1 GiB is read in bounded memory, and a change in it is found although size and times are as before", async () => {
  const path = tree.at(`${MODELS}/large.gguf`);
  writeFileSync(path, "GGUF");
  truncateSync(path, 1 << 30);
  register(digestOf(path), 1 << 30);
  const bundle = buildBundle();
  try {
    const running = await looked({ command: [process.execPath, ...SERVICE_FLAGS, bundle.path] });
    expect((await running.status()).state).toBe("trusted");
    execFileSync("sh", [
      "-c",
      `touch -r "$1" "$1.times" && printf X | dd of="$1" bs=1 seek=536870912 conv=notrunc status=none && touch -r "$1.times" "$1" && rm "$1.times"`,
      "sh",
      path,
    ]);
    const { active_violations } = await running.until("found", ({ violation_count }) => violation_count > 0);
    expect(active_violations).toEqual([
      expect.objectContaining({ category: "model_file", path: `${MODELS}/large.gguf`, kind: "changed" }),
    ]);
    // MiB: the service itself takes about 110 of them in the Node of this checkout, the model none.
    expect(running.memory().peak).toBeLessThan(128);
  } finally {
    bundle.remove();
  }
});

test("a model that is a directory has one digest, and each of its files decides over it", async () => {
  mkdirSync(tree.at(`${MODELS}/diffusion/unet`), { recursive: true });
  tree.write(`${MODELS}/diffusion/model_index.json`, "{}");
  tree.write(`${MODELS}/diffusion/unet/weights.safetensors`, "weights");
  const bytes = Buffer.concat([
    Buffer.from("SecAI-Directory-Hash-v1\0"),
    ...[
      ["model_index.json", "{}"],
      ["unet/weights.safetensors", "weights"],
    ].flatMap(([name = "", content = ""]) => [length(name), Buffer.from(name), length(content), Buffer.from(content)]),
  ]);
  writeFileSync(tree.at("/bytes"), bytes);
  const models = [{ name: "d", filename: "diffusion", sha256: digestOf(tree.at("/bytes")), size_bytes: 9 }];
  tree.write(MANIFEST, JSON.stringify({ version: 1, models }));
  const running = await looked();
  expect((await running.status()).state).toBe("trusted");
  tree.write(`${MODELS}/diffusion/unet/weights.safetensors`, "other w");
  await running.call("POST", "/api/v1/scan");
  const { active_violations } = await running.until("found", ({ violation_count }) => violation_count > 0);
  expect(active_violations).toEqual([expect.objectContaining({ path: `${MODELS}/diffusion`, kind: "changed" })]);
});

test("a reload of systemd, which empties and fills the generators' folders, is no violation", async () => {
  const running = await looked();
  rmSync(tree.at("/run/systemd/generator"), { recursive: true });
  await sleep(400);
  tree.write("/run/systemd/generator/var.mount", "[Mount]\n");
  await sleep(1_500);
  await running.call("POST", "/api/v1/scan");
  expect(await running.status()).toMatchObject({ state: "trusted", violation_count: 0 });
});

function length(text: string): Buffer {
  return Buffer.from(text.length.toString(16).padStart(16, "0"), "hex");
}
