import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type OutgoingHttpHeaders, request, type Server } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { incidentReport } from "@secai/kit/api/incidents";
import { verifyAudit } from "@secai/kit/audit-verify";

export const top = join(import.meta.dirname, "../../..");
export const secret = (): string => randomBytes(32).toString("hex");

/** One machine as the watch sees it: its files, its recorder, its inference runtime. */
export interface Bench {
  readonly folder: string;
  readonly tokens: { readonly watch: string; readonly attest: string };
  readonly recorder: Loopback;
  readonly inference: Loopback;
  readonly env: Readonly<Record<string, string>>;
  path(name: string): string;
  /** Writes a file of the made-up machine, e.g. "sys/module/amdgpu/version". */
  put(path: string, text: string): Promise<void>;
  link(path: string, target: string): Promise<void>;
  /** Changes the profile by replacing text in the shipped one. */
  profile(...changes: readonly (readonly [string, string])[]): Promise<void>;
  model(name: string, text: string): Promise<void>;
  verify(): Promise<unknown>;
  remove(): Promise<void>;
}

export interface Received {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly json: Record<string, unknown>;
}

/** A service on the loopback that answers what a test says. */
export interface Loopback {
  readonly port: number;
  readonly received: Received[];
  answer: (received: Received) => { readonly status: number; readonly json?: unknown; readonly text?: string } | "never";
  close(): Promise<void>;
}

export async function loopback(answer: Loopback["answer"]): Promise<Loopback> {
  const received: Received[] = [];
  const loop = { answer };
  const server: Server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const got = {
        path: incoming.url ?? "",
        authorization: incoming.headers.authorization,
        json: (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>,
      };
      received.push(got);
      const said = loop.answer(got);
      if (said === "never") return;
      outgoing.writeHead(said.status, { "Content-Type": "application/json" }).end(said.text ?? JSON.stringify(said.json));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return Object.assign(loop, {
    port: address.port,
    received,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}

/** A recorder that holds every report to the contract. */
const recorderAnswer: Loopback["answer"] = ({ json }) => {
  if (!incidentReport.is(json)) return { status: 400, json: { code: "HTTP_BODY_SCHEMA", message: "no report", requestId: "x" } };
  const now = "2026-01-01T00:00:00.000Z";
  return {
    status: 201,
    json: {
      id: "INC-20260101-000000-0001",
      created_at: now,
      class: json.class,
      severity: json.severity ?? "high",
      state: "open",
      source: json.source,
      description: json.description,
      evidence: json.evidence ?? {},
      fingerprint: json.fingerprint ?? "0".repeat(64),
      count: 1,
      last_seen_at: now,
      latched: true,
      escalated: false,
      containment_actions: [],
      containment_results: [],
      hash: "0".repeat(64),
    },
  };
};

export async function createBench(): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "secai-gpu-watch-"));
  const path = (name: string) => join(folder, name);
  const recorder = await loopback(recorderAnswer);
  const inference = await loopback(({ json }) => ({
    status: 200,
    json: { content: `answer to ${String(json.prompt)}`, model: "m.gguf" },
  }));
  const credentials = { watch: secret(), attest: secret(), signing: secret(), audit: secret(), recorder: secret() };
  for (const name of ["credentials", "state", "anchor", "machine", "machine/sys", "machine/dev", "machine/proc", "models"])
    await mkdir(path(name), { mode: 0o700 });
  for (const [name, value] of Object.entries(credentials))
    await writeFile(path(`credentials/${name}`), `${value}\n`, { mode: 0o600 });
  const bench: Bench = {
    folder,
    tokens: credentials,
    recorder,
    inference,
    path,
    env: {
      BIND_ADDR: "127.0.0.1:0",
      INTEGRITY_PROFILE: path("profile.yaml"),
      SERVICE_TOKEN_PATH: path("credentials/watch"),
      ATTEST_STATE_TOKEN_PATH: path("credentials/attest"),
      SIGNING_KEY_PATH: path("credentials/signing"),
      AUDIT_HMAC_KEY_PATH: path("credentials/audit"),
      AUDIT_LOG_PATH: path("state/audit.jsonl"),
      AUDIT_ANCHOR_PATH: path("anchor/audit.head"),
      BASELINE_PATH: path("state/baseline.json"),
      BASELINE_ANCHOR_PATH: path("anchor/baseline.digest"),
      OUTBOX_DIR: path("state/outbox"),
      INCIDENT_RECORDER_ADDR: `127.0.0.1:${recorder.port}`,
      INCIDENT_RECORDER_TOKEN_PATH: path("credentials/recorder"),
      MACHINE_ROOT: path("machine"),
      NVIDIA_SMI_PATH: path("nvidia-smi"),
    },
    async put(name, text) {
      await mkdir(dirname(path(`machine/${name}`)), { recursive: true });
      await writeFile(path(`machine/${name}`), text);
    },
    async link(name, target) {
      await mkdir(dirname(path(`machine/${name}`)), { recursive: true });
      await symlink(target, path(`machine/${name}`));
    },
    async profile(...changes) {
      const shipped = await readFile(join(top, "image/common/etc/secure-ai/gpu-integrity/default-profile.yaml"), "utf8");
      const own: readonly (readonly [string, string])[] = [
        ["/var/lib/secure-ai/vault/models", path("models")],
        ["127.0.0.1:8465", `127.0.0.1:${inference.port}`],
        ...changes,
      ];
      await writeFile(
        path("profile.yaml"),
        own.reduce((text, [from, to]) => replaceOnce(text, from, to), shipped),
      );
    },
    model: (name, text) => writeFile(path(`models/${name}`), text),
    verify: () => verifyAudit(path("state/audit.jsonl"), Buffer.from(credentials.audit, "hex"), path("anchor/audit.head")),
    async remove() {
      await recorder.close();
      await inference.close();
      await rm(folder, { recursive: true });
    },
  };
  await bench.profile();
  return bench;
}

