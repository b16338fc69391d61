import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson } from "./canonical-json.ts";
import { FormatError } from "./errors.ts";
import {
  type BackendEntry,
  type BackendRecord,
  backendRecordBytes,
  extensionOf,
  type GpuBackends,
  gpuBackendsBytes,
  parseBackendRecord,
  parseGpuBackends,
} from "./gpu-backends.ts";

const digest = "5".repeat(64);

const record: BackendRecord = {
  name: "cuda",
  version: "0.25.1",
  files: [{ path: "/usr/lib/secure-ai/backends/cuda/libggml-cuda.so", sha256: digest, size: 4096 }],
  source: { kind: "compiled", lock: ["npm:node-llama-cpp@3.22.1"], toolRoot: "cuda" },
  architectures: ["compute_75", "compute_80"],
  licences: ["MIT"],
  libraries: ["libcudart.so.12", "libcuda.so.1"],
};
const cuda: BackendEntry = { ...record, place: "extension:cuda" };
const cpu: BackendEntry = {
  name: "cpu",
  version: "0.25.1",
  place: "root",
  files: [{ path: "/usr/lib/secure-ai/runtime/libggml-cpu-x64.so", sha256: digest, size: 4096 }],
  source: { kind: "npm", lock: ["npm:@node-llama-cpp/linux-x64@3.22.1"] },
  architectures: ["x64"],
  licences: ["MIT"],
  libraries: ["libc.so.6"],
};
const declared: GpuBackends = {
  schema: 1,
  runtime: {
    package: "@node-llama-cpp/linux-x64",
    version: "3.22.1",
    llamaCpp: "v0.5.0",
    ggml: "0.25.1",
    files: [{ path: "/usr/lib/secure-ai/runtime/libggml-base.so", sha256: "0".repeat(64), size: 1 }],
    licences: ["MIT"],
  },
  backends: [cpu, cuda],
};
const bytesOf = (value: unknown) => Buffer.from(`${canonicalJson(value)}\n`);
const [file] = record.files;

const wrongRecords: readonly { readonly name: string; readonly value: unknown; readonly code: string }[] = [
  { name: "an unknown backend", value: { ...record, name: "metal" }, code: "SCHEMA_MISMATCH" },
  { name: "no file", value: { ...record, files: [] }, code: "SCHEMA_MISMATCH" },
  { name: "a file twice", value: { ...record, files: [file, file] }, code: "DUPLICATE_ENTRY" },
  {
    name: "one file name at two places",
    value: { ...record, files: [file, { ...file, path: "/usr/lib/secure-ai/runtime/libggml-cuda.so" }] },
    code: "DUPLICATE_ENTRY",
  },
  { name: "an empty file", value: { ...record, files: [{ ...file, size: 0 }] }, code: "SCHEMA_MISMATCH" },
  { name: "a file without a digest", value: { ...record, files: [{ path: file?.path, size: 1 }] }, code: "SCHEMA_MISMATCH" },
  {
    name: "a file outside the product's folder",
    value: { ...record, files: [{ ...file, path: "/usr/lib/x86_64-linux-gnu/libggml-cuda.so" }] },
    code: "SCHEMA_MISMATCH",
  },
  {
    name: "a path that climbs",
    value: { ...record, files: [{ ...file, path: "/usr/lib/secure-ai/backends/../../x.so" }] },
    code: "SCHEMA_MISMATCH",
  },
  { name: "no licence", value: { ...record, licences: [] }, code: "SCHEMA_MISMATCH" },
  { name: "no source", value: { ...record, source: { kind: "compiled", lock: [] } }, code: "SCHEMA_MISMATCH" },
  { name: "a place, which the image decides", value: cuda, code: "SCHEMA_MISMATCH" },
  { name: "a library by its path", value: { ...record, libraries: ["/usr/lib/libcuda.so.1"] }, code: "SCHEMA_MISMATCH" },
];
for (const { name, value, code } of wrongRecords)
  test(`parseBackendRecord refuses ${name}`, () =>
    expect(() => parseBackendRecord(bytesOf(value))).toThrow(expect.objectContaining({ code })));

const wrongDeclarations: readonly { readonly name: string; readonly value: unknown; readonly code: string }[] = [
  { name: "another schema", value: { ...declared, schema: 2 }, code: "SCHEMA_MISMATCH" },
  { name: "no backend", value: { ...declared, backends: [] }, code: "SCHEMA_MISMATCH" },
  { name: "a backend twice", value: { ...declared, backends: [cpu, cuda, cuda] }, code: "DUPLICATE_ENTRY" },
  {
    name: "a file of two backends",
    value: { ...declared, backends: [cpu, { ...cuda, files: cpu.files }] },
    code: "DUPLICATE_ENTRY",
  },
  { name: "no CPU backend", value: { ...declared, backends: [cuda] }, code: "SCHEMA_MISMATCH" },
  {
    name: "a CPU backend outside the root",
    value: { ...declared, backends: [{ ...cpu, place: "extension:cpu" }] },
    code: "SCHEMA_MISMATCH",
  },
  { name: "a backend without a place", value: { ...declared, backends: [cpu, record] }, code: "SCHEMA_MISMATCH" },
  { name: "a place of no kind", value: { ...declared, backends: [cpu, { ...cuda, place: "cuda" }] }, code: "SCHEMA_MISMATCH" },
  { name: "an unknown member", value: { ...declared, fallback: "cpu" }, code: "SCHEMA_MISMATCH" },
];
for (const { name, value, code } of wrongDeclarations)
  test(`parseGpuBackends refuses ${name}`, () =>
    expect(() => parseGpuBackends(bytesOf(value))).toThrow(expect.objectContaining({ code })));

test("other bytes for the same declaration are refused", () =>
  expect(() => parseGpuBackends(Buffer.from(JSON.stringify(declared, undefined, 2)))).toThrow(
    expect.objectContaining({ code: "JSON_NOT_CANONICAL" }),
  ));

test("what is written is read back", () => {
  expect(parseGpuBackends(gpuBackendsBytes(declared))).toEqual(declared);
  expect(parseBackendRecord(backendRecordBytes(record))).toEqual(record);
});

test("the place of a backend names its extension", () => {
  expect(extensionOf(cpu)).toBeUndefined();
  expect(extensionOf(cuda)).toBe("cuda");
});

test("a parser returns or throws FormatError, nothing else", () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.constant(declared), fc.constant(record)), (value) => {
      for (const parse of [parseGpuBackends, parseBackendRecord]) {
        try {
          parse(bytesOf(value));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }
    }),
  );
});
