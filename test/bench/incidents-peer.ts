import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, get } from "node:http";
import { VmError } from "../vm/errors.ts";

export interface Peer {
  readonly port: number;
  close(): Promise<void>;
}

/** What Node's HTTP server needs to hand over a page at all: the same bytes at every request, from a process with the same flags. */
const SERVER = `
const chunks = [];
process.stdin.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
  const body = Buffer.concat(chunks);
  const answer = (_, response) => response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length }).end(body);
  const server = require("node:http").createServer(answer).listen(0, "127.0.0.1", () => console.log(server.address().port));
});`;

export async function servePage(page: string, nodeOptions: readonly string[]): Promise<Peer> {
  const child: ChildProcess = spawn(process.execPath, [...nodeOptions, "-e", SERVER], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin?.end(page);
  const [line] = child.stdout === null ? [""] : ((await once(child.stdout, "data")) as [Buffer]);
  return {
    port: Number(line),
    async close() {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    },
  };
}

const agent = new Agent({ keepAlive: true });

/** Asks once and reads the whole answer; how many bytes it had. @throws VmError HARNESS_TOOL_FAILED */
export function fetchBytes(port: number, path: string, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    let bytes = 0;
    const outgoing = get({ host: "127.0.0.1", port, path, headers, agent }, (incoming) => {
      incoming.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      incoming.on("end", () => {
        const { statusCode } = incoming;
        if (statusCode === 200) resolve(bytes);
        else reject(new VmError("HARNESS_TOOL_FAILED", { expected: "status 200", actual: `${statusCode}` }));
      });
    });
    outgoing.on("error", reject);
  });
}
