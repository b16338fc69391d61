import { readFileSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Incident, IncidentReport, Reporter } from "@secai/kit/api/incidents";
import { createHome, type Home, type Service, startRecorder, until } from "../contract/incident-recorder/recorder.ts";
import { bundle } from "../contract/policy-engine/bundle.ts";
import { VmError } from "../vm/errors.ts";
import { type Figure, notMeasured, peerOf } from "./figure.ts";
import { fetchBytes, servePage } from "./incidents-peer.ts";
import { timeCommand } from "./timing.ts";

/** The image's, as far as every Node knows them; the small semi-space halves the memory and what is spent on collecting it. */
const SERVICE_FLAGS = [
  "--jitless",
  "--disallow-code-generation-from-strings",
  "--max-old-space-size=64",
  "--max-semi-space-size=2",
];
const CREATES = 300;
const LISTED = 1_000;
const LISTS = 40;
const STARTS = 5;
const WARM = 5;
/** About what one of these incidents is in the journal. */
const JOURNAL_BYTES = 2048;

interface Spread {
  readonly p50: number;
  readonly p95: number;
}

function spreadOf(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { p50: at(0.5), p95: at(0.95) };
}

/** Ticks a second of the times in /proc/PID/stat; Linux shows 100 to user space on every architecture. */
const TICKS = 100;

/** User and system time that a process has taken, ms: says more than the clock on a machine that others use, too. */
function processorMs(pid: number): number {
  const [user, system] = readFileSync(`/proc/${pid}/stat`, "latin1").split(" ").slice(13, 15).map(Number);
  return (((user ?? 0) + (system ?? 0)) * 1000) / TICKS;
}

/** Milliseconds of each call, one after the other; the first few only warm up. */
async function sample(count: number, call: (index: number) => Promise<unknown>): Promise<Spread> {
  const samples: number[] = [];
  for (let index = -WARM; index < count; index += 1) {
    const started = performance.now();
    await call(index);
    if (index >= 0) samples.push(performance.now() - started);
  }
  return spreadOf(samples);
}

type Report = Partial<IncidentReport> & { readonly source: Reporter };

/** @throws VmError HARNESS_TOOL_FAILED */
async function create(service: Service, report: Report): Promise<void> {
  const { status, text } = await service.report(report);
  if (status !== 201) throw new VmError("HARNESS_TOOL_FAILED", { expected: "a new incident", actual: `${status} ${text}` });
}

const evidence = {
  path: "/etc/secure-ai/policy/policy.yaml",
  expected: "0".repeat(64),
  actual: "1".repeat(64),
  text: "x".repeat(700),
};

/** Waits until nothing goes on behind the answers any more. */
async function allContained(service: Service): Promise<void> {
  const isDone = ({ state, containment_actions: actions }: Incident): boolean => state === "contained" || actions.length === 0;
  await until(async () => (await service.incidents()).every(isDone), 60_000);
}

/** What any durable store must do at the least: as many bytes appended and flushed, then an anchor overwritten and flushed. */
async function leastWork(home: Home, bytes: number): Promise<Spread> {
  const files: FileHandle[] = [];
  try {
    for (const name of ["least.log", "least.head"]) files.push(await open(join(home.path, "state", name), "w", 0o600));
    const [log, anchor] = files;
    const [record, slot] = [Buffer.alloc(bytes, "x"), Buffer.alloc(4096, "x")];
    return await sample(CREATES, async () => {
      await log?.appendFile(record);
      await log?.datasync();
      await anchor?.write(slot, 0, slot.length, 0);
      await anchor?.datasync();
    });
  } finally {
    for (const file of files) await file.close();
  }
}

/** Each is one incident that is contained behind the answer, while the next one is already reported. */
async function durableCreate(home: Home, service: Service): Promise<Figure> {
  const report = (): Promise<void> => create(service, { source: "integrity-monitor", evidence });
  const { size: before } = await stat(home.auditPath);
  const processorBefore = processorMs(service.pid);
  const busy = await sample(CREATES, report);
  await allContained(service);
  const processor = (processorMs(service.pid) - processorBefore) / (CREATES + WARM);
  const audited = ((await stat(home.auditPath)).size - before) / (CREATES + WARM);
  const least = await leastWork(home, JOURNAL_BYTES);
  const quiet = await sample(100, () => create(service, { source: "airlock", class: "policy_bypass_attempt", evidence }));
  return {
    id: "incidents.create",
    title: "19 of 20 durable incidents, containment going on behind",
    unit: "ms",
    value: busy.p95,
    budget: { limit: 20, kind: "at most" },
    peer: peerOf(busy.p95, "append, flush, overwrite, flush on the same disk", least.p95, "ms"),
    partUnit: "",
    parts: [
      { name: "ms, half of them", value: busy.p50 },
      { name: "ms, half of the appends with two flushes", value: least.p50 },
      { name: "ms, 19 of 20 of another class and reporter", value: quiet.p95 },
      { name: "ms of processor time for one, containment included", value: processor },
      { name: "bytes of the audit log for one, containment included", value: audited },
    ],
  };
}

