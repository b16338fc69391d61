import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256 } from "../../../attest/formats/digest.ts";
import type { DaggerEngineOptions } from "../../../pipelines/engine/dagger/dagger.ts";
import { daggerEngine, sessionEnv } from "./dagger-engine.ts";
import { type ServerOptions, startDaggerServer } from "./dagger-server/server.ts";
import { collectEvents, output, planOf, ranSteps, scriptStep, type Workspace, withWorkspace } from "./fixture.ts";
import { makeHostTools } from "./host-tools.ts";
import { localEngine } from "./local-engine.ts";

const run = promisify(execFile);
let tools = "";
beforeAll(async () => {
  tools = await mkdtemp(join(tmpdir(), "secai-host-tools-"));
  await makeHostTools(tools);
});
afterAll(() => rm(tools, { recursive: true, force: true }));

const plain = planOf([scriptStep("a", "echo made > /out/result")]);

interface More extends Pick<Partial<DaggerEngineOptions>, "stepLimitMs"> {
  /** false: steps that ask for the host's tools run on this machine. */
  readonly ownTools?: false;
}

/** Builds over a session server of its own. */
async function over(options: ServerOptions, workspace: Workspace, plan = plain, more: More = {}) {
  const server = await startDaggerServer(options);
  const { events, report } = collectEvents();
  try {
    const engine = daggerEngine(workspace, {
      env: sessionEnv(server),
      ...(more.ownTools === false ? {} : { hostToolsPath: tools }),
      ...(more.stepLimitMs === undefined ? {} : { stepLimitMs: more.stepLimitMs }),
    });
    const result = await engine.run(plan, { report }).catch((error: { code?: string }) => error);
    return { events, result, queries: server.queries, code: "code" in result ? result.code : undefined };
  } finally {
    await server.close();
  }
}

describe("a runner that cannot be trusted with a step", () => {
  const without = (flag: string) => (args: readonly string[]) => args.filter((arg) => arg !== flag);
  const rows = [
    { name: "leaves the network on", options: { tamper: without("--unshare-net") }, code: "DAGGER_SANDBOX_OPEN" },
    {
      name: "grants capabilities",
      options: { tamper: (args: readonly string[]) => args.map((arg) => (arg === "--cap-drop" ? "--cap-add" : arg)) },
      code: "DAGGER_SANDBOX_OPEN",
    },
    {
      name: "leaves the tools writable",
      options: { tamper: (args: readonly string[]) => writable(args) },
      code: "DAGGER_SANDBOX_OPEN",
    },
    {
      name: "has no bubblewrap",
      options: { tamper: (args: readonly string[]) => args.map((arg) => (arg === "bwrap" ? "no-bwrap" : arg)) },
      code: "DAGGER_SANDBOX_UNAVAILABLE",
    },
    { name: "has another platform", options: { platform: "linux/riscv64" }, code: "DAGGER_PLATFORM" },
    {
      name: "answers a platform that lies with control characters",
      options: { platform: "linux/\u001b[2J" },
      code: "DAGGER_PLATFORM",
    },
  ];
  for (const { name, options, code } of rows)
    test(`one that ${name} is ${code}, before any step is sent`, () =>
      withWorkspace(async (workspace) => {
        const made = await over(options, workspace);
        expect(made.code).toBe(code);
        expect(ranSteps(made.events)).toEqual([]);
        expect(made.queries.some((query) => query.includes("SECAI_STEP"))).toBe(false);
      }));

  test("one that spoils what it is sent is refused", () =>
    withWorkspace(async (workspace) => {
      const tamper = (args: readonly string[]) => args.map((arg) => (/^[0-9a-f]{64}$/.test(arg) ? "0".repeat(64) : arg));
      expect((await over({ tamper }, workspace)).code).toBe("DAGGER_QUERY_FAILED");
      expect(await readdir(join(workspace.cacheDir, "tmp"))).toEqual([]);
    }));
});

function writable(args: readonly string[]): readonly string[] {
  const index = args.indexOf("--remount-ro");
  return index < 0 ? args : args.toSpliced(index, 2);
}

describe("a session that breaks", () => {
  test("in the middle of a step is DAGGER_CONNECTION_LOST", () =>
    withWorkspace(async (workspace) => {
      const before = async (query: string) => {
        if (query.includes("SECAI_STEP")) throw new Error("break");
      };
      expect((await over({ before }, workspace)).code).toBe("DAGGER_CONNECTION_LOST");
    }));
  test("or holds its answer is DAGGER_DEADLINE", () =>
    withWorkspace(async (workspace) => {
      const before = async (query: string) => {
        if (query.includes("SECAI_STEP")) await new Promise((resolve) => setTimeout(resolve, 3_000));
      };
      expect((await over({ before }, workspace, plain, { stepLimitMs: 2_000 })).code).toBe("DAGGER_DEADLINE");
    }));
  test("or was never there is DAGGER_CONNECTION_LOST", () =>
    withWorkspace(async (workspace) => {
      const engine = daggerEngine(workspace, { env: sessionEnv({ port: 1, token: "t" }), hostToolsPath: tools });
      await expect(engine.run(plain, { report: () => {} })).rejects.toMatchObject({ code: "DAGGER_CONNECTION_LOST" });
    }));
  test("or refuses the token is DAGGER_QUERY_FAILED", () =>
    withWorkspace(async (workspace) => {
      const server = await startDaggerServer();
      try {
        const engine = daggerEngine(workspace, { env: sessionEnv({ ...server, token: "other" }), hostToolsPath: tools });
        await expect(engine.run(plain, { report: () => {} })).rejects.toMatchObject({ code: "DAGGER_QUERY_FAILED" });
      } finally {
        await server.close();
      }
    }));
  const answers = [
    { name: "no JSON", body: "<html>", status: 200 },
    { name: "a status that is none", body: "", status: 999 },
    { name: "an empty answer", body: "{}", status: 200 },
    { name: "an answer of another shape", body: '{"data":{"version":{"x":1,"y":2}}}', status: 200 },
    { name: "null", body: "null", status: 200 },
  ];
  for (const { name, body, status } of answers)
    test(`or answers with ${name} is DAGGER_QUERY_FAILED`, () =>
      withWorkspace(async (workspace) => {
        const server = createServer(
          (_, response) => void response.writeHead(status, { "content-type": "application/json" }).end(body),
        );
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        try {
          const { port } = server.address() as AddressInfo;
          const engine = daggerEngine(workspace, { env: sessionEnv({ port, token: "t" }), hostToolsPath: tools });
          await expect(engine.run(plain, { report: () => {} })).rejects.toMatchObject({ code: "DAGGER_QUERY_FAILED" });
        } finally {
          server.close();
        }
      }));
});

