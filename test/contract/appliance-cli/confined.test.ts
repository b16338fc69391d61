import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FORENSIC_DOMAIN } from "@secai/formats/forensic";
import { exampleForensic } from "@secai/formats/forensic.test-data";
import type { JsonValue } from "@secai/kit/digest";
import { bundleStep } from "@secai/pipelines/steps/bundle";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as gpu from "../gpu-integrity-watch/bench.ts";
import * as vault from "../vault-control/bench.ts";
import { createBench, ID, incident } from "./bench.ts";

// The bundles on the image's own Node, which makes no code at run time: what works from source may need what it has not.

const workspaces = Object.fromEntries([
  ...["gpu-integrity-watch", "vault-control", "appliance-cli", "kit"].map((name) => [`@secai/${name}`, `services-src/${name}`]),
  ["@secai/formats", "attest/formats"],
]);
const entries = {
  watch: "services-src/gpu-integrity-watch/main.ts",
  broker: "services-src/vault-control/programs/broker.ts",
  control: "services-src/vault-control/programs/vault-ctl.ts",
  cli: "services-src/appliance-cli/programs/main.ts",
} as const;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "secai-bundles-"));
  for (const [name, entry] of Object.entries(entries)) build(name, entry);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** By the very command of the image's build, outside its sandbox. */
function build(name: string, entry: string): void {
  const step = bundleStep({ name, entry, workspaces, modules: [], sourceDateEpoch: 0 });
  const place = (word: string): string =>
    word
      .replace(/^\/in\/esbuild$/, join(vault.top, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`))
      .replace(/(^|=)\/src\//, `$1${vault.top}/`)
      .replace("/out/bundle.mjs", bundleOf(name))
      .replace("/out/metafile.json", `${bundleOf(name)}.metafile.json`);
  const [program = "", ...args] = step.run.map(place);
  execFileSync(program, args, { cwd: vault.top, stdio: ["ignore", "inherit", "inherit"] });
}

const bundleOf = (name: string): string => join(folder, `${name}.mjs`);

/** @throws Error without a tool root: a test that cannot run must not pass */
function toolRoot(): string {
  const path = process.env.SECAI_TOOL_ROOT;
  if (path !== undefined && existsSync(join(path, "usr/bin/node"))) return path;
  throw new Error(
    "SECAI_TOOL_ROOT names no tool root with Node in it; `make test` sets it, `secai tools machine --path` prints it",
  );
}

/** The image's Node with the flags of the units; the host's /tmp, where the tests keep everything, and its own /usr. */
const onImage = (name: string): readonly string[] => [
  ...[
    "bwrap",
    "--ro-bind",
    toolRoot(),
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--bind",
    tmpdir(),
    tmpdir(),
    "--die-with-parent",
    "--",
  ],
  ...[
    "/usr/bin/node",
    "--jitless",
    "--no-expose-wasm",
    "--disallow-code-generation-from-strings",
    "--max-old-space-size=64",
    bundleOf(name),
  ],
];

describe("on the image's Node", () => {
  test("the GPU watch captures a baseline, and sees another model", async () => {
    const machine = await gpu.createBench();
    await gpu.addCard(machine);
    await machine.model("m.gguf", "weights");
    const service = await gpu.startService(machine, {}, onImage("watch"));
    try {
      const post = (path: string, body?: unknown) => service.call("POST", path, { token: machine.tokens.watch, body });
      expect((await post("/v1/baseline", {})).json).toMatchObject({ status: "captured", files: 1, sentinels: 2 });
      expect((await post("/v1/check")).json.verdict).toBe("healthy");
      await machine.model("m.gguf", "poison!");
      expect((await post("/v1/check")).json.verdict).toBe("critical");
      await expect.poll(() => machine.recorder.received.length, { timeout: 20_000 }).toBeGreaterThan(0);
    } finally {
      await service.end("SIGKILL");
      await machine.remove();
    }
  });

  test("the broker closes the vault, vault-ctl opens it", async () => {
    const bench = await vault.createBench(true);
    await bench.request(`${ID}.json`, { action: "relock", incident_id: ID, reason: "why" });
    const ended = await vault.execute(onImage("broker"), bench.env);
    expect(ended.status, ended.err).toBe(0);
    expect(await bench.result(ID)).toEqual({ success: true, incident_id: ID });
    expect(await bench.isClosed()).toBe(true);
    await bench.request(`${ID}.json`, { action: "release", incident_id: ID, reason: "why" });
    await vault.execute(onImage("broker"), bench.env);
    const opened = await vault.execute([...onImage("control"), "unlock"], bench.env, vault.PASSPHRASE);
    expect([opened.status, opened.out], opened.err).toEqual([0, "vault: unlocked\n"]);
    await bench.remove();
  });

  test("secai exports a bundle: canonical form, signature and file", async () => {
    const bench = await createBench();
    const value = bench.recorderSigner.sign(FORENSIC_DOMAIN, exampleForensic as unknown as JsonValue);
    const text = JSON.stringify({
      ...exampleForensic,
      signature: { algorithm: "ed25519", key_id: bench.recorderSigner.keyId, value },
    });
    bench.answers["GET /api/v1/forensic/export"] = { text };
    const { status, err } = await vault.execute([...onImage("cli"), "incidents", "export", bench.path("f.json")], bench.env);
    expect([status, readFileSync(bench.path("f.json"), "utf8")], err).toEqual([0, text]);
    await bench.remove();
  });

  test("secai lists incidents", async () => {
    const bench = await createBench();
    bench.answers["POST /api/v1/incidents/query"] = { json: [incident] };
    const { status, out, err } = await vault.execute([...onImage("cli"), "incidents"], bench.env);
    expect([status, out.includes(ID)], err).toEqual([0, true]);
    await bench.remove();
  });
});
