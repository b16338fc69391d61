import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { bundle } from "../contract/policy-engine/bundle.ts";
import { createHome, type Home } from "../contract/policy-engine/service.ts";
import { readUnit, top } from "../contract/policy-engine/unit.ts";
import { VmError } from "../vm/errors.ts";
import { type Figure, notMeasured, peerOf } from "./figure.ts";

const run = promisify(execFile);
const CONNECTIONS = 128;
const WARM_SECONDS = 3;
const SECONDS = 6;
/** Part of the highest rate at which answer times are looked at. */
const LOAD = 0.6;
/** Ticks a second of the times in /proc/PID/stat; Linux shows 100 to user space on every architecture. */
const TICKS = 100;
/** What the unit starts Node with, as far as it changes how fast it is. */
const HEAP = ["--max-old-space-size=64", "--max-semi-space-size=16"];

interface Load {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly statuses: Readonly<Record<string, number>>;
}

/** @throws VmError HARNESS_TOOL_FAILED when one answer was not 200 */
async function load(socket: string, token: string, seconds: number, rate?: number): Promise<Load> {
  const args = [join(import.meta.dirname, "decide-load.ts"), socket, token, String(CONNECTIONS), String(seconds)];
  const { stdout } = await run(process.execPath, [...args, ...(rate === undefined ? [] : [String(rate)])]);
  const seen = JSON.parse(stdout) as Load;
  if (seen.statuses["200"] !== seen.requests)
    throw new VmError("HARNESS_TOOL_FAILED", { expected: "status 200 for every request", actual: JSON.stringify(seen.statuses) });
  return seen;
}

async function processorSeconds({ pid }: ChildProcess): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "latin1")).split(" ");
  return (Number(fields[13]) + Number(fields[14])) / TICKS;
}

async function started(argv: readonly string[], env: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const child = spawn(process.execPath, argv, {
    cwd: top,
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const lines: string[] = [];
  if (child.stderr !== null)
    for await (const line of createInterface(child.stderr)) {
      if (line.includes('"service ready"')) return child;
      lines.push(line);
    }
  throw new VmError("HARNESS_TOOL_FAILED", { expected: "a service that starts", actual: lines.slice(-3).join(" ") });
}

interface Measured extends Load {
  readonly processorUs: number;
}

/** The highest rate of a server, and what a request costs it. */
async function measure(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  socket: string,
  token: string,
): Promise<{ best: Measured; partial: Load }> {
  const child = await started(argv, env);
  try {
    await load(socket, token, WARM_SECONDS);
    const before = await processorSeconds(child);
    const best = await load(socket, token, SECONDS);
    const processorUs = (((await processorSeconds(child)) - before) / best.requests) * 1e6;
    return { best: { ...best, processorUs }, partial: await load(socket, token, SECONDS, best.perSecond * LOAD) };
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  }
}

/** The shipped policy limits tool calls to two a second; here the machine shall be the limit. */
async function liftRateLimit({ policyPath }: Home): Promise<void> {
  const text = await readFile(policyPath, "utf8");
  await writeFile(policyPath, text.replace(/(requests_per_minute|burst): \d+/g, "$1: 1000000"));
}

function environment(home: Home, socket: string): Readonly<Record<string, string>> {
  const unit = readUnit("secure-ai-policy-engine.service", {
    "%d": join(home.path, "credentials"),
    "%S": join(home.path, "state"),
  });
  const policy = { POLICY_PATH: home.policyPath, AGENT_POLICY_PATH: home.agentPath };
  const audit = { AUDIT_LOG_PATH: join(home.path, "state/audit.jsonl"), AUDIT_ANCHOR_PATH: join(home.path, "state/audit.head") };
  return { ...unit.environment, ...policy, ...audit, BIND_ADDR: `unix:${socket}` };
}

const parts = ({ processorUs, p50Ms, p99Ms, perSecond }: Measured, partial: Load) => [
  { name: "requests for each second of processor time", value: 1e6 / processorUs },
  { name: `ms, half of the answers at that rate`, value: p50Ms },
  { name: `ms, 99 of 100 answers at that rate`, value: p99Ms },
  {
    name: `ms, 99 of 100 answers at ${Math.round(LOAD * 100)} % of it (${Math.round(perSecond * LOAD)} a second)`,
    value: partial.p99Ms,
  },
];

/** Decisions a second of one process over a Unix socket, each on record before it is answered. */
export async function measureDecide(): Promise<readonly Figure[]> {
  const home = await createHome();
  try {
    await liftRateLimit(home);
    // Bundled, as in the image: Node without its compiler cannot strip types.
    bundle("policy-engine", "services-src/policy-engine/main.ts", join(home.path, "engine.mjs"));
    bundle("decide-peer", "test/bench/decide-peer.ts", join(home.path, "peer.mjs"));
    const figures: Figure[] = [];
    for (const [id, flags, title, limit] of [
      ["decide.jit", [], "decisions, Node with its compiler", 15_000],
      ["decide.jitless", ["--jitless"], "decisions, Node without it, as the appliance runs it", undefined],
    ] as const)
      figures.push(await figureOf(home, id, flags, title, limit));
    return figures;
  } finally {
    await home.remove();
  }
}

async function figureOf(home: Home, id: string, flags: readonly string[], title: string, limit?: number): Promise<Figure> {
  const budget = limit === undefined ? {} : { budget: { limit, kind: "at least" } as const };
  const figure = { id, title, unit: "per second", ...budget } as const;
  const [socket, peerSocket] = [join(home.path, `${id}.sock`), join(home.path, `${id}-peer.sock`)];
  try {
    const peer = await measure([...flags, ...HEAP, join(home.path, "peer.mjs"), peerSocket], {}, peerSocket, home.token);
    const engine = [...flags, ...HEAP, join(home.path, "engine.mjs")];
    const { best, partial } = await measure(engine, environment(home, socket), socket, home.token);
    const what = "Node's HTTP server with a fixed answer";
    return {
      ...figure,
      value: best.perSecond,
      peer: peerOf(best.perSecond, what, peer.best.perSecond, "per second"),
      partUnit: "",
      parts: parts(best, partial),
    };
  } catch (error) {
    return notMeasured(figure, error);
  }
}
