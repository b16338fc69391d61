import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpackLlamaSources } from "@secai/pipelines/backends/llama-sources";
import { afterEach, beforeEach, expect, test } from "vitest";

let top: string;

const git = (cwd: string, ...args: readonly string[]) =>
  execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
    cwd,
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" },
  });

/** A tarball as the registry has it, with a bundle of one commit. */
function makeTarball(cmakeLists: string): string {
  const sources = join(top, "sources");
  mkdirSync(join(sources, "ggml"), { recursive: true });
  writeFileSync(join(sources, "ggml/CMakeLists.txt"), cmakeLists);
  git(sources, "init", "--quiet");
  git(sources, "add", ".");
  git(sources, "commit", "--quiet", "-m", "squashed");
  const llama = join(top, "package/llama");
  mkdirSync(llama, { recursive: true });
  git(sources, "bundle", "create", join(llama, "gitRelease.bundle"), "HEAD");
  const info = { tag: "v0.5.0", llamaCppGithubRepo: "ggml-org/llama.cpp" };
  writeFileSync(join(llama, "llama.cpp.info.json"), JSON.stringify(info));
  return pack();
}

function pack(): string {
  const tarball = join(top, "node-llama-cpp-3.22.1.tgz");
  execFileSync("tar", ["--create", "--gzip", "--file", tarball, "--directory", top, "package"]);
  return tarball;
}

const version = "set(GGML_VERSION_MAJOR 0)\nset(GGML_VERSION_MINOR 25)\nset(GGML_VERSION_PATCH 1)\n";

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "secai-sources-"));
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

test("a package without the sources is refused", () => {
  makeTarball(version);
  rmSync(join(top, "package/llama/gitRelease.bundle"));
  expect(() => unpackLlamaSources(pack(), join(top, "out"))).toThrow(/tar ended with/);
});

test("a bundle with a flipped byte is refused", () => {
  makeTarball(version);
  const path = join(top, "package/llama/gitRelease.bundle");
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 30) ^ 1, bytes.length - 30);
  writeFileSync(path, bytes);
  expect(() => unpackLlamaSources(pack(), join(top, "out"))).toThrow(/git ended with/);
});

test("sources without a version of ggml are refused", () =>
  expect(() => unpackLlamaSources(makeTarball("project(ggml)\n"), join(top, "out"))).toThrow(
    expect.objectContaining({ code: "GPU_BACKEND_SOURCE_UNEXPECTED" }),
  ));

test("the sources come out of the package with their versions, without a network", () => {
  const directory = join(top, "out");
  expect(unpackLlamaSources(makeTarball(version), directory)).toEqual({ directory, llamaCpp: "v0.5.0", ggml: "0.25.1" });
  expect(readFileSync(join(directory, "ggml/CMakeLists.txt"), "utf8")).toBe(version);
});
