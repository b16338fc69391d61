import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { createPublicKey, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type SignedState, STATE_BUNDLE_DOMAIN } from "@secai/kit/api/attestation";
import { type AuditReport, verifyAudit } from "@secai/kit/audit-verify";
import { createSigner, isSignedBy } from "@secai/kit/signing";
import { bundleStep } from "@secai/pipelines/steps/bundle";
import type { Machine } from "./machine.ts";

// The attestor and its programs as processes: bundled like the image's, on the image's Node, with tpm2-tools beside it.

const top = join(import.meta.dirname, "../../..");
const programs = {
  attestor: "services-src/runtime-attestor/main.ts",
  enrol: "services-src/runtime-attestor/programs/enrol.ts",
  gate: "services-src/runtime-attestor/programs/gate.ts",
} as const;
const NODE = [
  "/usr/bin/node",
  "--jitless",
  "--no-expose-wasm",
  "--disallow-code-generation-from-strings",
  "--max-old-space-size=64",
];

const workspaces = {
  "@secai/runtime-attestor": "services-src/runtime-attestor",
  "@secai/kit": "services-src/kit",
  "@secai/formats": "attest/formats",
  "@secai/measure": "attest/measure",
  "@secai/verify": "attest/verify",
};

/** Bundles one entry with the very command of the image's build, outside its sandbox. */
function bundle(name: string, entry: string, folder: string): Buffer {
  const to = join(folder, `${name}.mjs`);
  const step = bundleStep({ name, entry, workspaces, modules: [], sourceDateEpoch: 0 });
  const place = (word: string): string =>
    word
      .replace(/^\/in\/esbuild$/, join(top, `node_modules/@esbuild/linux-${process.arch}/bin/esbuild`))
      .replace(/(^|=)\/src\//, `$1${top}/`)
      .replace("/out/bundle.mjs", to)
      .replace("/out/metafile.json", `${to}.metafile.json`);
  const [program = "", ...args] = step.run.map(place);
  execFileSync(program, args, { cwd: top, stdio: ["ignore", "inherit", "inherit"] });
  return readFileSync(to);
}

let built: ReadonlyMap<string, Buffer> | undefined;
function bundles(folder: string): ReadonlyMap<string, Buffer> {
  built ??= new Map(Object.entries(programs).map(([name, entry]) => [name, bundle(name, entry, folder)]));
  return built;
}

export interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
  readonly text: string;
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AuditLine {
  readonly seq: number;
  readonly type: string;
  readonly data: Record<string, unknown>;
}

/** Files of one appliance's attestor, in the machine's folder. */
export class Appliance {
  readonly machine: Machine;
  readonly token = randomBytes(32).toString("hex");
  readonly #auditKey = randomBytes(32).toString("hex");
  readonly #seed = randomBytes(32).toString("hex");
  #running: ChildProcess | undefined;
  port = 0;
  readonly log: Record<string, unknown>[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
    const { path } = machine;
    for (const directory of ["credentials", "state", "audit", "profile", "profile/statements", "scratch"])
      mkdirSync(join(path, directory), { recursive: true, mode: 0o700 });
    const secrets = { token: this.token, audit: this.#auditKey, seed: this.#seed, recorder: randomBytes(32).toString("hex") };
    for (const [name, value] of Object.entries(secrets))
      writeFileSync(this.at(`credentials/${name}`), `${value}\n`, { mode: 0o600 });
    for (const [name, bytes] of bundles(path)) writeFileSync(this.at(`${name}.mjs`), bytes);
  }

  at(name: string): string {
    return join(this.machine.path, name);
  }

  environment(): Record<string, string> {
    return {
      BIND_ADDR: "127.0.0.1:0",
      SERVICE_TOKEN_PATH: this.at("credentials/token"),
      SIGNING_KEY_PATH: this.at("credentials/seed"),
      AUDIT_HMAC_KEY_PATH: this.at("credentials/audit"),
      AUDIT_LOG_PATH: this.at("audit/audit.jsonl"),
      AUDIT_ANCHOR_PATH: this.at("audit/audit.head"),
      STATE_DIR: this.at("state"),
      // Nobody listens there: reports wait.
      INCIDENT_RECORDER_ADDR: "127.0.0.1:9",
      INCIDENT_RECORDER_TOKEN_PATH: this.at("credentials/recorder"),
      REGISTRY_MANIFEST_PATH: this.at("registry.json"),
      TPM_PROFILE_DIR: this.at("profile"),
      SCRATCH_DIR: this.at("scratch"),
      MACHINE_ROOT: this.machine.root,
      TPM_DEVICE: this.machine.socket,
      TPM_TCTI: `swtpm:path=${this.machine.socket}`,
    };
  }

  /** Starts the service and waits until it is ready. @throws Error with its log if it does not come up */
  async start(env: Readonly<Record<string, string>> = {}, prefix: readonly string[] = []): Promise<void> {
    const argv = [...prefix, ...NODE, this.at("attestor.mjs")];
    const [program = "", ...args] = this.machine.command(argv, { ...this.environment(), ...env }, "host");
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "pipe"] });
    this.#running = child;
    this.port = 0;
    this.log.length = 0;
    const lines = createInterface(child.stderr);
    await new Promise<void>((resolve, reject) => {
      lines.on("line", (line) => {
        const entry = (line.startsWith("{") ? JSON.parse(line) : { message: line }) as Record<string, unknown>;
        this.log.push(entry);
        if (entry.message === "listening") this.port = entry.port as number;
        if (entry.message === "service ready") resolve();
      });
      lines.on("close", () => reject(new Error(`the attestor did not come up: ${JSON.stringify(this.log)}`)));
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const child = this.#running;
    this.#running = undefined;
    if (child === undefined) return null;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = once(child, "exit");
    try {
      process.kill(innermost(child.pid ?? 0), signal);
    } catch (error) {
      // It ended by itself meanwhile.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    const [status] = (await ended) as [number | null];
    return status;
  }

  call(
    path: string,
    { method = "GET", body, token = this.token }: { method?: string; body?: unknown; token?: string } = {},
  ): Promise<Answer> {
    const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${token}`,
      ...(text === undefined ? {} : { "content-type": "application/json" }),
    };
    return new Promise((resolve, reject) => {
      const outgoing = request({ host: "127.0.0.1", port: this.port, method, path, headers, agent: false }, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("end", () => {
          const answered = Buffer.concat(chunks).toString();
          const isJson = incoming.headers["content-type"] === "application/json";
          resolve({ status: incoming.statusCode ?? 0, json: isJson ? JSON.parse(answered) : {}, text: answered });
        });
        incoming.on("error", reject);
      });
      outgoing.on("error", reject);
      outgoing.end(text);
    });
  }

  /** A fresh attestation, whose signature holds. */
  async refresh(nonce = randomBytes(32).toString("hex")): Promise<SignedState["bundle"]> {
    const { status, json } = await this.call("/api/v1/refresh", { method: "POST", body: { request_nonce: nonce } });
    if (status !== 200) throw new Error(`refresh: ${status} ${JSON.stringify(json)}`);
    const signed = json as unknown as SignedState;
    if (!this.isSigned(signed)) throw new Error("a bundle whose signature does not hold");
    return signed.bundle;
  }

  isSigned({ bundle, signature }: SignedState): boolean {
    const key = createPublicKey(createSigner(this.#seed).publicKey());
    return isSignedBy(key, STATE_BUNDLE_DOMAIN, bundle, signature.value);
  }

  enrol(args: readonly string[], prefix: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Ended {
    return this.#run("enrol", args, env, prefix);
  }

  gate(env: Readonly<Record<string, string>> = {}): Ended {
    const own = { ATTESTATION_VERIFY_ADDR: `127.0.0.1:${this.port}` };
    return this.#run("gate", [], { ...own, ...env }, []);
  }

  #run(
    name: keyof typeof programs,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    prefix: readonly string[],
  ): Ended {
    const argv = [...prefix, ...NODE, this.at(`${name}.mjs`), ...args];
    const [program = "", ...words] = this.machine.command(argv, { ...this.environment(), ...env }, "host");
    const { status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8", timeout: 120_000 });
    return { status, stdout, stderr };
  }

  audit(): readonly AuditLine[] {
    const lines = readFileSync(this.at("audit/audit.jsonl"), "utf8").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line) as AuditLine);
  }

  verifyAudit(): Promise<AuditReport> {
    return verifyAudit(this.at("audit/audit.jsonl"), Buffer.from(this.#auditKey, "hex"), this.at("audit/audit.head"));
  }

  async remove(): Promise<void> {
    await this.stop("SIGKILL");
    await this.machine.remove();
  }
}

/** The process that a sandbox runs: it passes no signals on. What that process runs in its turn is not meant. */
function innermost(pid: number): number {
  const isSandbox = readFileSync(`/proc/${pid}/comm`, "latin1").trim() === "bwrap";
  const [inner] = isSandbox ? readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ") : [];
  return inner === undefined || inner === "" ? pid : innermost(Number(inner));
}

/** Codes of what an attestation found. */
export const codesOf = (bundle: SignedState["bundle"]): readonly string[] =>
  bundle.failures.map(({ check, code }) => `${check} ${code}`);
