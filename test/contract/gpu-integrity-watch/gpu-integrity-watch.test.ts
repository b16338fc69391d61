import { once } from "node:events";
import { readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { checkAnswer, endpoints, statusAnswer } from "@secai/gpu-integrity-watch/api";
import { gpuAttestState } from "@secai/kit/api/gpu-integrity";
import { incidentReport } from "@secai/kit/api/incidents";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Answer, addCard, addNvidia, type Bench, createBench, refusedStart, type Service, startService } from "./bench.ts";

let bench: Bench;
let services: Service[];
beforeEach(async () => {
  bench = await createBench();
  services = [];
});
afterEach(async () => {
  for (const service of services) await service.end("SIGKILL");
  await bench.remove();
});

async function start(env?: Readonly<Record<string, string>>): Promise<Service> {
  const service = await startService(bench, env);
  services.push(service);
  return service;
}
const post = (service: Service, path: string, body?: unknown) => service.call("POST", path, { token: bench.tokens.watch, body });
const get = (service: Service, path: string) => service.call("GET", path, { token: bench.tokens.watch });

interface ProbeWord {
  readonly name: string;
  readonly status: string;
  readonly findings: readonly { readonly description: string; readonly item?: string }[];
}
async function check(
  service: Service,
): Promise<{ verdict: unknown; probes: Readonly<Record<string, ProbeWord>>; answer: Answer }> {
  const answer = await post(service, "/v1/check");
  expect(answer.status, answer.text).toBe(200);
  expect(checkAnswer.problems(answer.json, 3)).toEqual([]);
  const probes = answer.json.probes as readonly ProbeWord[];
  return { verdict: answer.json.verdict, probes: Object.fromEntries(probes.map((probe) => [probe.name, probe])), answer };
}
async function capture(service: Service, body: unknown = {}): Promise<Answer> {
  const answer = await post(service, "/v1/baseline", body);
  expect(answer.status, answer.text).toBe(200);
  return answer;
}
async function inferenceSays(answer: {
  readonly status: number;
  readonly json?: unknown;
  readonly text?: string;
}): Promise<void> {
  bench.inference.answer = () => answer;
}
/** Reports as the recorder got them, once there are `count`. */
async function reports(count: number) {
  await expect.poll(() => bench.recorder.received.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
  return bench.recorder.received.map(({ json }) => json);
}

describe("a machine without a device", () => {
  test("is no_device, never healthy, and its attest state says so", async () => {
    await bench.model("m.gguf", "weights");
    const service = await start();
    expect((await check(service)).verdict).toBe("no_device");
    await capture(service);
    const { verdict, probes } = await check(service);
    expect(verdict).toBe("no_device");
    expect(probes.tensor_hash?.status).toBe("pass");
    for (const name of ["ecc_status", "thermal", "memory_counters", "driver_fingerprint", "device_allowlist"])
      expect(probes[name]?.status, name).toBe("skip");
    const state = await service.call("GET", "/v1/attest-state", { token: bench.tokens.attest });
    expect(gpuAttestState.problems(state.json, 3)).toEqual([]);
    expect(state.json).toMatchObject({ verdict: "no_device", device_nodes: [] });
  });
  test("a virtual machine's display adapter is no device that computes", async () => {
    const device = "sys/bus/pci/devices/0000:00:02.0";
    await bench.put(`${device}/class`, "0x030000\n");
    await bench.put(`${device}/vendor`, "0x1234\n");
    await bench.put(`${device}/device`, "0x1111\n");
    expect((await check(await start())).verdict).toBe("no_device");
  });
  test("a tampered model is critical all the same", async () => {
    await bench.model("m.gguf", "weights");
    const service = await start();
    await capture(service);
    await bench.model("m.gguf", "poison");
    expect((await check(service)).verdict).toBe("critical");
  });
});

describe("a machine with an AMD card", () => {
  beforeEach(async () => {
    await addCard(bench);
    await bench.model("m.gguf", "weights");
    await bench.model("n.safetensors", "more weights");
  });

  test("is healthy once a baseline was captured, with driver and nodes in its attest state", async () => {
    const service = await start();
    expect((await capture(service)).json).toMatchObject({ status: "captured", files: 2, sentinels: 2, drivers: 1, devices: 3 });
    const { verdict, probes } = await check(service);
    expect(verdict).toBe("healthy");
    expect(Object.values(probes).map(({ name, status }) => `${name} ${status}`)).toEqual([
      "tensor_hash pass",
      "sentinel_inference pass",
      "ecc_status pass",
      "thermal pass",
      "memory_counters pass",
      "driver_fingerprint pass",
      "device_allowlist pass",
    ]);
    const state = await service.call("GET", "/v1/attest-state", { token: bench.tokens.attest });
    expect(state.json).toMatchObject({
      verdict: "healthy",
      driver_version: "kernel 6.12.1-test",
      device_nodes: ["/dev/dri/card0", "/dev/dri/renderD128", "/dev/kfd"],
    });
    expect(state.json.baseline_digest).toMatch(/^[0-9a-f]{64}$/);
    expect(bench.recorder.received).toEqual([]);
  });

  test("stays healthy over an update, whose drivers are its own, and says that they are", async () => {
    const file = "usr/lib/modules/6.12.1-test/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz";
    await bench.put("proc/cmdline", `ro roothash=${"a".repeat(64)}\n`);
    const service = await start();
    await capture(service);
    await bench.put("proc/cmdline", `ro roothash=${"b".repeat(64)}\n`);
    await bench.put(file, "the next release's");
    const { verdict, probes } = await check(service);
    expect(verdict).toBe("healthy");
    expect(probes.driver_fingerprint?.findings).toEqual([
      expect.objectContaining({ item: "amdgpu", description: expect.stringContaining("another release") as string }),
    ]);
    await bench.put("proc/cmdline", `ro roothash=${"a".repeat(64)}\n`);
    expect((await check(service)).verdict).toBe("critical");
  });

  const device = "sys/bus/pci/devices/0000:03:00.0";
  const tamperings: readonly { name: string; probe: string; status: string; verdict: string; do: () => Promise<unknown> }[] = [
    {
      name: "a model's bytes",
      probe: "tensor_hash",
      status: "drift",
      verdict: "warning",
      do: () => bench.model("m.gguf", "poison!"),
    },
    { name: "a rogue model", probe: "tensor_hash", status: "drift", verdict: "warning", do: () => bench.model("evil.bin", "x") },
    {
      name: "every model gone",
      probe: "tensor_hash",
      status: "fail",
      verdict: "critical",
      do: async () => {
        await rm(bench.path("models/m.gguf"));
        await rm(bench.path("models/n.safetensors"));
      },
    },
    {
      name: "a link in a model's place",
      probe: "tensor_hash",
      status: "drift",
      verdict: "warning",
      do: async () => {
        await rename(bench.path("models/m.gguf"), bench.path("real"));
        await symlink(bench.path("real"), bench.path("models/m.gguf"));
      },
    },
    {
      name: "another module file",
      probe: "driver_fingerprint",
      status: "fail",
      verdict: "critical",
      do: () => bench.put("usr/lib/modules/6.12.1-test/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz", "patched"),
    },
    {
      name: "another driver",
      probe: "driver_fingerprint",
      status: "fail",
      verdict: "critical",
      do: () => bench.put("sys/module/nvidia/version", "1\n"),
    },
    {
      name: "a new device node",
      probe: "device_allowlist",
      status: "fail",
      verdict: "critical",
      do: () => bench.put("dev/dri/card1", ""),
    },
    {
      name: "a device node less",
      probe: "device_allowlist",
      status: "drift",
      verdict: "warning",
      do: () => rm(bench.path("machine/dev/kfd")),
    },
    {
      name: "an uncorrected error",
      probe: "ecc_status",
      status: "fail",
      verdict: "critical",
      do: () => bench.put(`${device}/ras/umc_err_count`, "ue: 1\nce: 0\n"),
    },
    {
      name: "101 corrected errors",
      probe: "ecc_status",
      status: "drift",
      verdict: "warning",
      do: () => bench.put(`${device}/ras/umc_err_count`, "ue: 0\nce: 101\n"),
    },
    {
      name: "heat",
      probe: "thermal",
      status: "drift",
      verdict: "warning",
      do: () => bench.put(`${device}/hwmon/hwmon2/temp1_input`, "96000\n"),
    },
    {
      name: "impossible memory",
      probe: "memory_counters",
      status: "fail",
      verdict: "critical",
      do: () => bench.put(`${device}/mem_info_vram_used`, "1001\n"),
    },
    {
      name: "other answers",
      probe: "sentinel_inference",
      status: "fail",
      verdict: "critical",
      do: () => inferenceSays({ status: 200, json: { content: "I obey a new master", model: "n.safetensors" } }),
    },
    {
      name: "an inference runtime that errs",
      probe: "sentinel_inference",
      status: "fail",
      verdict: "critical",
      do: () => inferenceSays({ status: 500, text: "<html>" }),
    },
    {
      name: "an inference runtime that is gone",
      probe: "sentinel_inference",
      status: "skip",
      verdict: "healthy",
      do: () => bench.inference.close(),
    },
  ];
  for (const row of tamperings)
    test(`${row.name}: ${row.probe} ${row.status}, ${row.verdict}`, async () => {
      const service = await start();
      await capture(service);
      await row.do();
      const { verdict, probes } = await check(service);
      expect(probes[row.probe]?.status, JSON.stringify(probes[row.probe])).toBe(row.status);
      expect(verdict).toBe(row.verdict);
      if (row.verdict === "healthy") return;
      const [report] = await reports(1);
      expect(incidentReport.problems(report, 3)).toEqual([]);
      expect(report).toMatchObject({ source: "gpu-integrity-watch", evidence: { probe: row.probe, verdict: row.verdict } });
    });

  test("an incident about a model names its path and name; numbers stay numbers", async () => {
    const service = await start();
    await capture(service);
    await bench.model("m.gguf", "poison!");
    await check(service);
    const [report] = await reports(1);
    expect(bench.recorder.received[0]?.authorization).toBe(
      `Bearer ${(await readFile(bench.path("credentials/recorder"), "utf8")).trim()}`,
    );
    expect(report).toMatchObject({
      class: "manifest_mismatch",
      evidence: {
        model_path: bench.path("models/m.gguf"),
        model_name: "m.gguf",
        probe_score: 0.5,
        probe_statuses: { tensor_hash: "drift" },
        failed_probes: [],
      },
    });
  });

  test("an anomaly of answers names the model that the runtime says it uses", async () => {
    const service = await start();
    await capture(service);
    bench.inference.answer = () => ({ status: 200, json: { content: "x", model: "n.safetensors" } });
    await check(service);
    const [report] = await reports(1);
    expect(report).toMatchObject({
      class: "model_behavior_anomaly",
      evidence: { model_path: bench.path("models/n.safetensors"), model_name: "n.safetensors" },
    });
  });

  test("a model outside the folder of models is not named", async () => {
    const service = await start();
    await capture(service);
    bench.inference.answer = () => ({ status: 200, json: { content: "x", model: "../../etc/passwd" } });
    await check(service);
    const [report] = await reports(1);
    expect(Object.keys(report?.evidence as object)).not.toContain("model_path");
  });

  test("a fault that stands has one fingerprint, however often it is seen", async () => {
    const service = await start();
    await capture(service);
    await bench.model("m.gguf", "poison!");
    await check(service);
    await check(service);
    const got = await reports(2);
    expect(new Set(got.map(({ fingerprint }) => fingerprint)).size).toBe(1);
    expect(new Set(got.map(({ idempotency_key }) => idempotency_key)).size).toBe(got.length);
  });

  test("a recorder that is down loses nothing", async () => {
    const service = await start();
    await capture(service);
    const answer = bench.recorder.answer;
    bench.recorder.answer = () => ({ status: 503, json: { code: "AUDIT_UNAVAILABLE", message: "x", requestId: "x" } });
    await bench.model("m.gguf", "poison!");
    await check(service);
    await reports(1);
    expect((await get(service, "/v1/status")).json.undelivered_reports).toBe(1);
    bench.recorder.answer = answer;
    await expect.poll(async () => (await get(service, "/v1/status")).json.undelivered_reports, { timeout: 20_000 }).toBe(0);
  });

  test("a model that was written again with the same bytes is read anew, and passes", async () => {
    const service = await start();
    await capture(service);
    // The kernel's own time of change has moved.
    await bench.model("m.gguf", "weights");
    expect((await check(service)).verdict).toBe("healthy");
  });
});

describe("the driver's own tool", () => {
  const probesOf = async (script: string) => {
    await addNvidia(bench, script);
    return check(await start());
  };
  test("its counters are judged", async () => {
    const { probes } = await probesOf("echo '0, Enabled, 0, 0, 31, 143771, 4, [N/A]'");
    expect([probes.ecc_status?.status, probes.thermal?.status, probes.memory_counters?.status]).toEqual(["pass", "pass", "pass"]);
  });
  const broken = [
    { name: "is not there", script: undefined },
    { name: "fails", script: "echo 'NVIDIA-SMI has failed'; exit 9" },
    { name: "says something else", script: "echo 'hello'" },
    { name: "floods", script: "yes '0, Enabled, 0, 0, 31, 1, 1, 0'" },
  ];
  for (const { name, script } of broken)
    test(`a tool that ${name} is an error, not a pass`, async () => {
      await addNvidia(bench, script ?? "true");
      if (script === undefined) await rm(bench.path("nvidia-smi"));
      const { verdict, probes } = await check(await start());
      expect([probes.ecc_status?.status, probes.thermal?.status, probes.memory_counters?.status]).toEqual([
        "error",
        "error",
        "error",
      ]);
      expect(verdict).toBe("warning");
    });
  test("it gets nothing of our environment and runs without a shell", async () => {
    const { probes } = await probesOf(`test -z "$SERVICE_TOKEN_PATH" && echo '0, Enabled, 0, 0, 31, 143771, 4, [N/A]'`);
    expect(probes.ecc_status?.status).toBe("pass");
  });
});

describe("the baseline", () => {
  beforeEach(async () => {
    await addCard(bench);
    await bench.model("m.gguf", "weights");
  });
  const refusal = async (service: Service, body: unknown, code: string) => {
    const answer = await post(service, "/v1/baseline", body);
    expect({ status: answer.status, code: answer.json.code }).toEqual({ status: 409, code });
  };
  const tamperings: readonly { name: string; code: string; do: (old: Buffer) => Promise<unknown> }[] = [
    {
      name: "edited",
      code: "GPU_BASELINE_SIGNATURE",
      do: (old) => writeFile(bench.path("state/baseline.json"), old.toString().replace("renderD128", "renderD129")),
    },
    { name: "removed", code: "GPU_BASELINE_MISSING", do: () => rm(bench.path("state/baseline.json")) },
    {
      name: "cut",
      code: "GPU_BASELINE_MALFORMED",
      do: (old) => writeFile(bench.path("state/baseline.json"), old.subarray(0, 100)),
    },
  ];
  for (const row of tamperings)
    test(`one that was ${row.name} is critical, reported, and only replaced by name`, async () => {
      const service = await start();
      await capture(service);
      await row.do(await readFile(bench.path("state/baseline.json")));
      const { verdict, probes } = await check(service);
      expect(verdict).toBe("critical");
      expect(probes.baseline?.findings[0]?.item).toBe(row.code);
      const got = await reports(1);
      expect(got[0]).toMatchObject({ class: "integrity_violation", severity: "critical" });
      expect((await get(service, "/v1/status")).json.baseline).toEqual({ state: "refused", code: row.code });
      await refusal(service, {}, "GPU_BASELINE_EXISTS");
      await refusal(service, { replace: true }, "GPU_BASELINE_UNSAFE");
      const candidate = await capture(service, { dry_run: true });
      await capture(service, { replace: true, accept_digest: candidate.json.content_digest });
      expect((await check(service)).verdict).toBe("healthy");
    });

  test("is not captured over another by accident", async () => {
    const service = await start();
    await capture(service);
    await refusal(service, {}, "GPU_BASELINE_EXISTS");
    await capture(service, { replace: true });
  });
  test("cannot bless what is warned of, also after a restart", async () => {
    const first = await start();
    await capture(first);
    await bench.model("m.gguf", "poison!");
    await first.end("SIGTERM");
    const service = await start();
    await refusal(service, { replace: true }, "GPU_BASELINE_UNSAFE");
    await refusal(service, { replace: true, accept_digest: "0".repeat(64) }, "GPU_BASELINE_OTHER");
    const candidate = await capture(service, { dry_run: true });
    await bench.model("m.gguf", "something else still");
    await refusal(service, { replace: true, accept_digest: candidate.json.content_digest }, "GPU_BASELINE_OTHER");
  });
  test("another machine's is refused", async () => {
    await capture(await start());
    await services.pop()?.end("SIGTERM");
    await writeFile(bench.path("credentials/signing"), `${"1".repeat(64)}\n`, { mode: 0o600 });
    const { probes } = await check(await start());
    expect(probes.baseline?.findings[0]?.item).toBe("GPU_BASELINE_FOREIGN");
  });
  test("a runtime that errs while it is asked gives no baseline", async () => {
    bench.inference.answer = () => ({ status: 500, text: "no" });
    const answer = await post(await start(), "/v1/baseline", {});
    expect({ status: answer.status, code: answer.json.code }).toEqual({ status: 503, code: "GPU_BASELINE_INCOMPLETE" });
  });
  test("survives a restart", async () => {
    const first = await start();
    const { json } = await capture(first);
    expect(await first.end("SIGTERM")).toBe(0);
    expect((await get(await start(), "/v1/status")).status).toBe(200);
    const service = services.at(-1) as Service;
    await check(service);
    expect((await get(service, "/v1/status")).json.baseline).toMatchObject({ state: "held", digest: json.baseline_digest });
  });
});

describe("the interface", () => {
  test("a credential opens its own scope and no other", async () => {
    const service = await start();
    const { watch, attest } = bench.tokens;
    for (const { method, path, access } of Object.values(endpoints))
      for (const [scope, token] of [
        ["watch", watch],
        ["attest-state", attest],
        ["none", undefined],
        ["wrong", "0".repeat(64)],
      ] as const) {
        if (access !== "open" && (access as readonly string[]).includes(scope)) continue;
        const { status, json } = await service.call(method, path, { token, body: path === "/v1/baseline" ? {} : undefined });
        if (access === "open") expect(status, `${path} ${scope}`).toBe(200);
        else if (status !== 429)
          expect([status, json.code], `${path} ${scope}`).toEqual(
            scope === "none" || scope === "wrong" ? [401, "HTTP_UNAUTHENTICATED"] : [403, "HTTP_FORBIDDEN"],
          );
      }
  });
  test("a body that nobody reads, a wrong method, an unknown path, an unknown key", async () => {
    const service = await start();
    expect((await post(service, "/v1/check", {})).json.code).toBe("HTTP_BODY_UNEXPECTED");
    expect((await get(service, "/v1/check")).json.code).toBe("HTTP_METHOD");
    expect((await post(service, "/shutdown")).json.code).toBe("HTTP_NOT_FOUND");
    expect((await post(service, "/v1/baseline", { force: true })).json.code).toBe("HTTP_BODY_SCHEMA");
    expect((await post(service, "/v1/baseline", '{"replace":true,"replace":false}')).json.code).toBe("HTTP_BODY_MALFORMED");
  });
  test("a bad profile keeps the old one, a good one is taken", async () => {
    const service = await start();
    const before = (await get(service, "/v1/status")).json.profile_digest;
    await bench.profile(["trigger: critical", "trigger: always"]);
    const refused = await post(service, "/v1/reload");
    expect({ status: refused.status, code: refused.json.code }).toEqual({ status: 500, code: "GPU_PROFILE_REFUSED" });
    expect((await get(service, "/v1/status")).json.profile_digest).toBe(before);
    expect((await check(service)).answer.status).toBe(200);
    await bench.profile(["interval_seconds: 300", "interval_seconds: 301"]);
    expect((await post(service, "/v1/reload")).status).toBe(200);
    expect((await get(service, "/v1/status")).json.profile_digest).not.toBe(before);
  });
  test("a probe that nobody knows errs", async () => {
    await bench.profile(["type: reference_drift\n    enabled: false", "type: palm_reading\n    enabled: true"]);
    const { verdict, probes } = await check(await start());
    expect(probes.reference_drift?.status).toBe("error");
    expect(verdict).toBe("warning");
  });
  test("the history is bounded and the trend rises with trouble", async () => {
    await bench.profile(["max_history: 200", "max_history: 10"]);
    await addCard(bench);
    await bench.model("m.gguf", "weights");
    const service = await start();
    await capture(service);
    for (let round = 0; round < 7; round += 1) await check(service);
    await bench.model("m.gguf", "poison!");
    for (let round = 0; round < 5; round += 1) await check(service);
    const { history } = (await get(service, "/v1/history")).json as { history: unknown[] };
    expect(history).toHaveLength(10);
    const status = (await get(service, "/v1/status")).json;
    expect(statusAnswer.problems(status, 3)).toEqual([]);
    expect(status.trend).toBeGreaterThan(0);
    expect(status.reload_requested).toBe(true);
  });
  test("checks at the same time are one check", async () => {
    const service = await start();
    await check(service);
    bench.inference.answer = () => "never";
    const before = (await get(service, "/v1/status")).json.cycles as number;
    await Promise.all(Array.from({ length: 8 }, () => check(service)));
    expect((await get(service, "/v1/status")).json.cycles as number).toBeLessThan(before + 8);
  });
  test("a caller that leaves stops what was begun for it, and the next one is served", async () => {
    const service = await start();
    await capture(service);
    bench.inference.answer = () => "never";
    const asked = bench.inference.received.length;
    const socket = connect(service.port, "127.0.0.1");
    socket.write(
      `POST /v1/check HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bench.tokens.watch}\r\nContent-Length: 0\r\n\r\n`,
    );
    await expect.poll(() => bench.inference.received.length, { timeout: 10_000 }).toBeGreaterThan(asked);
    socket.destroy();
    await once(socket, "close");
    bench.inference.answer = ({ json }) => ({ status: 200, json: { content: `answer to ${String(json.prompt)}` } });
    expect((await check(service)).probes.sentinel_inference?.status).toBe("pass");
  });
  test("metrics are text behind the token", async () => {
    const service = await start();
    await check(service);
    expect((await get(service, "/metrics")).text).toContain("gpu_integrity_watch_verdict_no_device 1");
  });
  test("what it did is in a chain that verifies", async () => {
    const service = await start();
    await check(service);
    await capture(service);
    expect(await service.end("SIGTERM")).toBe(0);
    await bench.verify();
    const types = (await readFile(bench.path("state/audit.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types).toEqual(expect.arrayContaining(["created", "started", "cycle", "baseline_capture", "stopped"]));
  });
});

describe("in bad times", () => {
  test("killed at any point, it starts again, its chain holds, and its baseline is the old or the new one", async () => {
    await addCard(bench);
    await bench.model("m.gguf", "weights");
    const digests: unknown[] = [];
    for (let round = 0; round < 12; round += 1) {
      const service = await start();
      const answers = Promise.allSettled([
        post(service, "/v1/check"),
        post(service, "/v1/baseline", { replace: true }),
        post(service, "/v1/check"),
      ]);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
      await service.end("SIGKILL");
      for (const answer of await answers)
        if (answer.status === "fulfilled" && answer.value.json.baseline_digest !== undefined)
          digests.push(answer.value.json.baseline_digest);
    }
    const service = await start();
    await check(service);
    const { baseline } = (await get(service, "/v1/status")).json as { baseline: { state: string } };
    expect(["held", "none"]).toContain(baseline.state);
    if (digests.length > 0) expect(baseline.state).toBe("held");
    await service.end("SIGTERM");
    await bench.verify();
  });

  test("a check that cannot be recorded is refused by name, and served once there is room", async () => {
    const service = await startService(bench, {}, [
      ...["sh", "-c", 'ulimit -f 16; exec "$@"', "sh"],
      ...[process.execPath, "services-src/gpu-integrity-watch/main.ts"],
    ]);
    services.push(service);
    await expect
      .poll(async () => (await post(service, "/v1/check")).json.code, { timeout: 60_000, interval: 1 })
      .toBe("AUDIT_UNAVAILABLE");
    expect((await service.call("GET", "/ready")).status).toBe(503);
    await service.end("SIGKILL");
    await check(await start());
    await services.at(-1)?.end("SIGTERM");
    await bench.verify();
  });
});

describe("no start", () => {
  const refusals: readonly { name: string; code: string; do: () => Promise<Record<string, string> | undefined> }[] = [
    { name: "without a profile", code: "FILE_UNREADABLE", do: async () => ({ INTEGRITY_PROFILE: "/nonexistent" }) },
    {
      name: "with a trigger that nobody knows",
      code: "CONFIG_SCHEMA",
      do: async () => {
        await bench.profile(["trigger: critical", "trigger: never"]);
        return undefined;
      },
    },
    { name: "where others could reach it", code: "ADDRESS_NOT_LOCAL", do: async () => ({ BIND_ADDR: "0.0.0.0:8495" }) },
    {
      name: "with one token for both scopes",
      code: "CREDENTIAL_SHARED",
      do: async () => ({ ATTEST_STATE_TOKEN_PATH: bench.path("credentials/watch") }),
    },
    {
      name: "with an audit log that was cut",
      code: "AUDIT_TRUNCATED",
      do: async () => {
        const service = await start();
        await check(service);
        await service.end("SIGTERM");
        const log = await readFile(bench.path("state/audit.jsonl"), "utf8");
        await writeFile(bench.path("state/audit.jsonl"), `${log.split("\n").slice(0, 2).join("\n")}\n`);
        return undefined;
      },
    },
  ];
  for (const row of refusals)
    test(row.name, async () => {
      const env = await row.do();
      expect((await refusedStart(bench, env)).code).toBe(row.code);
    });
});
