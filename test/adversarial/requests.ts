import { randomBytes } from "node:crypto";
import { expectEqual, expectMatch, expectTrue } from "../vm/expect.ts";
import { http } from "../vm/guest.ts";
import { decide, decisionOf, POLICY_ENGINE_PORT, readToken } from "../vm/policy-engine.ts";
import type { Scenario, Test } from "../vm/suite.ts";

const REQUEST = JSON.stringify({ domain: "agent_risk", subject: "filesystem.read" });

/** Sends a request for a decision with these headers and expects a refusal with this code. */
async function refused(
  test: Test,
  headers: Readonly<Record<string, string>>,
  body: string,
  status: number,
  code: string,
): Promise<void> {
  const request = { method: "POST", path: "/api/v1/decide", headers: { "content-type": "application/json", ...headers }, body };
  const response = await http(await test.fork(), POLICY_ENGINE_PORT, request);
  expectEqual(response.status, status, "status");
  expectEqual((JSON.parse(response.body) as { code: string }).code, code, "refusal");
}

const bearer = (token: string): Readonly<Record<string, string>> => ({ authorization: `Bearer ${token}` });

export const requestScenarios: readonly Scenario[] = [
  {
    id: "token.missing",
    title: "A request without a token is refused: HTTP_UNAUTHENTICATED",
    needs: "fork",
    smoke: true,
    run: async (test) => await refused(test, {}, REQUEST, 401, "HTTP_UNAUTHENTICATED"),
  },
  {
    id: "token.wrong",
    title: "A request with a guessed token is refused: HTTP_UNAUTHENTICATED",
    needs: "fork",
    smoke: true,
    run: async (test) => await refused(test, bearer(randomBytes(32).toString("hex")), REQUEST, 401, "HTTP_UNAUTHENTICATED"),
  },
  {
    id: "token.near-miss",
    title: "The right token with one digit changed, cut or appended is refused, and guessing is slowed down: HTTP_RATE_LIMITED",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const token = await readToken(machine);
      const last = token.endsWith("0") ? "1" : "0";
      const near = [
        `${token.slice(0, -1)}${last}`,
        token.slice(0, -1),
        `${token}0`,
        token.toUpperCase() === token ? `${token} ` : token.toUpperCase(),
      ];
      for (const guess of near)
        expectEqual((await decide(machine, guess, REQUEST)).status, 401, `a token of ${guess.length} characters`);
      const flood = await Promise.all(Array.from({ length: 20 }, () => decide(machine, "0".repeat(64), REQUEST)));
      expectTrue(
        flood.some(({ status, body }) => status === 429 && /HTTP_RATE_LIMITED/.test(body)),
        "429 HTTP_RATE_LIMITED",
        flood.map(({ status }) => status).join(" "),
      );
      expectEqual(decisionOf(await decide(machine, token, REQUEST)).decision, "allow", "the owner's own request meanwhile");
    },
  },
  {
    id: "token.oversized",
    title: "A token of several kilobytes is refused: HTTP_UNAUTHENTICATED",
    needs: "fork",
    run: async (test) => await refused(test, bearer("a".repeat(6000)), REQUEST, 401, "HTTP_UNAUTHENTICATED"),
  },
  {
    id: "request.oversized",
    title: "A body over the limit is refused: HTTP_BODY_TOO_LARGE",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const response = await decide(
        machine,
        await readToken(machine),
        JSON.stringify({ domain: "x", subject: "y".repeat(70_000) }),
      );
      expectEqual(response.status, 413, "status");
      expectMatch(response.body, /HTTP_BODY_TOO_LARGE/, "refusal");
    },
  },
  {
    id: "request.malformed",
    title: "Bodies that are not the documented JSON never allow anything: HTTP_BODY_*",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const token = await readToken(machine);
      const bodies = [
        "",
        "{",
        "[]",
        "null",
        '{"domain":"agent_risk"}',
        '{"domain":"agent_risk","subject":"filesystem.read","x":1}',
      ];
      const twice = '{"domain":"agent_risk","subject":"change_security","subject":"filesystem.read"}';
      for (const body of [...bodies, twice, `{"__proto__":{},"domain":"agent_risk","subject":"filesystem.read"}`]) {
        const response = await decide(machine, token, body);
        expectEqual(response.status, 400, `status for ${body}`);
        expectMatch(response.body, /"code":"HTTP_/, body);
      }
    },
  },
  {
    id: "request.paths",
    title: "Paths that climb out of what is allowed are denied",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const token = await readToken(machine);
      const inside = "/var/lib/secure-ai/vault/user_docs";
      const climbing = [
        "/../../credentials/policy-engine.token",
        "/%2e%2e/x/../../../../../etc/shadow",
        "/./../../../../../../etc/shadow",
        "/..\\..\\x/../../../../../etc/shadow",
      ];
      for (const path of [
        ...climbing.map((tail) => inside + tail),
        "/etc/shadow",
        "//etc/shadow",
        `${inside}-other/x`,
        "",
        "relative/x",
      ]) {
        const response = await decide(machine, token, { domain: "path_access", subject: path, action: "read" });
        if (response.status === 200) expectEqual(decisionOf(response).decision, "deny", path);
        else expectEqual(response.status, 400, path);
      }
      const allowed = await decide(machine, token, { domain: "path_access", subject: `${inside}/a.txt`, action: "read" });
      expectEqual(decisionOf(allowed).decision, "allow", "a path inside, as a control");
    },
  },
  {
    id: "request.http-paths",
    title: "Paths of the HTTP interface outside its table are refused: HTTP_NOT_FOUND",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const token = await readToken(machine);
      for (const path of [
        "/../etc/shadow",
        "/health/../../etc/passwd",
        "/api/v1/decide/",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1//decide",
        "/HEALTH",
      ]) {
        const response = await http(machine, POLICY_ENGINE_PORT, { path, headers: bearer(token) });
        expectEqual(response.status, 404, path);
        expectMatch(response.body, /HTTP_NOT_FOUND/, path);
      }
    },
  },
  {
    id: "request.slow",
    title: "A client that sends its request byte by byte loses its connection and delays nobody",
    needs: "fork",
    async run(test) {
      const machine = await test.fork();
      const start = "printf 'GET /health HTTP/1.1\\r\\nHost: 127.0.0.1:8500\\r\\nX: ' >&5";
      const drip = "while printf x >&5 2>/dev/null; do sleep 0.5; [ $SECONDS -lt 45 ] || exit 1; done";
      const slow = machine.run(`exec 5<>/dev/tcp/127.0.0.1/8500; ${start}; ${drip}`, { timeoutMs: 60_000 });
      expectEqual((await http(machine, POLICY_ENGINE_PORT, { path: "/health" })).status, 200, "another client");
      expectEqual((await slow).exitCode, 0, "the slow client's connection to be closed within 45 s");
    },
  },
];