function replaceOnce(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`the shipped profile has no ${from}`);
  return text.replace(from, to);
}

/** An AMD card with everything its driver shows. */
export async function addCard(bench: Bench): Promise<void> {
  const device = "sys/bus/pci/devices/0000:03:00.0";
  const facts = {
    [`${device}/class`]: "0x030000\n",
    [`${device}/vendor`]: "0x1002\n",
    [`${device}/device`]: "0x744c\n",
    [`${device}/drm/card0/dev`]: "226:0\n",
    [`${device}/drm/renderD128/dev`]: "226:128\n",
    [`${device}/ras/umc_err_count`]: "ue: 0\nce: 3\n",
    [`${device}/mem_info_vram_total`]: "1000\n",
    [`${device}/mem_info_vram_used`]: "10\n",
    [`${device}/hwmon/hwmon2/temp1_input`]: "48000\n",
    [`${device}/hwmon/hwmon2/temp1_crit`]: "110000\n",
    "sys/module/amdgpu/srcversion": "0123456789ABCDEF\n",
    "proc/sys/kernel/osrelease": "6.12.1-test\n",
    "usr/lib/modules/6.12.1-test/modules.dep":
      "kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz: kernel/x.ko.xz\nkernel/x.ko.xz:\n",
    "usr/lib/modules/6.12.1-test/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz": "module",
    "dev/dri/card0": "",
    "dev/dri/renderD128": "",
    "dev/kfd": "",
  };
  for (const [name, text] of Object.entries(facts)) await bench.put(name, text);
  await bench.link(`${device}/driver`, "../../../../bus/pci/drivers/amdgpu");
}

/** An NVIDIA card whose driver's tool says `table`. */
export async function addNvidia(bench: Bench, script: string): Promise<void> {
  const device = "sys/bus/pci/devices/0000:01:00.0";
  await bench.put(`${device}/class`, "0x030200\n");
  await bench.put(`${device}/vendor`, "0x10de\n");
  await bench.put(`${device}/device`, "0x2335\n");
  await bench.link(`${device}/driver`, "../../../../bus/pci/drivers/nvidia");
  await writeFile(bench.path("nvidia-smi"), `#!/bin/sh\n${script}\n`);
  await chmod(bench.path("nvidia-smi"), 0o755);
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export interface Service {
  readonly port: number;
  call(method: string, path: string, options?: { readonly token?: string | undefined; readonly body?: unknown }): Promise<Answer>;
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

/** @throws Error with the log if the service does not start */
export async function startService(
  bench: Bench,
  env: Readonly<Record<string, string>> = {},
  command: readonly string[] = fromSource,
): Promise<Service> {
  const child = launch(bench, env, command);
  const seen: Record<string, unknown>[] = [];
  if (child.stderr !== null)
    for await (const line of createInterface(child.stderr)) {
      seen.push(line.startsWith("{") ? (JSON.parse(line) as Record<string, unknown>) : { message: line });
      if (seen.at(-1)?.message === "service ready") break;
    }
  const port = seen.find(({ message }) => message === "listening")?.port;
  if (typeof port !== "number") throw new Error(`the service did not start: ${JSON.stringify(seen)}`);
  child.stderr?.resume();
  return {
    port,
    call: (method, path, { token, body } = {}) => call(port, method, path, token, body),
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
      const ended = once(child, "exit");
      child.kill(signal);
      const [status, killed] = (await ended) as [number | null, NodeJS.Signals | null];
      return status ?? killed;
    },
  };
}

export async function refusedStart(
  bench: Bench,
  env: Readonly<Record<string, string>> = {},
): Promise<{ status: number | null; code: unknown }> {
  const child = launch(bench, env, fromSource);
  const ended = once(child, "exit");
  let code: unknown;
  if (child.stderr !== null)
    for await (const line of createInterface(child.stderr)) {
      const said = line.startsWith("{") ? (JSON.parse(line) as Record<string, unknown>) : {};
      code ??= said.code;
      if (said.message === "service ready") child.kill("SIGKILL");
    }
  const [status] = (await ended) as [number | null];
  return { status, code };
}

const fromSource = [process.execPath, "services-src/gpu-integrity-watch/main.ts"] as const;

function launch(bench: Bench, env: Readonly<Record<string, string>>, [program = "", ...args]: readonly string[]): ChildProcess {
  return spawn(program, args, {
    cwd: top,
    env: { PATH: process.env.PATH, ...bench.env, ...env },
    stdio: ["ignore", "inherit", "pipe"],
  });
}

export function call(port: number, method: string, path: string, token: string | undefined, body: unknown): Promise<Answer> {
  const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
  const headers: OutgoingHttpHeaders = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(text === undefined ? {} : { "content-type": "application/json" }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const said = Buffer.concat(chunks).toString();
        const isJson = incoming.headers["content-type"] === "application/json";
        resolve({
          status: incoming.statusCode ?? 0,
          text: said,
          json: isJson ? (JSON.parse(said) as Record<string, unknown>) : {},
        });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(text);
  });
}
