import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { isThere, readLiving } from "./runtime-procfs.ts";

test("what was read of a process that ended meanwhile does not count; the next one's does", () => {
  const living = new Set([1, 2, 3]);
  const read = (pid: number) => {
    if (pid === 1) living.delete(1);
    return `seen by ${pid}`;
  };
  expect(readLiving([1, 2, 3], read, (pid) => living.has(pid))).toBe("seen by 2");
});
test("of a namespace whose processes have all ended nothing is left to say", () => {
  expect(
    readLiving(
      [1, 2],
      () => "half",
      () => false,
    ),
  ).toBeUndefined();
  expect(readLiving([], () => "half")).toBeUndefined();
});
test("a process is there until it has ended", async () => {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  expect(isThere(pid)).toBe(true);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(isThere(pid)).toBe(false);
});
