import { strict as assert } from "node:assert";
import fc from "fast-check";
import { describe, test } from "vitest";
import { canonicalJson } from "./canonical-json.ts";
import { type Sha256, sha256 } from "./digest.ts";
import { FormatError } from "./errors.ts";
import { type Extensions, extensionsBytes, isHardwareFor, parseExtensions } from "./extensions.ts";
import {
  type Probe,
  parseProbe,
  parseProbeReport,
  printableName,
  printableReason,
  probeBytes,
  probeReportBytes,
} from "./gpu-probe.ts";
import {
  type GpuQualification,
  gpuQualificationStatement,
  parseGpuQualification,
  type QualifiedSetup,
  requireQualified,
} from "./gpu-qualification.ts";
import { parseGpuState } from "./gpu-state.ts";
import { parseStatement, statementBytes } from "./statement.ts";

const HASH = sha256("x");
const bytes = (value: unknown) => Buffer.from(`${canonicalJson(value)}\n`);

const run = { device: "CPU", tokens: [1, 2, 3], loadMs: 1, ms: 2, deviceBytes: 0 };
const qualification: GpuQualification = {
  backend: "cuda",
  device: {
    ...{ vendor: "10de", device: "2684", name: "NVIDIA GeForce RTX 4090", memoryBytes: 24_000_000_000 },
    ...{ driver: "nvidia", driverVersion: "550.163.01" },
  },
  kernel: "6.12.107",
  runtime: { package: "@example/runtime", version: "1.0.0", llamaCpp: "v0.5.0", ggml: "0.25.1" },
  libraries: [{ path: "/usr/lib/secure-ai/backends/cuda/libggml-cuda.so", sha256: HASH }],
  model: { sha256: HASH },
  cpu: run,
  gpu: { ...run, device: "NVIDIA GeForce RTX 4090", deviceBytes: 1000 },
  startedOn: "2026-01-01T00:00:00Z",
  finishedOn: "2026-01-01T00:00:01Z",
};
const setup: QualifiedSetup = {
  ...{ backend: "cuda", vendor: "10de", device: "2684", driver: "nvidia", driverVersion: "550.163.01" },
  backendsDigest: HASH,
};

describe("a qualification is none", () => {
  const cases: readonly { readonly name: string; readonly value: unknown }[] = [
    { name: "with other tokens on the GPU", value: { ...qualification, gpu: { ...qualification.gpu, tokens: [1, 2, 4] } } },
    { name: "with fewer tokens on the GPU", value: { ...qualification, gpu: { ...qualification.gpu, tokens: [1, 2] } } },
    {
      name: "without tokens",
      value: { ...qualification, cpu: { ...run, tokens: [] }, gpu: { ...qualification.gpu, tokens: [] } },
    },
    { name: "without weights on the GPU", value: { ...qualification, gpu: { ...qualification.gpu, deviceBytes: 0 } } },
    { name: "that ends before it starts", value: { ...qualification, startedOn: "2026-01-02T00:00:00Z" } },
    { name: "of the CPU", value: { ...qualification, backend: "cpu" } },
    { name: "without libraries", value: { ...qualification, libraries: [] } },
    { name: "with an unknown member", value: { ...qualification, safe: true } },
    { name: "of a device with long ids", value: { ...qualification, device: { ...qualification.device, vendor: "0x10de" } } },
  ];
  for (const { name, value } of cases)
    test(name, () => assert.throws(() => parseGpuQualification(value), { code: "SCHEMA_MISMATCH" }));
});

describe("a qualification of one setup is none of another", () => {
  const signed = parseStatement(statementBytes(gpuQualificationStatement(qualification, HASH as Sha256)));
  test("but is of its own", () => assert.equal(requireQualified(signed, setup).backend, "cuda"));
  const changes: readonly Partial<QualifiedSetup>[] = [
    { backend: "vulkan" },
    { vendor: "1002" },
    { device: "2685" },
    { driver: "nouveau" },
    { driverVersion: "550.163.010" },
    { backendsDigest: sha256("y") },
  ];
  for (const change of changes)
    test(Object.keys(change).join(), () =>
      assert.throws(() => requireQualified(signed, { ...setup, ...change }), { code: "SCHEMA_MISMATCH" }),
    );
  test("and another statement is none", () =>
    assert.throws(() => requireQualified({ ...signed, predicateType: "https://example.org/x" }, setup), {
      code: "SCHEMA_MISMATCH",
    }));
  test("and one about two files is none", () => {
    const [subject] = signed.subject;
    assert.ok(subject !== undefined);
    const two = { ...signed, subject: [subject, { ...subject, name: "other" }] };
    assert.throws(() => requireQualified(two, setup), { code: "SCHEMA_MISMATCH" });
  });
});

