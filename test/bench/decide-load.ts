// Asks one service over and over, in a process of its own, and prints what it saw as JSON:
//   decide-load SOCKET TOKEN CONNECTIONS SECONDS [RATE]
// Without RATE each connection asks again as soon as it has its answer. With RATE, a second, requests begin when they are due, and what one
// waits for its turn counts as part of its answer's time: a slow service cannot hide behind a client that waits for it.
import { connect, type Socket } from "node:net";

const [socketPath = "", token = "", connectionsText = "", secondsText = "", rateText] = process.argv.slice(2);
const connections = Number(connectionsText);
const endMs = performance.now() + Number(secondsText) * 1000;
const gapMs = rateText === undefined ? 0 : 1000 / Number(rateText);

const body = JSON.stringify({
  domain: "tool_access",
  subject: "filesystem.read",
  action: "call",
  params: { path: "/var/lib/secure-ai/vault/user_docs/a" },
});
const request = Buffer.from(
  `POST /api/v1/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
);

const latencies: number[] = [];
const statuses = new Map<string, number>();
let nextDueMs = performance.now();

/** One answer: head, and as many bytes as it announces. Answers of this service have no other framing. */
function answerLength(bytes: Buffer): number | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const length = /content-length: (\d+)/i.exec(bytes.toString("latin1", 0, end))?.[1];
  if (length === undefined) throw new Error("an answer without Content-Length");
  return end + 4 + Number(length);
}

function ask(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const done = (settle: () => void) => {
      socket.off("data", take);
      socket.off("close", lost);
      settle();
    };
    const lost = () => done(() => reject(new Error("the connection was closed")));
    const take = (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const length = answerLength(received);
      if (length !== undefined && received.length >= length) done(() => resolve(received.toString("latin1", 9, 12)));
    };
    socket.on("data", take);
    socket.on("close", lost);
    socket.write(request);
  });
}

/** Waits until the next request is due; tells when that was. */
async function due(): Promise<number> {
  if (gapMs === 0) return performance.now();
  const mine = nextDueMs;
  nextDueMs += gapMs;
  const wait = mine - performance.now();
  if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
  while (performance.now() < mine) await new Promise((resolve) => setImmediate(resolve));
  return mine;
}

async function run(): Promise<void> {
  const socket = connect(socketPath);
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  while (performance.now() < endMs) {
    const startMs = await due();
    const status = await ask(socket);
    latencies.push(performance.now() - startMs);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  socket.destroy();
}

const startMs = performance.now();
await Promise.all(Array.from({ length: connections }, run));
const seconds = (performance.now() - startMs) / 1000;
latencies.sort((a, b) => a - b);
const percentile = (part: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))] ?? 0;
process.stdout.write(
  `${JSON.stringify({ requests: latencies.length, perSecond: latencies.length / seconds, p50Ms: percentile(0.5), p99Ms: percentile(0.99), statuses: Object.fromEntries(statuses) })}\n`,
);
