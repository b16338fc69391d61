import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSchema, execute, type GraphQLSchema, parse, validate } from "graphql";
import { createEvaluator, type EvaluatorOptions } from "./evaluate.ts";
import { type Context, resolveField } from "./resolver.ts";

/** A Dagger session on the loopback interface that validates every query with the published schema and does what it says, here. */
export interface DaggerServer {
  readonly port: number;
  readonly token: string;
  /** Every query that came, in order. */
  readonly queries: string[];
  /** Queries that the published schema refuses, with the reason. */
  readonly invalid: string[];
  close(): Promise<void>;
}

export interface ServerOptions extends Partial<Omit<EvaluatorOptions, "folder">> {
  /** Called before a query is answered; a test may hold or break it. */
  readonly before?: (query: string) => Promise<void>;
}

const SCHEMA = join(import.meta.dirname, "..", "..", "..", "vectors", "dagger", "schema.graphqls");
const PLATFORMS: Readonly<Record<string, string>> = { x64: "linux/amd64", arm64: "linux/arm64" };
let schema: GraphQLSchema | undefined;

export async function startDaggerServer(options: ServerOptions = {}): Promise<DaggerServer> {
  schema ??= buildSchema(readFileSync(SCHEMA, "utf8"));
  const folder = await mkdtemp(join(tmpdir(), "secai-dagger-"));
  const token = randomUUID();
  const evaluator = createEvaluator({
    ...{
      images: new Map(),
      platform: PLATFORMS[process.arch] ?? "",
      version: "v0.21.9",
      tamper: (args: readonly string[]) => args,
    },
    ...options,
    folder,
  });
  const queries: string[] = [];
  const invalid: string[] = [];
  const answer = async (query: string, signal: AbortSignal): Promise<object> => {
    queries.push(query);
    await options.before?.(query);
    signal.throwIfAborted();
    const document = parse(query);
    const errors = validate(schema as GraphQLSchema, document);
    invalid.push(...errors.map(({ message }) => `${message}: ${query}`));
    if (errors.length > 0) return { errors };
    const contextValue: Context = { evaluator, signal };
    return await execute({ schema: schema as GraphQLSchema, document, contextValue, fieldResolver: resolveField });
  };
  const server = createServer(async (request, response) => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    if (!isAllowed(request, token)) return void response.writeHead(401).end();
    try {
      const { query } = JSON.parse(await bodyOf(request)) as { query: string };
      const body = JSON.stringify(await answer(query, gone.signal));
      response.writeHead(200, { "content-type": "application/json" }).end(body);
    } catch {
      response.destroy();
    }
  });
  const port = await listen(server);
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true, force: true });
  };
  return { port, token, queries, invalid, close };
}

function isAllowed(request: IncomingMessage, token: string): boolean {
  const expected = `Basic ${Buffer.from(`${token}:`).toString("base64")}`;
  return request.method === "POST" && request.url === "/query" && request.headers.authorization === expected;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}
