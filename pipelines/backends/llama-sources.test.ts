import { expect, test } from "vitest";
import { ggmlVersion, llamaRelease } from "./llama-sources.ts";

const code = "GPU_BACKEND_SOURCE_UNEXPECTED";
const version = "set(GGML_VERSION_MAJOR 0)\nset(GGML_VERSION_MINOR 25)\nset(GGML_VERSION_PATCH 1)\n";

const withoutVersion = [
  { name: "nothing", text: "" },
  { name: "no patch level", text: version.replace(/^.*PATCH.*$/m, "") },
  { name: "a part twice", text: `${version}set(GGML_VERSION_MINOR 26)\n` },
  { name: "a part that is no number", text: version.replace("25", "25rc1") },
  { name: "a commented part", text: version.replace("set(GGML_VERSION_MAJOR", "# set(GGML_VERSION_MAJOR") },
];
for (const { name, text } of withoutVersion)
  test(`ggmlVersion refuses ${name}`, () => expect(() => ggmlVersion(text)).toThrow(expect.objectContaining({ code })));

test("ggmlVersion joins the three parts", () => expect(ggmlVersion(`project("ggml")\n${version}set(X 1)\n`)).toBe("0.25.1"));

const release = { tag: "v0.5.0", llamaCppGithubRepo: "ggml-org/llama.cpp" };
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value, undefined, 2));

const withoutRelease = [
  { name: "no tag", value: { llamaCppGithubRepo: release.llamaCppGithubRepo } },
  { name: "a branch for a tag", value: { ...release, tag: "master" } },
  { name: "a tag that is a path", value: { ...release, tag: "v1/../x" } },
  { name: "another project", value: { ...release, llamaCppGithubRepo: "someone/llama.cpp" } },
  { name: "an unknown member", value: { ...release, patches: [] } },
  { name: "a list", value: [release] },
];
for (const { name, value } of withoutRelease)
  test(`llamaRelease refuses ${name}`, () =>
    expect(() => llamaRelease(bytes(value))).toThrow(expect.objectContaining({ code: "SCHEMA_MISMATCH" })));

test("llamaRelease refuses what is no JSON", () =>
  expect(() => llamaRelease(Buffer.from("v0.5.0"))).toThrow(expect.objectContaining({ code: "JSON_MALFORMED" })));

test("llamaRelease reads the tag", () => expect(llamaRelease(bytes(release))).toBe("v0.5.0"));