const fillers: readonly Report[] = [
  { source: "airlock", class: "forbidden_airlock_request" },
  { source: "tool-firewall", class: "policy_bypass_attempt" },
  { source: "gpu-integrity-watch", class: "model_behavior_anomaly" },
];

const model = { model_path: "/var/lib/secure-ai/vault/models/m.gguf", model_name: "m" };

async function fill(service: Service): Promise<void> {
  const have = (await service.incidents()).length;
  for (let index = have; index < LISTED + 1; index += 1)
    await create(service, { ...(fillers[index % fillers.length] ?? { source: "airlock" }), evidence: { ...evidence, ...model } });
  await allContained(service);
}

async function listing(home: Home, service: Service): Promise<Figure> {
  const { status, text: page } = await service.call("read", "/api/v1/incidents");
  if (status !== 200) throw new VmError("HARNESS_TOOL_FAILED", { expected: "a list", actual: page.slice(0, 200) });
  const peer = await servePage(page, SERVICE_FLAGS);
  try {
    const processorBefore = processorMs(service.pid);
    const seen = await sample(LISTS, () => fetchBytes(service.port, "/api/v1/incidents", home.token("read")));
    const processor = (processorMs(service.pid) - processorBefore) / (LISTS + WARM);
    const least = await sample(LISTS, () => fetchBytes(peer.port, "/", ""));
    return {
      id: "incidents.list",
      title: `19 of 20 lists of ${LISTED} incidents`,
      unit: "ms",
      value: seen.p95,
      budget: { limit: 20, kind: "at most" },
      peer: peerOf(seen.p95, "Node's HTTP server with these very bytes", least.p95, "ms"),
      partUnit: "",
      parts: [
        { name: "ms, half of them", value: seen.p50 },
        { name: "ms, half of the fixed answers", value: least.p50 },
        { name: "ms of processor time for one", value: processor },
        { name: "MiB a list", value: Buffer.byteLength(page) / 2 ** 20 },
      ],
    };
  } finally {
    await peer.close();
  }
}

/** Proportional set size of a process, MiB: its own pages, and its share of those it has in common with others. */
function pssMib(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1];
  return Number(kib ?? Number.NaN) / 1024;
}

/** With what lies in the store by then; the best of several, in turns with a Node that does nothing. */
async function starting(home: Home, main: string): Promise<Figure> {
  const best = { jitless: Number.POSITIVE_INFINITY, native: Number.POSITIVE_INFINITY, node: Number.POSITIVE_INFINITY };
  const start = async (nodeOptions: readonly string[]): Promise<number> => {
    const started = performance.now();
    const service = await startRecorder(home, { main, nodeOptions });
    const seconds = (performance.now() - started) / 1000;
    await service.end("SIGTERM");
    return seconds;
  };
  for (let round = 0; round < STARTS; round += 1) {
    best.node = Math.min(best.node, timeCommand({ argv: [process.execPath, ...SERVICE_FLAGS, "-e", "0"] }));
    best.jitless = Math.min(best.jitless, await start(SERVICE_FLAGS));
    best.native = Math.min(best.native, await start([]));
  }
  return {
    id: "incidents.start",
    title: `start with ${LISTED} incidents in the store, as in the image`,
    unit: "s",
    value: best.jitless,
    budget: { limit: 0.4, kind: "at most" },
    peer: peerOf(best.jitless, "Node that does nothing", best.node, "s"),
    parts: [{ name: "Node with its compiler", value: best.native }],
  };
}

async function measureAll(home: Home, main: string): Promise<readonly Figure[]> {
  const service = await startRecorder(home, { main, nodeOptions: SERVICE_FLAGS });
  try {
    const created = await durableCreate(home, service);
    await fill(service);
    const listed = await listing(home, service);
    const memory: Figure = {
      id: "incidents.memory",
      title: `memory (PSS) with ${LISTED} incidents, after all this`,
      unit: "MiB",
      value: pssMib(service.pid),
      budget: { limit: 90, kind: "at most" },
    };
    await service.end("SIGTERM");
    return [created, listed, await starting(home, main), memory];
  } finally {
    await service.end("SIGKILL");
  }
}

/** The recorder as a process, its bundle with the flags of the image, targets beside it. */
export async function measureIncidents(): Promise<readonly Figure[]> {
  const home = await createHome();
  try {
    await home.startTargets();
    const main = join(home.path, "recorder.mjs");
    bundle("incident-recorder", "services-src/incident-recorder/main.ts", main);
    return await measureAll(home, main);
  } catch (error) {
    return [notMeasured({ id: "incidents.create", title: "the incident recorder", unit: "s" }, error)];
  } finally {
    await home.remove();
  }
}
