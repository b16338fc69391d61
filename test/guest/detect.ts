// Runs inside a machine, as root: does one tampering after the other and measures, by the machine's own clock, how long it takes until the
// integrity monitor tells of it. Questions come as JSON on standard input, answers go out as JSON; what to do is the suite's to say.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

export interface Tampering {
  readonly id: string;
  readonly tamper: string;
  readonly restore: string;
}

export interface Detection {
  readonly id: string;
  /** Milliseconds from the end of the tampering; -1: not within the limit. */
  readonly detectedMs: number;
  /** What the monitor tells of that it did not tell of before. */
  readonly violations: readonly { readonly category: string; readonly path: string; readonly kind: string }[];
  /** Milliseconds from the end of putting it back until nothing of it stands; -1: it stands still. */
  readonly clearedMs: number;
  /** What did not go as it was meant to. */
  readonly error?: string;
}

export interface Question {
  readonly port: number;
  readonly tokenPath: string;
  readonly limitMs: number;
  /** One after the other, each put back before the next; else all at once, and none put back. */
  readonly together: boolean;
  readonly cases: readonly Tampering[];
}

interface Status {
  readonly active_violations: Detection["violations"];
}

const POLL_MS = 50;
/** Longer than a look at what is looked at once a second. */
const SETTLE_MS = 2_000;
const SETTLE_ROUNDS = 5;
const { port, tokenPath, limitMs, together, cases } = JSON.parse(await text(process.stdin)) as Question;
const token = readFileSync(tokenPath, "utf8").trim();

function standing(): Promise<Detection["violations"]> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    request({ host: "127.0.0.1", port, path: "/api/v1/status", headers, agent: false }, (response) => {
      text(response).then((body) => resolve((JSON.parse(body) as Status).active_violations), reject);
    })
      .once("error", reject)
      .end();
  });
}

const keyOf = ({ category, path, kind }: Detection["violations"][number]) => `${category} ${path} ${kind}`;
const bash = (script: string) => execFileSync("/bin/bash", ["-c", script], { stdio: "ignore" });

/** Milliseconds until `done` says so of what stands, and what stands then. */
async function waitFor(done: (now: Detection["violations"]) => boolean): Promise<[number, Detection["violations"]]> {
  const began = performance.now();
  for (;;) {
    const now = await standing();
    const ms = performance.now() - began;
    if (done(now)) return [ms, now];
    if (ms > limitMs) return [-1, now];
    await sleep(POLL_MS);
  }
}

/** What stands once nothing more is added: one tampering is found by several looks, one after the other. */
async function settled(): Promise<Detection["violations"]> {
  let last = await standing();
  for (let round = 0; round < SETTLE_ROUNDS; round += 1) {
    await sleep(SETTLE_MS);
    const now = await standing();
    if (now.length === last.length) return now;
    last = now;
  }
  return last;
}

async function one({ id, tamper, restore }: Tampering): Promise<Detection> {
  const before = new Set((await standing()).map(keyOf));
  const isNew = (violation: Detection["violations"][number]) => !before.has(keyOf(violation));
  bash(tamper);
  const [detectedMs, now] = await waitFor((violations) => violations.some(isNew));
  const violations = detectedMs < 0 ? now.filter(isNew) : (await settled()).filter(isNew);
  bash(restore);
  const [clearedMs] = await waitFor((left) => !left.some(isNew));
  return { id, detectedMs, violations, clearedMs };
}

/** All at once: whatever is new within the limit, each with the same time, that of the last. */
async function all(): Promise<readonly Detection[]> {
  const before = new Set((await standing()).map(keyOf));
  const began = performance.now();
  for (const { tamper } of cases) bash(tamper);
  let seen: Detection["violations"] = [];
  while (performance.now() - began < limitMs) {
    await sleep(500);
    const now = (await standing()).filter((violation) => !before.has(keyOf(violation)));
    if (now.length > seen.length) seen = now;
  }
  return cases.map(({ id }) => ({ id, detectedMs: limitMs, violations: seen, clearedMs: -1 }));
}

const detections: Detection[] = [];
if (together) detections.push(...(await all()));
else
  for (const tampering of cases) {
    const { id } = tampering;
    const failed = (error: unknown): Detection => ({ id, detectedMs: -1, violations: [], clearedMs: -1, error: String(error) });
    detections.push(await one(tampering).catch(failed));
  }
console.log(JSON.stringify(detections));
