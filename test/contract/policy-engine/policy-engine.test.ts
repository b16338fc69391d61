import { createHash } from "node:crypto";
import { appendFile, chmod, cp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { decisionAnswer } from "@secai/policy-engine/api";
import { policyDigest } from "@secai/policy-engine/policy";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Bundles, buildBundles } from "./bundle.ts";
import { confinedRuntime, type Runtime, sourceRuntime } from "./runtime.ts";
import {
  type Answer,
  type AuditLine,
  type Call,
  createHome,
  type Home,
  type Options,
  refusedStart,
  type Service,
  startService,
} from "./service.ts";

let bundles: Bundles;
beforeAll(() => {
  bundles = buildBundles();
});
afterAll(() => rm(bundles.folder, { recursive: true }));

let home: Home;
let services: Service[];
beforeEach(async () => {
  home = await createHome();
  services = [];
});
afterEach(async () => {
  for (const service of services) await service.end("SIGKILL");
  await home.remove();
});

const docs = "/var/lib/secure-ai/vault/user_docs";
const read = { domain: "path_access", subject: `${docs}/a.txt`, action: "read" };
const runtimes: readonly (readonly [string, () => Runtime])[] = [
  ["source", () => sourceRuntime],
  ["bundle under Landlock on the image's Node", () => confinedRuntime(bundles)],
];

