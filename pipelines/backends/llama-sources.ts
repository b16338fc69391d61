import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "@secai/formats/canonical-json";
import { literal, object, parseShape, text } from "@secai/formats/shape";
import { tool, toolOutput } from "../programs/tool.ts";
import { BackendError } from "./errors.ts";

/** What the npm package node-llama-cpp carries of llama.cpp: a git bundle of the one commit that its prebuilt libraries were made of. */
const BUNDLE = "package/llama/gitRelease.bundle";
const INFO = "package/llama/llama.cpp.info.json";
const infoShape = object({ tag: text(/^v[0-9][0-9A-Za-z.-]{0,40}$/, 42), llamaCppGithubRepo: literal("ggml-org/llama.cpp") });

export interface LlamaSources {
  /** The checked-out sources. */
  readonly directory: string;
  /** Release of llama.cpp, e.g. "v0.5.0". */
  readonly llamaCpp: string;
  /** Version of its ggml, e.g. "0.25.1". */
  readonly ggml: string;
}

const unexpected = (expected: string, actual: string): BackendError =>
  new BackendError("GPU_BACKEND_SOURCE_UNEXPECTED", { expected, actual });

/** The version that ggml/CMakeLists.txt sets, e.g. "0.25.1". @throws BackendError GPU_BACKEND_SOURCE_UNEXPECTED */
export function ggmlVersion(cmakeLists: string): string {
  const numbers = ["MAJOR", "MINOR", "PATCH"].map((part) => {
    const found = [...cmakeLists.matchAll(new RegExp(`^set\\(GGML_VERSION_${part} (\\d{1,5})\\)$`, "gm"))];
    const number = found[0]?.[1];
    if (number === undefined || found.length !== 1)
      throw unexpected(`one GGML_VERSION_${part} in ggml/CMakeLists.txt`, `${found.length}`);
    return number;
  });
  return numbers.join(".");
}

/** The release of llama.cpp that the package says it holds. @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, SCHEMA_MISMATCH */
export const llamaRelease = (info: Uint8Array): string => parseShape(infoShape, parseJson(info, 4096), INFO).tag;

/** git that reads no configuration of a machine or a user and asks nobody. */
const gitEnv = { GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null", GIT_TERMINAL_PROMPT: "0" };

/**
 * Takes the sources of llama.cpp out of the package's tarball, without a network. Needs tar, gzip and git in the tool root.
 * @param tarball the package node-llama-cpp as the registry has it
 * @param directory absolute, made here; libraries name their source files by it, so it should always be the same
 * @throws BackendError GPU_BACKEND_SOURCE_UNEXPECTED; FormatError; Error when a tool fails
 */
export function unpackLlamaSources(tarball: string, directory: string): LlamaSources {
  const wrapper = `${directory}.package`;
  mkdirSync(wrapper, { recursive: true });
  tool("tar", ["--extract", "--gzip", "--no-same-owner", "--file", tarball, "--directory", wrapper, BUNDLE, INFO]);
  const llamaCpp = llamaRelease(readFileSync(join(wrapper, INFO)));
  tool("git", ["-c", "advice.detachedHead=false", "clone", "--quiet", join(wrapper, BUNDLE), directory], { env: gitEnv });
  // A bundle names its commits by SHA-1; what vouches for the bytes is the lock's SHA-256 of the whole tarball.
  const status = toolOutput("git", ["-C", directory, "status", "--porcelain"]);
  if (status !== "") throw unexpected("a clean checkout of the sources", status.slice(0, 200));
  return { directory, llamaCpp, ggml: ggmlVersion(readFileSync(join(directory, "ggml/CMakeLists.txt"), "utf8")) };
}
