import { expect, test } from "vitest";
import { agentCommandLine } from "./addon.ts";
import { chooseScenarios, parseSuiteArguments } from "./cli.ts";
import { encodeRequest, parseResponse } from "./guest.ts";
import { withoutControl } from "./serial.ts";
import type { Scenario } from "./suite.ts";

const scenario = (id: string, smoke?: true, long?: true): Scenario => ({
  id,
  title: id,
  needs: "host",
  run: async () => {},
  ...(smoke ? { smoke } : {}),
  ...(long ? { long } : {}),
});
const all = [scenario("boot.first", true), scenario("boot.fork", undefined, true), scenario("bootx.y")];

const wrong = [
  { name: "an unknown option", argv: ["--relase", "x"] },
  { name: "an option without its value", argv: ["--json"] },
  { name: "a stray word", argv: ["boot.first"] },
  { name: "no tool root", argv: [] },
];
for (const { name, argv } of wrong) {
  test(`${name} is wrong use`, () => {
    expect(() => parseSuiteArguments(argv, {})).toThrow(expect.objectContaining({ code: "SUITE_USAGE", exit: 2 }));
  });
}

test("the tool root comes from the option or from the environment", () => {
  expect(parseSuiteArguments([], { SECAI_TOOL_ROOT: "/t" }).toolRoot).toBe("/t");
  expect(parseSuiteArguments(["--tool-root", "/u"], { SECAI_TOOL_ROOT: "/t" }).toolRoot).toBe("/u");
});

test("--only takes a scenario or a whole group, never a part of a word", () => {
  const ids = (only: string[], smoke = false, short = false): string[] =>
    chooseScenarios(all, { only, smoke, short }).map(({ id }) => id);
  expect(ids(["boot"])).toEqual(["boot.first", "boot.fork"]);
  expect(ids(["boot.fork"])).toEqual(["boot.fork"]);
  expect(ids([], true)).toEqual(["boot.first"]);
  expect(ids([], false, true)).toEqual(["boot.first", "bootx.y"]);
  expect(() => ids(["boo"])).toThrow(expect.objectContaining({ code: "SUITE_USAGE" }));
});

test("the agent's addon leaves half of the kernel's command line to the release", () => {
  expect(agentCommandLine(Buffer.alloc(4000)).length).toBeLessThan(1024);
});

test("terminal control sequences do not hide text", () => {
  expect(withoutControl("\u001b[0;31mAccess\u001b[K denied\u001b[2J\r\n")).toBe("Access denied\n");
});

test("a request carries the size of its body in bytes", () => {
  const text = encodeRequest(8500, { method: "POST", path: "/x", body: "é" }).toString();
  expect(text).toMatch(/^POST \/x HTTP\/1\.1\r\nhost: 127\.0\.0\.1:8500\r\n/);
  expect(text).toContain("content-length: 2\r\n");
});

test("what is no HTTP response is a finding about the machine", () => {
  expect(() => parseResponse(Buffer.from("SSH-2.0\r\n\r\n"))).toThrow(expect.objectContaining({ code: "CHECK_FAILED" }));
  expect(parseResponse(Buffer.from("HTTP/1.1 403 Forbidden\r\nA: b:c\r\n\r\nbody"))).toMatchObject({ status: 403, body: "body" });
});
