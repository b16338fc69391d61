import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import { http } from "../vm/guest.ts";
import type { Machine } from "../vm/machine.ts";
import { credential, SERVICES, type ServiceName } from "../vm/services.ts";
import type { Scenario } from "../vm/suite.ts";

// What requests.ts does to the policy engine, to every service beside it: whoever holds the right credential may still send anything.

interface Door {
  readonly service: ServiceName;
  /** A POST that takes a document. */
  readonly path: string;
  readonly token: string;
  /** A document that it would take. */
  readonly body: Readonly<Record<string, unknown>>;
}

const doors: readonly Door[] = [
  {
    service: "runtime-attestor",
    path: "/api/v1/refresh",
    token: "runtime-attestor.token",
    body: { request_nonce: "77".repeat(32) },
  },
  {
    service: "integrity-monitor",
    path: "/api/v1/release",
    token: "integrity-rebaseline.token",
    body: { action: "release", incident_id: "INC-20260101-0001", binding: "77".repeat(32) },
  },
  {
    service: "incident-recorder",
    path: "/api/v1/incidents/report",
    token: "incident-reporter-integrity-monitor.token",
    body: { class: "integrity_violation", source: "integrity-monitor", description: "hostile" },
  },
  { service: "gpu-integrity-watch", path: "/v1/baseline", token: "gpu-integrity-watch.token", body: { replace: true } },
];

/** Deeper than any document of ours, and than a parser's stack. */
const DEPTH = 20_000;
/** Over every service's limit for a body, which is 64 KiB. */
const OVERSIZED = 80_000;

interface Hostile {
  readonly what: string;
  readonly status: number;
  readonly code: RegExp;
  readonly type?: string;
  make(body: Door["body"]): string;
}

const MALFORMED = { status: 400, code: /"code":"HTTP_BODY_(MALFORMED|SCHEMA)"/ } as const;
const hostile: readonly Hostile[] = [
  {
    what: "an oversized body",
    status: 413,
    code: /"code":"HTTP_BODY_TOO_LARGE"/,
    make: (body) => JSON.stringify({ ...body, more: "x".repeat(OVERSIZED) }),
  },
  { what: "a deep body", ...MALFORMED, make: () => `{"a":${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}}` },
  {
    what: "a member twice",
    ...MALFORMED,
    make: (body) => {
      const [[name, value] = ["x", 1]] = Object.entries(body);
      return `{${JSON.stringify(name)}:${JSON.stringify(value)},${JSON.stringify(body).slice(1)}`;
    },
  },
  { what: "an unknown member", ...MALFORMED, make: (body) => JSON.stringify({ ...body, unknown: 1 }) },
  { what: "a prototype", ...MALFORMED, make: (body) => `{"__proto__":{},${JSON.stringify(body).slice(1)}` },
  { what: "half a document", ...MALFORMED, make: (body) => JSON.stringify(body).slice(0, -1) },
  {
    what: "another media type",
    status: 415,
    code: /"code":"HTTP_MEDIA_TYPE"/,
    type: "text/plain",
    make: (body) => JSON.stringify(body),
  },
];

async function send(machine: Machine, { service, path, token }: Door, type: string, body: string) {
  const headers = { authorization: `Bearer ${await credential(machine, token)}`, "content-type": type };
  return await http(machine, SERVICES[service].port, { method: "POST", path, headers, body });
}

const refuses: readonly Scenario[] = doors.map((door) => ({
  id: `hostile.${door.service}`,
  title: `Whoever holds a credential of ${door.service} and sends what is no request is refused by name, and nobody else is disturbed`,
  needs: "fork",
  async run(test) {
    const machine = await test.fork();
    const { port } = SERVICES[door.service];
    for (const { what, status, code, type = "application/json", make } of hostile) {
      const answer = await send(machine, door, type, make(door.body));
      expectEqual(answer.status, status, `status for ${what}`);
      expectMatch(answer.body, code, what);
    }
    expectEqual((await http(machine, port, { path: "/ready" })).status, 200, "the service afterwards");
  },
}));

/** Longer than a service waits for a request, in seconds. */
const SLOW_SECONDS = 45;

export const hostileRequestScenarios: readonly Scenario[] = [
  ...refuses,
  {
    id: "hostile.slow",
    title: "Clients that send their requests byte by byte, to every service at once, lose their connections and delay nobody",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const slow = doors.map(({ service }) => {
        const { port } = SERVICES[service];
        const start = `printf 'GET /health HTTP/1.1\\r\\nHost: 127.0.0.1:${port}\\r\\nX: ' >&5`;
        const drip = `while printf x >&5 2>/dev/null; do sleep 0.5; [ $SECONDS -lt ${SLOW_SECONDS} ] || exit 1; done`;
        return machine.run(`exec 5<>/dev/tcp/127.0.0.1/${port}; ${start}; ${drip}`, { timeoutMs: 90_000 });
      });
      for (const { service } of doors)
        expectEqual((await http(machine, SERVICES[service].port, { path: "/health" })).status, 200, `${service} meanwhile`);
      for (const { exitCode } of await Promise.all(slow))
        expectTrue(exitCode === 0, `connections closed within ${SLOW_SECONDS} s`, "one that stayed open");
    },
  },
];
