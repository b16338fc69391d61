import { Type } from "@sinclair/typebox";
import { describe, expect, test } from "vitest";
import { createBearer } from "./auth.ts";
import { KitError } from "./errors.ts";
import { createApp, type HttpRequest, type HttpResponse } from "./http.ts";
import { createMetrics } from "./metrics.ts";
import { route } from "./route.ts";
import { shape } from "./schema.ts";
import type { Clock } from "./sources.ts";

const token = "ab".repeat(32);
const echoRequest = shape("echo request", Type.Object({ text: Type.String({ maxLength: 10 }) }, { additionalProperties: false }));
let nowMs = 0;
const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };

interface Setup {
  readonly logged: unknown[];
  readonly recorded: unknown[];
  send(request: Partial<HttpRequest> & { body?: string }): Promise<HttpResponse & { readonly json: Record<string, unknown> }>;
}

function setup(): Setup {
  const logged: unknown[] = [];
  const recorded: unknown[] = [];
  const app = createApp({
    routes: [
      route({ method: "GET", path: "/open", summary: "", access: "open" }, async () => ({ status: 200, json: { ok: true } })),
      route({ method: "POST", path: "/echo", summary: "", access: ["token"], request: echoRequest }, async ({ text }) => ({
        status: 200,
        json: { text },
      })),
      route({ method: "GET", path: "/bug", summary: "", access: ["token"] }, () => Promise.reject(new Error("secret detail"))),
      route({ method: "GET", path: "/unrecorded", summary: "", access: ["token"] }, () =>
        Promise.reject(new KitError("AUDIT_UNAVAILABLE")),
      ),
    ],
    authenticate: createBearer({ tokens: { token }, clock, record: async (data) => recorded.push(data) }),
    clock,
    ids: { next: () => "request-1" },
    log: (level, message, fields) => logged.push({ level, message, ...fields }),
    metrics: createMetrics("test"),
  });
  return {
    logged,
    recorded,
    async send({ body = "", ...request }) {
      const response = await app({
        method: "GET",
        target: "/open",
        authorization: `Bearer ${token}`,
        contentType: "application/json",
        signal: new AbortController().signal,
        readBody: async () => Buffer.from(body),
        ...request,
      });
      return { ...response, json: JSON.parse(Buffer.from(response.body).toString()) as Record<string, unknown> };
    },
  };
}

