import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runRecipe } from "./command.ts";

const repository = join(import.meta.dirname, "../..");
let wrong: string;

beforeAll(async () => {
  wrong = await mkdtemp(join(tmpdir(), "secai-recipe-command-"));
  await mkdir(join(wrong, "recipes"));
  await writeFile(join(wrong, "recipes/bad.yaml"), "shcema: 1\n");
});
afterAll(() => rm(wrong, { recursive: true }));

async function run(
  top: string,
  ...args: string[]
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const io = { stdout: (text: string) => void out.push(text), stderr: (text: string) => void err.push(text), top, env: {} };
  const status = await runRecipe(args, io);
  return { status, stdout: out.join(""), stderr: err.join("") };
}

test("check: 0 and silence on standard output for a good recipe", async () => {
  expect(await run(repository, "check", "debian-13")).toMatchObject({ status: 0, stdout: "" });
});

test("check: 2 and the place for a bad one, and one JSON document when asked", async () => {
  const { status, stdout, stderr } = await run(wrong, "check", "recipes/bad.yaml", "--json");
  expect(status).toBe(2);
  expect(stderr).toContain('recipes/bad.yaml:1:1: shcema: unknown key; did you mean "schema"?');
  expect(JSON.parse(stdout)).toMatchObject({
    schema: 1,
    recipes: [{ recipe: "recipes/bad.yaml", mistakes: [{ code: "KEY_UNKNOWN", line: 1 }] }],
  });
});

test("show: the merged recipe, as YAML or JSON", async () => {
  expect((await run(repository, "show")).stdout).toContain("# from recipes/fragments/hardening.yaml");
  expect(JSON.parse((await run(repository, "show", "debian-13", "--json")).stdout)).toMatchObject({
    id: "debian-13",
    base: { kind: "debian" },
  });
  await expect(run(wrong, "show", "bad")).rejects.toMatchObject({ code: "RECIPE_INVALID" });
});

test("help is 0, an unknown verb 2, an unknown flag an error of use", async () => {
  expect(await run(repository, "--help")).toMatchObject({ status: 0, stderr: "" });
  expect(await run(repository, "chekc")).toMatchObject({ status: 2, stdout: "" });
  await expect(run(repository, "check", "--jsno")).rejects.toMatchObject({ code: "ERR_PARSE_ARGS_UNKNOWN_OPTION" });
});
