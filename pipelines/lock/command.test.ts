import { join } from "node:path";
import { expect, test } from "vitest";
import { runPlan } from "../plan-command.ts";
import { runLock } from "./command.ts";

const top = join(import.meta.dirname, "../..");

async function run(work: typeof runLock, ...args: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const io = {
    stdout: (text: string) => void out.push(text),
    stderr: (text: string) => void err.push(text),
    top,
    env: process.env,
  };
  const status = await work(args, io);
  return { status, stdout: out.join(""), stderr: err.join("") };
}

test("checking an unresolved lock is undecided, names what is open and says what to run", async () => {
  const { status, stderr } = await run(runLock, "check", "silverblue-42");
  expect(status).toBe(3);
  for (const name of ["base", "modules.nvidia", "imageBuilder", "rpms"])
    expect(stderr).toMatch(new RegExp(`silverblue-42\\.lock\\.json: ${name}: .* \\[UNRESOLVED\\]`));
  expect(stderr).toContain("run `secai lock update silverblue-42`");
});

test("the same as one JSON document", async () => {
  const { status, stdout } = await run(runLock, "check", "silverblue-44", "--json");
  expect(status).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({ schema: 1, lock: "recipes/locks/silverblue-44.lock.json" });
});

test("two locks of containers are compared image by image", async () => {
  const [old, young] = ["silverblue-42", "silverblue-44"].map((id) => `recipes/locks/${id}.lock.json`);
  const { status, stdout } = await run(runLock, "diff", old ?? "", young ?? "");
  expect(status).toBe(0);
  expect(stdout).toContain("images: 2 packages");
  expect(stdout).toContain(
    "base ghcr.io/ublue-os/silverblue-main:42@unresolved -> ghcr.io/ublue-os/silverblue-main:44@sha256:d1d10db6",
  );
});

test("a lock of a container and one of a sealed image can be compared, which says that all differs", async () => {
  const { stdout } = await run(runLock, "diff", "recipes/locks/silverblue-42.lock.json", "recipes/locks/debian-13.lock.json");
  expect(stdout).toMatch(/^images: 3 packages$/m);
});

test("the plan of an unresolved lock is a preview that says so", async () => {
  const { status, stdout } = await run(runPlan, "silverblue-42", "--json");
  expect(status).toBe(0);
  const shown = JSON.parse(stdout);
  expect(shown.unresolved.map(({ name }: { name: string }) => name)).toEqual(["base", "modules.nvidia", "imageBuilder", "rpms"]);
  expect(shown.experimental).toEqual([]);
  expect(shown.proof).toHaveLength(shown.steps.length);
  const { stdout: text } = await run(runPlan, "silverblue-42");
  expect(text).toContain("unresolved in the lock: this is a preview, run `secai lock update silverblue-42`\n  base: ");
  expect(text).toContain("\nproven where\n");
});
