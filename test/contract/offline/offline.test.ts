import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { top } from "../../../scripts/house/tree.ts";
import { makeKeys, makeRelease } from "../release/fixture.ts";
import { flip } from "../release/forge.ts";
import { makeSingleFile, type Network, type Ran, runApart } from "./single-file.ts";

// The one file that ships, on the image's Node, where there is no network, no repository and no module to load.

const folder = mkdtempSync(join(tmpdir(), "secai-offline-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const run = (argv: readonly string[], network: Network = "nothing"): Ran => runApart(folder, argv, network);
const verify = (...args: string[]): Ran => run(["node", at("secai-verify.mjs"), ...args]);
const trust = ["--key", at("keys/release.pub"), "--designation", "dev"];

beforeAll(async () => {
  makeSingleFile(at("secai-verify.mjs"));
  makeKeys(at("keys"));
  for (const name of ["release", "flipped"]) await makeRelease(at(name), at("keys"));
  flip(at("flipped"), "uki.efi", 0);
});

const INTERFACES = "console.log(Object.keys(os.networkInterfaces()).join() || 'none', process.version.split('.')[0])";

test("there is no interface, and the Node is the image's", () => {
  expect(run(["node", "-e", INTERFACES]).stdout).toBe("none v20\n");
  expect(run(["node", "-e", INTERFACES], "loopback").stdout).toBe("lo v20\n");
});

test("nothing of the repository is there", () => {
  expect(run(["find", "/root", "/home", top, "-mindepth", "1"]).stdout).toBe("");
});

test("the single file is at most 5 MB", () => {
  expect(statSync(at("secai-verify.mjs")).size).toBeLessThanOrEqual(5_000_000);
});

test("it verifies a release, and refuses a flipped bit", () => {
  expect(verify("release", at("release"), ...trust)).toMatchObject({ status: 0, stdout: expect.stringContaining("ACCEPTED") });
  expect(verify("release", at("flipped"), ...trust)).toMatchObject({
    status: 1,
    stdout: expect.stringContaining("FAIL files.digest:uki.efi"),
  });
});

test("it verifies a single file, and refuses it under another name's signature", () => {
  const measurements = at("release/measurements.json");
  expect(verify("file", measurements, "--key", at("keys/release.pub"))).toMatchObject({ status: 0 });
  const other = [
    "file",
    at("release/baseline.json"),
    "--bundle",
    `${measurements}.sigstore.json`,
    "--key",
    at("keys/release.pub"),
  ];
  expect(verify(...other)).toMatchObject({ status: 1, stdout: expect.stringContaining("FAIL file.subject") });
});

test("it passes its own test, n of n", () => {
  const { status, stdout, stderr } = verify("self-test", "--json");
  expect(stderr).toBe("");
  const { total, passed, failures } = JSON.parse(stdout) as { total: number; passed: number; failures: unknown };
  expect({ status, failures }).toEqual({ status: 0, failures: [] });
  expect(passed).toBe(total);
  expect(total).toBeGreaterThanOrEqual(320);
});

/** What a program asked of the network, as the kernel saw it. */
function traced(...argv: string[]): { readonly status: number | null; readonly calls: readonly string[] } {
  const { status } = run(
    ["strace", "--follow-forks", "--seccomp-bpf", "-e", "trace=network", "-o", at("trace"), ...argv],
    "loopback",
  );
  return {
    status,
    calls: readFileSync(at("trace"), "utf8")
      .split("\n")
      .filter((line) => /AF_|sin|connect|sendto|sendmsg/.test(line)),
  };
}
const INTERNET = /AF_INET|AF_NETLINK|AF_PACKET|sin_addr|connect\(|sendto\(|bind\(|listen\(/;

test("the trace would show a connection", () => {
  const { status, calls } = traced("node", "-e", "net.connect(9, '127.0.0.1').on('error', () => process.exit(7))");
  expect(status).toBe(7);
  expect(calls.filter((line) => /connect\(.*sin_addr=inet_addr\("127\.0\.0\.1"\)/.test(line))).not.toEqual([]);
});

test("neither the self-test nor a verification opens a socket to anywhere", () => {
  for (const args of [["self-test"], ["release", at("release"), ...trust]]) {
    const { status, calls } = traced("node", at("secai-verify.mjs"), ...args);
    expect({ status, calls: calls.filter((line) => INTERNET.test(line)) }).toEqual({ status: 0, calls: [] });
  }
});
