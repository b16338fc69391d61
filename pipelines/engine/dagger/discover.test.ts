import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findEngine, isPointedAtDagger } from "./discover.ts";
import { DaggerError } from "./errors.ts";
import { parseLauncher } from "./launcher.ts";
import { parseRunnerHost } from "./runner-host.ts";

let place = "";
const socket = createServer();
const program = (folder: string, name: string): string => {
  mkdirSync(join(place, folder), { recursive: true });
  writeFileSync(join(place, folder, name), "#!/bin/sh\n");
  chmodSync(join(place, folder, name), 0o755);
  return join(place, folder, name);
};
beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), "secai-discover-"));
  program("cli", "dagger");
  program("both", "dagger");
  program("both", "podman");
  program("kube", "dagger");
  program("kube", "kubectl");
  mkdirSync(join(place, "folder", "dagger"), { recursive: true });
  writeFileSync(join(place, "plain"), "");
  await new Promise<void>((resolve) => socket.listen(join(place, "engine.sock"), resolve));
});
afterAll(() => {
  socket.close();
  rmSync(place, { recursive: true });
});
const code = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof DaggerError ? error.code : String(error);
  }
};
const paths = (...names: string[]): string => names.map((name) => join(place, name)).join(":");

describe("findEngine refuses", () => {
  const runner = "_EXPERIMENTAL_DAGGER_RUNNER_HOST";
  const rows: readonly { name: string; env: () => Record<string, string>; code: string }[] = [
    { name: "nothing at all", env: () => ({}), code: "DAGGER_NOT_FOUND" },
    { name: "a PATH without dagger", env: () => ({ PATH: paths("none") }), code: "DAGGER_NOT_FOUND" },
    { name: "a folder called dagger", env: () => ({ PATH: paths("folder") }), code: "DAGGER_NOT_FOUND" },
    { name: "a relative PATH", env: () => ({ PATH: "cli" }), code: "DAGGER_NOT_FOUND" },
    {
      name: "a named CLI that is no program",
      env: () => ({ _EXPERIMENTAL_DAGGER_CLI_BIN: join(place, "plain") }),
      code: "DAGGER_NOT_FOUND",
    },
    { name: "a port without token", env: () => ({ DAGGER_SESSION_PORT: "80" }), code: "DAGGER_SESSION_INVALID" },
    ...["0", "65536", "1e3", "-1", " 80", "80/x", "0x50"].map((port) => ({
      name: `port "${port}"`,
      env: () => ({ DAGGER_SESSION_PORT: port, DAGGER_SESSION_TOKEN: "t" }),
      code: "DAGGER_SESSION_INVALID",
    })),
    {
      name: "a token with a line end",
      env: () => ({ DAGGER_SESSION_PORT: "80", DAGGER_SESSION_TOKEN: "a\nb" }),
      code: "DAGGER_SESSION_INVALID",
    },
    { name: "a CLI without a container runtime", env: () => ({ PATH: paths("cli") }), code: "DAGGER_RUNNER_UNREACHABLE" },
    {
      name: "a socket that is not there",
      env: () => ({ PATH: paths("cli"), [runner]: "unix:///none" }),
      code: "DAGGER_RUNNER_UNREACHABLE",
    },
    {
      name: "a plain file as socket",
      env: () => ({ PATH: paths("cli"), [runner]: `unix://${place}/plain` }),
      code: "DAGGER_RUNNER_UNREACHABLE",
    },
    {
      name: "a pod without kubectl",
      env: () => ({ PATH: paths("cli"), [runner]: "kube-pod://p?namespace=n" }),
      code: "DAGGER_RUNNER_UNREACHABLE",
    },
    {
      name: "another runtime than the forced one",
      env: () => ({ PATH: paths("both"), [runner]: "image+docker://i" }),
      code: "DAGGER_RUNNER_UNREACHABLE",
    },
  ];
  for (const row of rows) test(`${row.name}: ${row.code}`, () => expect(code(() => findEngine(row.env()))).toBe(row.code));
});

describe("findEngine finds", () => {
  test("a session before any CLI", () =>
    expect(findEngine({ DAGGER_SESSION_PORT: "8080", DAGGER_SESSION_TOKEN: "t", PATH: paths("both") })).toEqual({
      kind: "session",
      port: 8080,
      token: "t",
    }));
  test("the named CLI before the one in PATH", () =>
    expect(findEngine({ _EXPERIMENTAL_DAGGER_CLI_BIN: join(place, "cli", "dagger"), PATH: paths("both") })).toEqual({
      kind: "cli",
      program: join(place, "cli", "dagger"),
    }));
  const reachable = () => [
    { PATH: paths("both") },
    { PATH: paths("cli"), _EXPERIMENTAL_DAGGER_RUNNER_HOST: `unix://${place}/engine.sock` },
    { PATH: paths("cli"), _EXPERIMENTAL_DAGGER_RUNNER_HOST: "tcp://10.0.0.1:8080" },
    { PATH: paths("cli"), _EXPERIMENTAL_DAGGER_RUNNER_HOST: "tls://[::1]:8080" },
    { PATH: paths("kube"), _EXPERIMENTAL_DAGGER_RUNNER_HOST: "kube-pod://engine-0?namespace=dagger" },
    { PATH: paths("both"), _EXPERIMENTAL_DAGGER_RUNNER_HOST: "container://dagger-engine" },
    { PATH: paths("both"), _EXPERIMENTAL_DAGGER_RUNNER_HOST: "image+podman://registry.example/engine:v0.21.9" },
  ];
  test("the CLI where the runner's address can be used", () => {
    for (const env of reachable()) expect(findEngine(env).kind, JSON.stringify(env)).toBe("cli");
  });
});

describe("parseRunnerHost", () => {
  const wrong = [
    "",
    "unix://",
    "unix://relative",
    "tcp://host",
    "tcp://host:0",
    "tls://host:65536",
    "tcp://a:b@c:1",
    "http://x",
    "kube-pod:/x",
    "image+sh://x",
    "UNIX:///x",
    "unix:///a b",
  ];
  for (const text of wrong)
    test(`refuses "${text}"`, () => expect(code(() => parseRunnerHost(text))).toBe("DAGGER_RUNNER_INVALID"));
  test("returns or throws DAGGER_RUNNER_INVALID, and never repeats the address", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseRunnerHost(`ftp://user:${text}hunter2`);
        } catch (error) {
          expect(error).toBeInstanceOf(DaggerError);
          expect((error as Error).message).not.toContain("hunter2");
        }
      }),
    );
  });
});

describe("parseLauncher", () => {
  const digest = "a".repeat(64);
  for (const text of [
    "debian:13",
    `debian@sha256:${digest.slice(1)}`,
    `debian@sha256:${digest}\n`,
    `-x@sha256:${digest}`,
    `@sha256:${digest}`,
  ])
    test(`refuses ${JSON.stringify(text)}`, () => expect(code(() => parseLauncher(text))).toBe("DAGGER_LAUNCHER_INVALID"));
  test("takes a reference with a digest, and nothing", () => {
    expect(parseLauncher(`registry.example:5000/a/b@sha256:${digest}`)).toMatchObject({ kind: "image" });
    expect(parseLauncher(undefined)).toEqual({ kind: "host" });
  });
});

test("auto means Dagger only when a variable points at one", () => {
  expect(isPointedAtDagger({ PATH: paths("both"), DAGGER_SESSION_PORT: "" })).toBe(false);
  expect(isPointedAtDagger({ _EXPERIMENTAL_DAGGER_RUNNER_HOST: "tcp://x:1" })).toBe(true);
});
