// Runs inside a machine, as root: shows every credential to every endpoint and prints what status each got.
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { text } from "node:stream/consumers";

export interface MatrixQuestion {
  readonly endpoints: readonly { readonly port: number; readonly method: string; readonly path: string }[];
  /** Files; each holds one bearer token. */
  readonly tokenPaths: readonly string[];
}

/** By token, then by endpoint, in the order asked. */
export type MatrixAnswer = readonly (readonly number[])[];

const { endpoints, tokenPaths } = JSON.parse(await text(process.stdin)) as MatrixQuestion;

function statusOf({ port, method, path }: MatrixQuestion["endpoints"][number], token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, ...(method === "POST" ? { "content-type": "application/json" } : {}) };
    const sent = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) => {
      response.resume().once("end", () => resolve(response.statusCode ?? 0));
    });
    // No service takes this body, so that nothing happens where the credential is the right one.
    sent.once("error", reject).end(method === "POST" ? '{"no such member":1}' : undefined);
  });
}

const answer: number[][] = [];
for (const tokenPath of tokenPaths) {
  const token = readFileSync(tokenPath, "utf8").trim();
  const statuses: number[] = [];
  for (const endpoint of endpoints) statuses.push(await statusOf(endpoint, token));
  answer.push(statuses);
}
console.log(JSON.stringify(answer));