const post = { method: "POST", target: "/echo" };
const rows: readonly { name: string; status: number; code: string; request: Parameters<Setup["send"]>[0] }[] = [
  { name: "an unknown path", status: 404, code: "HTTP_NOT_FOUND", request: { target: "/nothing" } },
  { name: "a query string", status: 404, code: "HTTP_NOT_FOUND", request: { target: "/open?x" } },
  { name: "an absolute target", status: 404, code: "HTTP_NOT_FOUND", request: { target: "http://127.0.0.1/open" } },
  { name: "a path of the object prototype", status: 404, code: "HTTP_NOT_FOUND", request: { target: "constructor" } },
  { name: "another method", status: 405, code: "HTTP_METHOD", request: { method: "DELETE" } },
  { name: "no token", status: 401, code: "HTTP_UNAUTHENTICATED", request: { ...post, authorization: undefined } },
  {
    name: "a wrong token",
    status: 401,
    code: "HTTP_UNAUTHENTICATED",
    request: { ...post, authorization: `Bearer ${"ac".repeat(32)}` },
  },
  {
    name: "a token's beginning",
    status: 401,
    code: "HTTP_UNAUTHENTICATED",
    request: { ...post, authorization: `Bearer ${token.slice(0, -1)}` },
  },
  { name: "a longer token", status: 401, code: "HTTP_UNAUTHENTICATED", request: { ...post, authorization: `Bearer ${token}a` } },
  { name: "another scheme", status: 401, code: "HTTP_UNAUTHENTICATED", request: { ...post, authorization: `Basic ${token}` } },
  {
    name: "an oversized header",
    status: 401,
    code: "HTTP_UNAUTHENTICATED",
    request: { ...post, authorization: `Bearer ${token}${" ".repeat(9000)}` },
  },
  { name: "a body where none belongs", status: 400, code: "HTTP_BODY_UNEXPECTED", request: { body: "x" } },
  {
    name: "another media type",
    status: 415,
    code: "HTTP_MEDIA_TYPE",
    request: { ...post, contentType: "text/plain", body: '{"text":"a"}' },
  },
  {
    name: "no media type",
    status: 415,
    code: "HTTP_MEDIA_TYPE",
    request: { ...post, contentType: undefined, body: '{"text":"a"}' },
  },
  {
    name: "another character set",
    status: 415,
    code: "HTTP_MEDIA_TYPE",
    request: { ...post, contentType: "application/json; charset=utf-16" },
  },
  { name: "no body", status: 400, code: "HTTP_BODY_MALFORMED", request: post },
  { name: "a duplicate key", status: 400, code: "HTTP_BODY_MALFORMED", request: { ...post, body: '{"text":"a","text":"b"}' } },
  { name: "an unknown field", status: 400, code: "HTTP_BODY_SCHEMA", request: { ...post, body: '{"text":"a","more":1}' } },
  { name: "a missing field", status: 400, code: "HTTP_BODY_SCHEMA", request: { ...post, body: "{}" } },
  {
    name: "a field that is too long",
    status: 400,
    code: "HTTP_BODY_SCHEMA",
    request: { ...post, body: '{"text":"abcdefghijk"}' },
  },
  { name: "a body of another type", status: 400, code: "HTTP_BODY_SCHEMA", request: { ...post, body: "[]" } },
  { name: "a record that cannot be written", status: 503, code: "AUDIT_UNAVAILABLE", request: { target: "/unrecorded" } },
];

describe("createApp", () => {
  for (const { name, status, code, request } of rows) {
    test(`answers ${status} ${code} to ${name}`, async () => {
      const response = await setup().send(request);
      expect(response.status).toBe(status);
      expect(response.json).toEqual({ code, message: expect.any(String), requestId: "request-1" });
      expect(response.headers).toMatchObject({ "X-Request-Id": "request-1", "Content-Type": "application/json" });
    });
  }

  test("names the allowed methods, and the scheme of the token", async () => {
    expect((await setup().send({ method: "PUT" })).headers.Allow).toBe("GET");
    expect((await setup().send({ ...post, authorization: "" })).headers["WWW-Authenticate"]).toBe("Bearer");
  });

  test("keeps what went wrong inside out of the answer and in the log", async () => {
    const { send, logged } = setup();
    const response = await send({ target: "/bug" });
    expect(response.json.code).toBe("HTTP_INTERNAL");
    expect(response.body).not.toContain("secret detail");
    expect(logged).toEqual([expect.objectContaining({ level: "error", requestId: "request-1", error: "secret detail" })]);
  });

  test("does nothing for a client that left", async () => {
    const response = await setup().send({ ...post, body: '{"text":"a"}', signal: AbortSignal.abort() });
    expect(response.json.code).toBe("HTTP_UNAVAILABLE");
  });

  test("records failed authentication, but not without end, and never locks the owner out", async () => {
    const { send, recorded } = setup();
    const statuses: number[] = [];
    for (let attempt = 0; attempt < 15; attempt += 1)
      statuses.push((await send({ ...post, authorization: "Bearer wrong" })).status);
    expect(statuses).toEqual([...Array(10).fill(401), ...Array(5).fill(429)]);
    expect(recorded).toHaveLength(10);
    expect((await send({ ...post, body: '{"text":"a"}' })).status).toBe(200);
    nowMs += 2_000;
    await send({ ...post, authorization: undefined });
    expect(recorded.at(-1)).toEqual({ reason: "token missing", unrecorded: 5 });
  });
});
