import { expect, test, vi } from "vitest";
import { reported } from "./reported.ts";

const written = (stream: "stdout" | "stderr"): string[] => {
  const lines: string[] = [];
  vi.spyOn(process[stream], "write").mockImplementation((text) => {
    lines.push(String(text));
    return true;
  });
  return lines;
};

test("the summary is written when the work fails, and its failure passed on", async () => {
  const lines = written("stderr");
  const failing = reported({ env: {} }, async ({ notice }) => {
    notice("a remark");
    throw new Error("no use");
  });
  await expect(failing).rejects.toThrow("no use");
  expect(lines[0]).toContain("a remark");
  expect(lines.length).toBe(2);
});

test("as JSON, events go to standard output and nothing else does", async () => {
  const [events, others] = [written("stdout"), written("stderr")];
  expect(await reported({ env: {} }, async ({ notice }) => notice("a remark"), true)).toBeUndefined();
  expect(events.map((line) => JSON.parse(line))).toEqual([
    { type: "notice", level: "info", message: "a remark", time: expect.any(String) },
  ]);
  expect(others).toEqual([]);
});

test("an interrupt of the command reaches the work; a command without one brings none", async () => {
  const { signal } = new AbortController();
  written("stderr");
  expect(await reported({ env: {}, signal }, async (run) => run.signal)).toBe(signal);
  expect(await reported({ env: {} }, async (run) => "signal" in run)).toBe(false);
});
