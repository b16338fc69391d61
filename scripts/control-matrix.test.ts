import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exampleRelease, makeKey, reportOf, type TemporaryFolder } from "./house/controls/example.test-data.ts";
import { top } from "./house/tree.ts";

const key = makeKey();
const report = reportOf("acceptance", { "boot.first": {}, "boot.fork": { outcome: "failed" } });
const matrix = (...args: string[]) =>
  spawnSync(process.execPath, ["scripts/control-matrix.ts", ...args], { cwd: top, encoding: "utf8", timeout: 25_000 });

function keyIn(folder: TemporaryFolder, { pem }: typeof key): string {
  folder.write("given.pub", pem);
  return join(folder.path, "given.pub");
}

const misused = [["--no-such"], ["--write", "--check"], ["--record", "x"], ["--key", "x"], ["--report", "x"], ["extra"]];
for (const args of misused) {
  test(`${args.join(" ")} is wrong use`, () => {
    const { status, stderr } = matrix(...args);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("CONTROLS_USAGE") });
  });
}

test("--help has examples and exit statuses", () => {
  const { status, stdout } = matrix("--help");
  expect(status).toBe(0);
  for (const text of ["Examples:", "Exit status:", "--record DIR"]) expect(stdout).toContain(text);
});

test("results are cited with the key that signed them, and refused with another", () => {
  using release = exampleRelease(key, report);
  const accepted = matrix("--results", release.path, "--key", keyIn(release, key));
  expect(accepted).toMatchObject({ status: 0, stderr: "" });
  expect(accepted.stdout).toMatch(/^\| verity \| .*\| no result of \d+ \|$/m);
  expect(accepted.stdout).toContain("Release `debian-13 0.1.0`");
  const refused = matrix("--results", release.path, "--key", keyIn(release, makeKey()));
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining("SIGNATURE_INVALID") });
});

test("a release without results is undecided", () => {
  using release = exampleRelease(key, report);
  const { status, stderr } = matrix("--results", join(release.path, "tests"), "--key", keyIn(release, key));
  expect({ status, stderr }).toEqual({ status: 3, stderr: expect.stringContaining("CONTROL_EVIDENCE_MISSING") });
});

test("the pages are as the controls, the suites and the recorded statements make them", () => {
  expect(matrix("--check")).toMatchObject({ status: 0, stderr: "" });
});
