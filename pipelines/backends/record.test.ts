import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "@secai/formats/digest";
import { parseBackendRecord } from "@secai/formats/gpu-backends";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeElf } from "./elf.test-data.ts";
import { backendFolder, outsideLibraries, RECORD_FILE, writeRecord } from "./record.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "secai-record-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const cuda = {
  name: "cuda",
  version: "0.25.1",
  libraries: ["libggml-cuda.so"],
  folder: backendFolder("cuda"),
  source: { kind: "compiled", lock: ["npm:node-llama-cpp@3.22.1"], toolRoot: "cuda" },
  architectures: ["compute_75"],
  licences: ["MIT"],
} as const;

test("a library that is none is not described", () => {
  writeFileSync(join(directory, "libggml-cuda.so"), "INPUT(libother.so)\n");
  expect(() => writeRecord(directory, cuda)).toThrow(expect.objectContaining({ code: "ELF_MALFORMED" }));
});

test("a backend without libraries is not described", () =>
  expect(() => writeRecord(directory, { ...cuda, libraries: [] })).toThrow(expect.objectContaining({ code: "SCHEMA_MISMATCH" })));

test("the runtime's own libraries are not needed from outside, and others are named once", () => {
  const own = [
    "libggml-base.so",
    "libggml.v0.5.0.so",
    "libggml.so",
    "libllama.v0.5.0.so",
    "libllama-common.so",
    "libggml-base.so.0",
  ];
  const one = makeElf({ needed: [...own, "libggmlx.so", "libcudart.so.12"] });
  expect(outsideLibraries([one, makeElf({ needed: ["libcudart.so.12", "libc.so.6"] })])).toEqual([
    "libc.so.6",
    "libcudart.so.12",
    "libggmlx.so",
  ]);
});

test("a record says what the files are", () => {
  const bytes = makeElf({ needed: ["libggml-base.so", "libcudart.so.12"] });
  writeFileSync(join(directory, "libggml-cuda.so"), bytes);
  const record = writeRecord(directory, { ...cuda, opened: ["libnvidia-ptxjitcompiler.so.1"] });
  expect(parseBackendRecord(readFileSync(join(directory, RECORD_FILE)))).toEqual(record);
  expect(record.libraries).toEqual(["libcudart.so.12", "libnvidia-ptxjitcompiler.so.1"]);
  expect(record.files).toEqual([
    { path: "/usr/lib/secure-ai/backends/cuda/libggml-cuda.so", sha256: sha256(bytes), size: bytes.length },
  ]);
});