describe.each(runtimes)("%s", (_name, runtime) => {
  async function start(options?: Options): Promise<Service> {
    const service = await startService(runtime(), home, options);
    services.push(service);
    return service;
  }

  const post = { method: "POST", path: "/api/v1/decide" };
  const refusals: readonly { name: string; status: number; code: string; call: Call }[] = [
    {
      name: "no token",
      status: 401,
      code: "HTTP_UNAUTHENTICATED",
      call: { path: "/api/v1/stats", headers: { authorization: undefined } },
    },
    {
      name: "a wrong token",
      status: 401,
      code: "HTTP_UNAUTHENTICATED",
      call: { ...post, body: "{}", headers: { authorization: "Bearer x" } },
    },
    {
      name: "a long token",
      status: 401,
      code: "HTTP_UNAUTHENTICATED",
      call: { path: "/metrics", headers: { authorization: `Bearer ${"a".repeat(9000)}` } },
    },
    { name: "another method", status: 405, code: "HTTP_METHOD", call: { method: "POST", path: "/health", body: "" } },
    { name: "an unknown path", status: 404, code: "HTTP_NOT_FOUND", call: { path: "/api/v2/decide" } },
    {
      name: "another media type",
      status: 415,
      code: "HTTP_MEDIA_TYPE",
      call: { ...post, body: "{}", headers: { "content-type": "text/plain" } },
    },
    { name: "a huge body", status: 413, code: "HTTP_BODY_TOO_LARGE", call: { ...post, body: `"${"a".repeat(1 << 20)}"` } },
    {
      name: "a huge body without a length",
      status: 413,
      code: "HTTP_BODY_TOO_LARGE",
      call: { ...post, body: `"${"a".repeat(70_000)}"`, headers: { "transfer-encoding": "chunked" } },
    },
    {
      name: "a duplicate key",
      status: 400,
      code: "HTTP_BODY_MALFORMED",
      call: { ...post, body: '{"domain":"egress","domain":"x","subject":"y"}' },
    },
    {
      name: "an unknown field",
      status: 400,
      code: "HTTP_BODY_SCHEMA",
      call: { ...post, body: '{"domain":"egress","subject":"y","admin":true}' },
    },
    {
      name: "an unknown session mode",
      status: 400,
      code: "HTTP_BODY_SCHEMA",
      call: { ...post, body: '{"domain":"egress","subject":"y","session_mode":"free"}' },
    },
    {
      name: "a parameter that is no text",
      status: 400,
      code: "HTTP_BODY_SCHEMA",
      call: { ...post, body: '{"domain":"tool_access","subject":"y","params":{"path":1}}' },
    },
  ];

  test("refuses by name over the wire, and goes on serving", async () => {
    const service = await start();
    for (const { name, status, code, call } of refusals) {
      const answer = await service.call(call);
      expect([name, answer.status, answer.json?.code]).toEqual([name, status, code]);
      expect(answer.json).toEqual({ code, message: expect.any(String), requestId: answer.headers["x-request-id"] });
    }
    expect((await service.decide(read)).json?.decision).toBe("allow");
    expect(
      (await raw(service.port, `GET /health HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(20_000)}\r\n\r\n`)).split("\r\n")[0],
    ).toContain("431");
    expect((await raw(service.port, "GET /health HTTP/1.1\r\n\r\n")).split("\r\n")[0]).toContain("400");
    const failures = (await home.auditRecords()).filter(({ type }) => type === "authentication_failed");
    expect(failures.map(({ data }) => data.reason)).toEqual(["token missing", "token wrong", "token missing"]);
  });

  test("decides in every domain, with evidence that can be checked, and records it", async () => {
    const service = await start();
    const decisions: readonly (readonly [string, Record<string, unknown>])[] = [
      ["deny tools.deny.shell.exec", { domain: "tool_access", subject: "shell.exec" }],
      ["allow tools.allow.filesystem.read", { domain: "tool_access", subject: "filesystem.read", params: { path: `${docs}/a` } }],
      [
        "deny tools.allow.filesystem.read.paths_allowlist",
        { domain: "tool_access", subject: "filesystem.read", params: { path: `${docs}/../../x` } },
      ],
      ["allow agent.workspace.readable", read],
      ["deny defaults.network.egress_deny", { domain: "egress", subject: "https://example.org/" }],
      ["ask agent.hard_approval.export_data", { domain: "agent_risk", subject: "export_data" }],
      [
        "deny session_mode.offline_only.deny_actions.export_data",
        { domain: "agent_risk", subject: "export_data", session_mode: "offline_only" },
      ],
      ["deny sensitivity.exceeded", { domain: "sensitivity", subject: "high", params: { ceiling: "low" } }],
      ["allow models.allowed_formats.gguf", { domain: "model_promotion", subject: "m", params: { format: "GGUF" } }],
      ["deny unknown_domain", { domain: "other", subject: "x\ny" }],
    ];
    const digest = policyDigest({ policy: await readFile(home.policyPath), agent: await readFile(home.agentPath) });
    for (const [expected, request] of decisions) {
      const { status, json, headers } = await service.decide(request);
      if (status !== 200 || !decisionAnswer.is(json)) throw new Error(`not a decision: ${JSON.stringify(json)}`);
      expect(`${json.decision} ${json.evidence.rule_id}`).toBe(expected);
      expect(json.evidence).toMatchObject({ domain: request.domain, policy_digest: digest });
      const record = (await home.auditRecords()).at(-1);
      expect(record).toMatchObject({
        type: "decision",
        data: { decision: json.decision, evidence: json.evidence, request_id: headers["x-request-id"] },
      });
    }
    expect((await service.call({ path: "/health", headers: { authorization: undefined } })).json).toEqual({
      status: "ok",
      policy_digest: digest,
    });
    expect((await service.call({ path: "/ready", headers: { authorization: undefined } })).json).toEqual({ status: "ready" });
    expect((await service.call({ path: "/api/v1/digest" })).json).toEqual({ policy_digest: digest });
    const { head } = await home.verify();
    expect((await service.call({ path: "/api/v1/stats" })).json).toEqual({
      ...{ policy_digest: digest, tools_allow: 3, tools_deny: 4, total_requests: 10, allowed: 3, denied: 6, ask: 1 },
      ...{ audit_seq: head.seq, audit_head: head.mac },
    });
    expect((await service.call({ path: "/metrics" })).text).toContain('policy_engine_decisions_total{decision="ask"} 1\n');
  });

  test("the input hash is that of the request, however it is written", async () => {
    const service = await start();
    const hash = createHash("sha256").update('{"domain":"egress","subject":"x"}').digest("hex").slice(0, 16);
    for (const body of ['{"domain":"egress","subject":"x"}', '{ "subject" : "\\u0078", "domain":"egress"}']) {
      expect((await service.call({ ...post, body })).json).toMatchObject({ evidence: { input_hash: hash } });
    }
  });

  test("keeps the policy's rate limit of tool calls, and only of those", async () => {
    const service = await start();
    const call = { domain: "tool_access", subject: "shell.exec" };
    const answers = await Promise.all(Array.from({ length: 40 }, () => service.decide(call)));
    const ids = answers.map(({ json }) => (decisionAnswer.is(json) ? json.evidence.rule_id : "none"));
    expect(ids.filter((id) => id === "tools.deny.shell.exec").length).toBeGreaterThanOrEqual(20);
    expect(ids).toContain("tools.rate_limit");
    expect((await service.decide(read)).json?.decision).toBe("allow");
  });

  test("a reload takes both files or none, and is on record either way", async () => {
    const service = await start();
    const digest = async (): Promise<unknown> => (await service.call({ path: "/api/v1/digest" })).json?.policy_digest;
    const reload = (): Promise<Answer> => service.call({ method: "POST", path: "/api/v1/reload" });
    const before = await digest();
    const [policy, agent] = [await readFile(home.policyPath, "utf8"), await readFile(home.agentPath, "utf8")];

    await writeFile(home.policyPath, policy.replace("    - name: shell.exec\n", ""));
    await writeFile(home.agentPath, agent.replace("version: 1", "version: 1\nunknown: key"));
    expect(await reload()).toMatchObject({ status: 500, json: { code: "POLICY_RELOAD_FAILED" } });
    expect(await digest()).toBe(before);
    expect((await service.decide({ domain: "tool_access", subject: "shell.exec" })).json).toMatchObject({
      evidence: { rule_id: "tools.deny.shell.exec" },
    });

    await writeFile(home.agentPath, agent);
    const reloaded = await reload();
    expect(reloaded).toMatchObject({ status: 200, json: { status: "reloaded" } });
    expect(await digest()).toBe(reloaded.json?.policy_digest);
    expect((await service.decide({ domain: "tool_access", subject: "shell.exec" })).json).toMatchObject({
      evidence: { rule_id: "tools.default_deny" },
    });

    await rm(home.policyPath);
    expect(await reload()).toMatchObject({ status: 500, json: { code: "POLICY_RELOAD_FAILED" } });
    const changes = (await home.auditRecords()).filter(({ type }) => type.startsWith("policy_"));
    expect(changes.map(({ type }) => type)).toEqual(["policy_refused", "policy_replaced", "policy_refused"]);
  });

  for (const { signal, status } of [
    { signal: "SIGTERM", status: 0 },
    { signal: "SIGKILL", status: "SIGKILL" },
  ] as const) {
    test(`${signal} under load loses no decision that was answered`, async () => {
      const service = await start();
      const load = Promise.allSettled(Array.from({ length: 200 }, () => service.decide(read)));
      await service.decide(read);
      const ended = await service.end(signal);
      // Under the sandbox a killed service shows as the sandbox's own exit status 128 + 9.
      expect([status, 137]).toContain(ended);
      const answered = (await load).flatMap((result) =>
        result.status === "fulfilled" && result.value.status === 200 ? [result.value] : [],
      );
      await home.verify();
      const recorded = new Set((await readWhole(home)).map(({ data }) => data.request_id));
      expect(answered.filter(({ headers }) => !recorded.has(String(headers["x-request-id"])))).toEqual([]);
      if (signal === "SIGTERM") expect((await home.auditRecords()).at(-1)?.type).toBe("stopped");

      const again = await start();
      expect((await again.decide(read)).status).toBe(200);
      await again.end("SIGTERM");
      await home.verify();
    });
  }

  test("a decision that cannot be recorded is none", async () => {
    // A file size limit stands in for a full disk: 8 KiB, which is just what the anchor needs.
    const service = await start({ prefix: ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh"] });
    const answers: Answer[] = [];
    while (answers.at(-1)?.status !== 503 && answers.length < 100) answers.push(await service.decide(read));
    expect(answers.at(-1)).toMatchObject({ status: 503, json: { code: "AUDIT_UNAVAILABLE" } });
    expect((await service.call({ path: "/ready" })).json?.code).toBe("AUDIT_UNAVAILABLE");
    expect((await service.call({ path: "/health" })).status).toBe(200);
    const recorded = (await readWhole(home)).filter(({ type }) => type === "decision");
    expect(recorded).toHaveLength(answers.filter(({ status }) => status === 200).length);
    expect(await service.end("SIGTERM")).toBe(0);
    await home.verify();
  });

  const edit = async (path: string, change: (text: string) => string): Promise<void> =>
    writeFile(path, change(await readFile(path, "latin1")), "latin1");
  const tampering: readonly { name: string; code: string; attack: () => Promise<unknown> }[] = [
    {
      name: "an edited decision",
      code: "AUDIT_MAC",
      attack: () => edit(home.logPath, (text) => text.replace('"decision":"deny"', '"decision":"allow"')),
    },
    {
      name: "a removed decision",
      code: "AUDIT_CHAIN_BROKEN",
      attack: () => edit(home.logPath, (text) => text.replace(/.*"decision":"deny".*\n/, "")),
    },
    {
      name: "a cut log",
      code: "AUDIT_TRUNCATED",
      attack: () => edit(home.logPath, (text) => text.split("\n").slice(0, 3).join("\n")),
    },
    { name: "a deleted log", code: "AUDIT_MISSING", attack: () => rm(home.logPath) },
    { name: "a deleted anchor", code: "AUDIT_MISSING", attack: () => rm(home.anchorPath) },
  ];
  test("does not start on an audit log that was tampered with", async () => {
    const service = await start();
    await service.decide({ domain: "other", subject: "x" });
    await service.decide(read);
    await service.end("SIGTERM");
    const [log, anchor] = [await readFile(home.logPath), await readFile(home.anchorPath)];
    for (const { name, code, attack } of tampering) {
      await attack();
      expect([name, await refusedStart(runtime(), home)]).toEqual([
        name,
        { status: 1, code, error: expect.any(String), listened: false },
      ]);
      await expect(home.verify()).rejects.toMatchObject({ code });
      await writeFile(home.logPath, log);
      await writeFile(home.anchorPath, anchor);
    }
    await appendFile(home.logPath, '{"torn');
    const repaired = await start();
    expect((await home.auditRecords()).map(({ type }) => type)).toContain("repaired");
    await repaired.end("SIGTERM");
  });

  const preconditions: readonly {
    name: string;
    status: number;
    code: string;
    prepare?: () => Promise<unknown>;
    env?: Record<string, string>;
  }[] = [
    { name: "no token", status: 2, code: "CREDENTIAL_MISSING", prepare: () => rm(home.tokenPath) },
    { name: "an oversized token", status: 1, code: "CREDENTIAL_MALFORMED", prepare: () => appendFile(home.tokenPath, "0") },
    { name: "a token that all can read", status: 1, code: "CREDENTIAL_MALFORMED", prepare: () => chmod(home.tokenPath, 0o644) },
    { name: "an address that others can reach", status: 2, code: "ADDRESS_NOT_LOCAL", env: { BIND_ADDR: "0.0.0.0:0" } },
    { name: "no policy", status: 2, code: "FILE_UNREADABLE", prepare: () => rename(home.policyPath, `${home.policyPath}.gone`) },
    {
      name: "an unknown key in the policy",
      status: 2,
      code: "CONFIG_SCHEMA",
      prepare: () => appendFile(home.policyPath, "\nextra: 1\n"),
    },
    {
      name: "a directory in the policy's place",
      status: 2,
      code: "FILE_UNREADABLE",
      prepare: () => rm(home.policyPath).then(() => cp(join(home.path, "credentials"), home.policyPath, { recursive: true })),
    },
  ];
  for (const { name, status, code, prepare, env = {} } of preconditions) {
    test(`does not listen with ${name}`, async () => {
      await prepare?.();
      expect(await refusedStart(runtime(), home, { env })).toEqual({ status, code, error: expect.any(String), listened: false });
    });
  }
});

describe("the confinement of the unit", () => {
  test("a policy outside the declared folders cannot be read, whoever points there", async () => {
    await cp(join(home.path, "policy"), join(home.path, "elsewhere"), { recursive: true });
    const env = { POLICY_PATH: join(home.path, "elsewhere/policy.yaml") };
    expect(await refusedStart(confinedRuntime(bundles), home, { env })).toMatchObject({
      status: 2,
      code: "FILE_UNREADABLE",
      error: expect.stringContaining("EACCES"),
    });
  });

  test("a bundle that is not the sealed one does not run", async () => {
    const other = join(home.path, "lib");
    await cp(bundles.lib, other, { recursive: true });
    await appendFile(join(other, "services/policy-engine.mjs"), "\n");
    expect(await refusedStart(confinedRuntime({ ...bundles, lib: other }), home)).toMatchObject({
      status: 1,
      code: "BUNDLE_DIGEST",
      listened: false,
    });
  });
});

/** The records of the log without a torn last line. */
async function readWhole(from: Home): Promise<AuditLine[]> {
  const text = await readFile(from.logPath, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1).trimEnd();
  return whole.split("\n").map((line) => JSON.parse(line) as AuditLine);
}

/** Sends bytes that no HTTP client would and returns what comes back. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: "127.0.0.1", port }, () => socket.end(text));
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks).toString()));
    socket.on("error", reject);
  });
}
