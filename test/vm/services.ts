import { VmError } from "./errors.ts";
import { type HttpResponse, http } from "./guest.ts";
import type { Machine } from "./machine.ts";

const CREDENTIALS = "/var/lib/secure-ai/credentials";

/** The services that listen, by name: where, and the credential with which this bench asks. */
export const SERVICES = {
  "runtime-attestor": { port: 8505, token: "runtime-attestor.token" },
  "integrity-monitor": { port: 8510, token: "integrity-monitor.token" },
  "incident-recorder": { port: 8515, token: "incident-read.token" },
  "gpu-integrity-watch": { port: 8495, token: "gpu-integrity-watch.token" },
  "policy-engine": { port: 8500, token: "policy-engine.token" },
} as const;
export type ServiceName = keyof typeof SERVICES;

export const unitOf = (service: ServiceName): string => `secure-ai-${service}.service`;

export async function credential(machine: Machine, file: string): Promise<string> {
  return (await machine.succeeds(`cat ${CREDENTIALS}/${file}`)).trim();
}

export interface Question {
  readonly path: string;
  /** Makes it a POST. */
  readonly body?: unknown;
  /** File of another credential than the service's usual one. */
  readonly token?: string;
}

/** What is asked for without saying anything. */
const BODILESS_POSTS = /\/(refresh|scan)$/;

/** One request to a service, with its credential. Any status is an answer. */
export async function askService(machine: Machine, service: ServiceName, { path, body, token }: Question): Promise<HttpResponse> {
  const { port, token: usual } = SERVICES[service];
  const authorization = `Bearer ${await credential(machine, token ?? usual)}`;
  const json = body === undefined ? {} : { "content-type": "application/json" };
  const method = body === undefined && !BODILESS_POSTS.test(path) ? "GET" : "POST";
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  return await http(machine, port, { method, path, headers: { authorization, ...json }, ...sent });
}

/** The answer's document. @throws VmError CHECK_FAILED for another status */
export function documentOf<T>(response: HttpResponse, status = 200): T {
  if (response.status !== status)
    throw new VmError("CHECK_FAILED", {
      expected: `status ${status}`,
      actual: `${response.status} ${response.body.slice(0, 500)}`,
    });
  return JSON.parse(response.body) as T;
}