test("no query, event or error holds a secret", () =>
  withWorkspace(async (workspace) => {
    const canary = `canary-${process.pid}-secret`;
    await writeFile(join(workspace.keys, "k.key"), canary, { mode: 0o600 });
    const secrets = { "/secrets/k": { name: "k.key", identity: sha256("public half") } };
    const good = planOf([scriptStep("sign", "wc -c < /secrets/k > /out/result", { secrets })]);
    const bad = planOf([scriptStep("sign", "test ! -s /secrets/k", { secrets })]);
    for (const plan of [good, bad]) {
      const { queries, events, result } = await over({}, workspace, plan);
      expect(queries.some((query) => query.includes("withMountedSecret"))).toBe(true);
      expect(JSON.stringify([queries, events, result])).not.toContain(canary);
    }
  }));

describe("beside the local engine", () => {
  const copyTools = `mkdir -p /out/root/usr/bin; cp /bin/dash /out/root/usr/bin/sh; ln -s usr/bin /out/root/bin;
    for lib in $(ldd /bin/dash | grep -o '/lib[^ ]*'); do mkdir -p /out/root$(dirname $lib); cp $lib /out/root$lib; done`;
  const inside = { tools: output("root", "root") };
  const plan = planOf([
    scriptStep("root", copyTools, { made: ["root/"] }),
    scriptStep("first", "echo first > /out/result", inside),
    scriptStep("second", 'read line < /in/first; echo "$line second" > /out/result', {
      ...inside,
      inputs: { "/in/first": output("first") },
    }),
  ]);

  test("host tools are used where they are, and keys, digests and caches are the same", () =>
    withWorkspace(async (workspace) =>
      withWorkspace(async (other) => {
        const { result } = await over({}, workspace, plan, { ownTools: false });
        if (!("records" in result)) throw new Error(String(result));
        expect(result.records.map(({ engine }) => engine)).toEqual(["local", "dagger", "dagger"]);
        const here = await localEngine(other).run(plan, { report: () => {} });
        const identity = (records: typeof here.records) =>
          records.map(({ id, key, inputs, outputs }) => ({ id, key, inputs, outputs }));
        expect(identity(result.records)).toEqual(identity(here.records));
        const { events, report } = collectEvents();
        await localEngine(workspace).run(plan, { report });
        expect(ranSteps(events)).toEqual([]);
      }),
    ));

  test("a build from the cache asks the session nothing", () =>
    withWorkspace(async (workspace) => {
      await localEngine(workspace).run(plan, { report: () => {} });
      const { queries, events } = await over({}, workspace, plan, { ownTools: false });
      expect({ queries, ran: ranSteps(events) }).toEqual({ queries: [], ran: [] });
    }));
});

test("a launcher image is asked for by its digest", () =>
  withWorkspace(async (workspace) => {
    const image = `registry.example/launcher@sha256:${"a".repeat(64)}`;
    const env = (server: { port: number; token: string }) => ({ ...sessionEnv(server), SECAI_DAGGER_LAUNCHER: image });
    const server = await startDaggerServer({ images: new Map([["registry.example/other", tools]]) });
    try {
      const engine = daggerEngine(workspace, { env: env(server), hostToolsPath: tools });
      await expect(engine.run(plain, { report: () => {} })).rejects.toMatchObject({ code: "DAGGER_QUERY_FAILED" });
      expect(server.queries.some((query) => query.includes(image))).toBe(true);
    } finally {
      await server.close();
    }
  }));

test("a broken CLI ends a build with its own error, not the process", async () => {
  const program = join(import.meta.dirname, "dagger-child.ts");
  for (const cli of ["/bin/false", "/bin/true", "/bin/cat"]) {
    const env = {
      PATH: process.env.PATH ?? "",
      _EXPERIMENTAL_DAGGER_CLI_BIN: cli,
      _EXPERIMENTAL_DAGGER_RUNNER_HOST: "tcp://127.0.0.1:1",
    };
    const { stdout } = await run(process.execPath, [program, tools], { env });
    expect(JSON.parse(stdout)).toEqual({ code: "DAGGER_CLI_FAILED" });
  }
});