const ran: Probe = {
  ...{ backend: "vulkan", outcome: "ran", reason: "generated 2 tokens", devices: ["a GPU"], software: false },
  ...{ device: "a GPU", tokens: [1, 2], loadMs: 1, ms: 1, deviceBytes: 5 },
};

describe("the answer of a probe is refused", () => {
  const cases: readonly { readonly name: string; readonly value: unknown }[] = [
    { name: "when it ran without tokens", value: { ...ran, tokens: undefined } },
    { name: "when it ran on a GPU that held nothing", value: { ...ran, deviceBytes: 0 } },
    { name: "when it did not run and has tokens", value: { ...ran, outcome: "no device" } },
    { name: "when a library is missing from a run", value: { ...ran, missing: "libx.so" } },
    { name: "with a name of two lines", value: { ...ran, device: "a\nb" } },
    { name: "with a negative token", value: { ...ran, tokens: [-1] } },
    { name: "with a path for a library", value: { ...ran, outcome: "not loaded", missing: "/x/libx.so" } },
  ];
  for (const { name, value } of cases)
    test(name, () => assert.throws(() => parseProbe(bytes(value)), { code: "SCHEMA_MISMATCH" }));
  test("in a report, too, and so is a backend twice", () => {
    const report = { schema: 1, model: { sha256: HASH }, probes: [ran] } as const;
    assert.deepEqual(parseProbeReport(probeReportBytes(report)), report);
    assert.throws(() => parseProbeReport(bytes({ ...report, probes: [ran, ran] })), { code: "DUPLICATE_ENTRY" });
    assert.throws(() => parseProbeReport(bytes({ ...report, probes: [{ ...ran, deviceBytes: 0 }] })), {
      code: "SCHEMA_MISMATCH",
    });
  });
});

test("any text becomes a name and a reason that a probe may have", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const probe: Probe = { ...ran, device: printableName(text), reason: printableReason(text) };
      assert.deepEqual(parseProbe(probeBytes(probe)), probe);
    }),
  );
});

const extensions: Extensions = {
  schema: 1,
  extensions: [
    {
      ...{ name: "cuda", title: "CUDA", partition: "ext_cuda_0.1.0", rootHash: HASH, dataBytes: 4096, hashOffset: 4096 },
      hardware: { pciClasses: ["03", "12"], pciVendors: ["10de"] },
    },
  ],
};
const [cuda] = extensions.extensions;

test("extensions are read as they were written; a name or a partition twice is refused", () => {
  assert.deepEqual(parseExtensions(extensionsBytes(extensions)), extensions);
  assert.throws(() => parseExtensions(bytes({ schema: 1, extensions: [cuda, cuda] })), { code: "DUPLICATE_ENTRY" });
  const sameDisk = { schema: 1, extensions: [cuda, { ...cuda, name: "other" }] };
  assert.throws(() => parseExtensions(bytes(sameDisk)), { code: "DUPLICATE_ENTRY" });
  for (const hardware of [
    { pciClasses: ["0"], pciVendors: [] },
    { pciClasses: ["03"], pciVendors: ["10DE"] },
  ])
    assert.throws(() => parseExtensions(bytes({ schema: 1, extensions: [{ ...cuda, hardware }] })), { code: "SCHEMA_MISMATCH" });
});

test("hardware is meant by class and, where one is listed, by vendor", () => {
  const hardware = cuda?.hardware ?? { pciClasses: [], pciVendors: [] };
  const asked = [
    ["030000", "10de", true],
    ["120000", "10de", true],
    ["030000", "1002", false],
    ["020300", "10de", false],
  ] as const;
  for (const [pciClass, vendor, expected] of asked) assert.equal(isHardwareFor(hardware, pciClass, vendor), expected);
  assert.ok(isHardwareFor({ pciClasses: ["0300"], pciVendors: [] }, "030000", "1234"));
  assert.ok(!isHardwareFor({ pciClasses: [], pciVendors: [] }, "030000", "1234"));
});

test("parsers of GPU documents return or throw FormatError, nothing else", () => {
  const parsers: readonly ((bytes: Buffer) => unknown)[] = [parseProbe, parseProbeReport, parseGpuState, parseExtensions];
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...parsers), (value, parse) => {
      try {
        parse(Buffer.from(`${JSON.stringify(value)}\n`));
      } catch (error) {
        assert.ok(error instanceof FormatError);
      }
    }),
  );
});
