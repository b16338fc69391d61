import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSession, parseHello } from "./session.ts";

let place = "";
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "secai-session-"));
});
afterAll(() => rmSync(place, { recursive: true }));

const never = new AbortController().signal;
const limits = { checkMs: 5_000, connectMs: 5_000, closeMs: 300 };

/** A stand-in for the CLI: what it does for `version` and for `session`. */
function cli(
  name: string,
  session: string,
  version = 'echo "dagger v0.21.9 (image://x) linux/amd64"',
): { kind: "cli"; program: string } {
  const program = join(place, name);
  writeFileSync(program, `#!/bin/sh\nif test "$1" = version; then ${version}; exit; fi\necho $$ > ${program}.pid\n${session}\n`);
  chmodSync(program, 0o755);
  return { kind: "cli", program };
}
const isAlive = ({ program }: { program: string }): boolean =>
  existsSync(`/proc/${readFileSync(`${program}.pid`, "utf8").trim()}`);
const hello = `echo '{"port":4711,"session_token":"canary-token"}'`;

describe("a CLI that is no use is DAGGER_CLI_FAILED", () => {
  const rows = [
    { name: "fails-version", session: hello, version: "exit 3" },
    { name: "other-program", session: hello, version: "echo hello" },
    { name: "ends-at-once", session: "echo cannot connect >&2; exit 1" },
    { name: "ends-well-but-silent", session: "exit 0" },
    { name: "no-json", session: "echo started; cat" },
    { name: "no-token", session: `echo '{"port":1}'; cat` },
    { name: "port-out-of-range", session: `echo '{"port":65536,"session_token":"t"}'; cat` },
    { name: "endless-line", session: "head -c 100000 /dev/zero | tr '\\\\0' x; cat" },
    { name: "killed", session: "kill -9 $$" },
  ];
  for (const { name, session, version } of rows)
    test(name, async () => {
      const opened = openSession(cli(name, session, version), process.env, never, limits);
      await expect(opened).rejects.toMatchObject({ code: "DAGGER_CLI_FAILED" });
    });
  test("one that cannot be executed", async () => {
    const program = join(place, "not-executable");
    writeFileSync(program, "#!/no/such/interpreter\n", { mode: 0o755 });
    await expect(openSession({ kind: "cli", program }, process.env, never, limits)).rejects.toMatchObject({
      code: "DAGGER_CLI_FAILED",
    });
  });
  test("it says what the program said last, on one line", async () => {
    const endpoint = cli("says", "printf 'one\\nno \\033[31mrunner\\n' >&2; exit 1");
    await expect(openSession(endpoint, process.env, never, limits)).rejects.toMatchObject({
      actual: expect.stringMatching(/status 1, no {1,2}\[31mrunner$/),
    });
  });
});

test("a CLI that never answers is DAGGER_DEADLINE, and is ended", async () => {
  const endpoint = cli("hangs", "exec sleep 1000");
  const opened = openSession(endpoint, process.env, never, { ...limits, connectMs: 300 });
  await expect(opened).rejects.toMatchObject({ code: "DAGGER_DEADLINE" });
  expect(isAlive(endpoint)).toBe(false);
});

test("one that ignores SIGTERM is killed", async () => {
  const endpoint = cli("deaf", `trap '' TERM; ${hello}; while :; do sleep 0.1; done`);
  const session = await openSession(endpoint, process.env, never, limits);
  await session.close();
  expect(isAlive(endpoint)).toBe(false);
});

test("stopping while it connects ends it with BUILD_CANCELLED", async () => {
  const endpoint = cli("stopped", "exec sleep 1000");
  const opened = openSession(endpoint, process.env, AbortSignal.timeout(300), limits);
  await expect(opened).rejects.toMatchObject({ code: "BUILD_CANCELLED" });
  expect(isAlive(endpoint)).toBe(false);
});

test("a good one gives port and token, and ends when it is closed, also twice", async () => {
  const endpoint = cli("good", `${hello}; exec cat`);
  const session = await openSession(endpoint, process.env, never, limits);
  expect(session).toMatchObject({ port: 4711, token: "canary-token" });
  expect(isAlive(endpoint)).toBe(true);
  await session.close();
  await session.close();
  expect(isAlive(endpoint)).toBe(false);
});

test("no error repeats the line that holds the token", () => {
  expect(() => parseHello('{"port":"x","session_token":"canary"}')).toThrow(/^(?!.*canary)/);
});
