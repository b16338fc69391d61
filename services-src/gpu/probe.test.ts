import { strict as assert } from "node:assert";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { parseProbe } from "@secai/formats/gpu-probe";
import fc from "fast-check";
import { describe, test } from "vitest";
import { ran } from "./machine.test-data.ts";
import { isSoftwareRenderer, missingLibrary } from "./probe.ts";
import { probeApart } from "./run-probes.ts";
import { tinyModelBytes } from "./tiny-model.ts";

test("the built-in model is the same bytes everywhere", () => {
  assert.equal(tinyModelBytes().length, 440_544);
  // Another digest is another model: qualifications made with this one say so.
  assert.equal(sha256(tinyModelBytes()), "978de3b7ecbe81bc44e131ebfcf1aae39b796eb9ef3c5fbec40fe5bea9b74a19");
});

const messages: readonly { readonly text: string; readonly missing: string | undefined }[] = [
  { text: "libvulkan.so.1: cannot open shared object file: No such file or directory", missing: "libvulkan.so.1" },
  {
    text: "failed to load /x/libggml-cuda.so: libcudart.so.12: cannot open shared object file: No such file",
    missing: "libcudart.so.12",
  },
  { text: "load_backend: failed to load a: libstdc++.so.6: cannot open shared object file: x", missing: "libstdc++.so.6" },
  { text: "/x/libggml-cuda.so: undefined symbol: ggml_backend_x", missing: undefined },
  { text: "/lib/libc.so.6: version `GLIBC_2.99' not found (required by /x/libggml-hip.so)", missing: undefined },
  { text: "/x/libggml-cuda.so: cannot open shared object file: Permission denied", missing: undefined },
  { text: "", missing: undefined },
];
for (const { text, missing } of messages)
  test(`the loader's words "${text}" name ${missing ?? "no library"}`, () => assert.equal(missingLibrary(text), missing));

test("renderers that compute on the CPU are known by their names, and GPUs are not taken for them", () => {
  for (const name of ["llvmpipe (LLVM 19.1.7, 256 bits)", "SwiftShader Device (LLVM 10.0.0)", "softpipe"])
    assert.ok(isSoftwareRenderer(name));
  for (const name of ["AMD Radeon RX 7900 XTX (RADV NAVI31)", "NVIDIA GeForce RTX 4090", "Intel(R) Arc(tm) A770 Graphics (DG2)"])
    assert.ok(!isSoftwareRenderer(name));
});

/** A program in the probe's place; the flags that a probe gets come behind it and are ignored. */
const program = (code: string) => ({ argv: ["-e", code, "--"], env: { PATH: process.env.PATH } });
const genuine = canonicalJson(ran("vulkan", [1, 2], "a GPU"));

describe("a probe in a process of its own", () => {
  test("is believed when it answers, whatever a driver printed before", async () => {
    const probe = await probeApart(
      program(`console.log("driver says hello"); console.log(${JSON.stringify(genuine)})`),
      "vulkan",
      [],
    );
    assert.deepEqual(probe.tokens, [1, 2]);
  });

  const failures: readonly { readonly name: string; readonly code: string; readonly reason: RegExp }[] = [
    { name: "dies of a signal", code: 'process.kill(process.pid, "SIGSEGV")', reason: /ended by SIGSEGV/ },
    {
      name: "answers and then dies",
      code: `console.log(${JSON.stringify(genuine)}); process.abort()`,
      reason: /ended by SIGABRT/,
    },
    { name: "ends with a status", code: 'console.error("no runtime"); process.exit(3)', reason: /status 3: no runtime/ },
    { name: "says nothing", code: "", reason: /gave no answer/ },
    { name: "says something else", code: 'console.log("{}")', reason: /gave no answer/ },
    {
      name: "answers in other words",
      code: `console.log(JSON.stringify(${genuine}, null, 1).replaceAll("\\n", " "))`,
      reason: /gave no answer/,
    },
    {
      name: "answers for another backend",
      code: `console.log(${JSON.stringify(canonicalJson(ran("cuda", [1], "x")))})`,
      reason: /another backend/,
    },
    { name: "talks too much", code: 'console.log("x".repeat(5_000_000))', reason: /^the probe/ },
  ];
  for (const { name, code, reason } of failures) {
    test(`that ${name} has failed`, async () => {
      const probe = await probeApart(program(code), "vulkan", []);
      assert.equal(probe.outcome, "failed");
      assert.match(probe.reason, reason);
    });
  }

  test("sees none of our variables but those that lead the loaders", async () => {
    const env = { PATH: process.env.PATH, VK_DRIVER_FILES: "/x", SECRET: "y", GGML_BACKEND_PATH: "/z" };
    const code = 'console.error(Object.keys(process.env).sort().join(" ")); process.exit(3)';
    const { reason } = await probeApart({ argv: ["-e", code, "--"], env }, "cpu", []);
    assert.match(reason, /status 3: MESA_SHADER_CACHE_DISABLE PATH UV_USE_IO_URING VK_DRIVER_FILES$/);
  });
});

test("parseProbe returns a probe or throws FormatError, nothing else", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        parseProbe(Buffer.from(`${JSON.stringify(value)}\n`));
      } catch (error) {
        assert.equal((error as Error).name, "FormatError");
      }
    }),
  );
});
