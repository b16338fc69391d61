// Runs inside a machine, as root: sends the recorder one report again and again, then as many that all differ, and prints what it got.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";

export interface FloodQuestion {
  readonly port: number;
  /** A file that holds the reporter's bearer token. */
  readonly tokenPath: string;
  readonly source: string;
  readonly class: string;
  /** Of each kind. */
  readonly count: number;
}

/** How often each status came, by kind. */
export type FloodAnswer = Readonly<Record<"identical" | "distinct", Readonly<Record<string, number>>>>;

const CONNECTIONS = 4;

const question = JSON.parse(await text(process.stdin)) as FloodQuestion;
const token = readFileSync(question.tokenPath, "utf8").trim();
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

function report(description: string, file: number): Promise<number> {
  const { port, source, class: kind } = question;
  const body = JSON.stringify({ class: kind, source, description, evidence: { file } });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const options = { host: "127.0.0.1", port, method: "POST", path: "/api/v1/incidents/report", headers, agent };
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => response.resume().once("end", () => resolve(response.statusCode ?? 0)));
    sent.once("error", reject).end(body);
  });
}

async function flood(describe: (index: number) => [string, number]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  let next = 0;
  const send = async () => {
    for (let index = next++; index < question.count; index = next++) {
      const status = String(await report(...describe(index)));
      counts[status] = (counts[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, send));
  return counts;
}

const identical = await flood(() => ["the same again", 0]);
const distinct = await flood((index) => [`number ${index}`, index]);
agent.destroy();
console.log(JSON.stringify({ identical, distinct } satisfies FloodAnswer));
