import { generateKeyPairSync } from "node:crypto";
import { cpSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { canonicalJson, type JsonValue, sha256 } from "@secai/kit/digest";
import { createSigner } from "@secai/kit/signing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Recorder, startRecorder } from "./recorder.ts";
import {
  type Answer,
  createHome,
  type Home,
  type Options,
  refusedStart,
  type Scope,
  type Service,
  startService,
} from "./service.ts";
import { createTree, mountLine, ruleset, setRuleset, type Tree } from "./tree.ts";

let tree: Tree;
let home: Home;
let recorder: Recorder;
let services: Service[];
beforeEach(async () => {
  tree = createTree();
  recorder = await startRecorder();
  home = createHome(tree, recorder.address);
  services = [];
});
afterEach(async () => {
  for (const service of services) await service.end("SIGKILL");
  await Promise.all([recorder.close(), tree.remove(), home.remove()]);
});

async function start(options?: Options): Promise<Service> {
  const service = await startService(home, options);
  services.push(service);
  return service;
}

async function looked(options?: Options): Promise<Service> {
  const service = await start(options);
  await service.until("looked at", ({ scanned }) => scanned);
  return service;
}

/** Accepts what stands now. */
async function rebaseline(service: Service): Promise<Answer> {
  const { json } = await service.call("POST", "/api/v1/scan");
  return service.call("POST", "/api/v1/rebaseline", { accept_digest: json.violations_sha256 });
}

const POLICY = "/etc/secure-ai/policy/policy.yaml";
const PROFILE = "/var/lib/secure-ai/tpm-attestation/profile.json";
const RELEASE = { action: "release", incident_id: "INC-20260101-000000-0001", binding: "b".repeat(64) };
const tamper = () => tree.write(POLICY, "version: 1\n# more\n");
const restore = () => tree.write(POLICY, "version: 1\n");
const reported = (count: number) => waitFor(`${count} reports`, () => recorder.reports.length >= count);

async function waitFor(what: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + 60_000;
  while (!holds()) {
    if (performance.now() > limit) throw new Error(`never ${what}`);
    await sleep(50);
  }
}

/** A signed file of the monitor, changed by somebody who has its key. */
function resign(path: string, domain: string, change: (document: Record<string, JsonValue>) => JsonValue): void {
  const signer = createSigner(readFileSync(home.seedPath, "latin1").trim());
  const document = change((JSON.parse(readFileSync(path, "utf8")) as { document: Record<string, JsonValue> }).document);
  writeFileSync(path, `${canonicalJson({ document, key_id: signer.keyId, signature: signer.sign(domain, document) })}\n`);
}

describe("the latch", () => {
  test("stays after restoring, after a restart and after a kill, until it is released; the whole story is on record", async () => {
    const first = await looked();
    tamper();
    await first.until("degraded", ({ state }) => state === "degraded");
    restore();
    const { state } = await first.until("right again", ({ violation_count }) => violation_count === 0);
    expect(state).toBe("degraded");
    expect(await first.end("SIGTERM")).toBe(0);

    const second = await looked();
    expect(await second.status()).toMatchObject({ state: "degraded", standing_state: "trusted", violation_count: 0 });
    await second.end("SIGKILL");

    const third = await looked();
    expect(await third.status()).toMatchObject({ state: "degraded", standing_state: "trusted" });
    const answer = await third.call("POST", "/api/v1/release", RELEASE);
    expect(answer).toMatchObject({ status: 200, json: { status: "released", incident_id: RELEASE.incident_id, held_by: [] } });
    expect((await third.call("GET", "/api/v1/verify")).json).toEqual({ trusted: true, state: "trusted" });
    expect(home.auditTypes().filter((type) => type.startsWith("violation") || type.startsWith("latch"))).toEqual([
      "violation",
      "violation_gone",
      "latch_released",
    ]);
    await home.verifyAudit();
  });

  test("is not released while something is wrong", async () => {
    const service = await looked();
    tamper();
    await service.until("degraded", ({ state }) => state === "degraded");
    expect(await service.call("POST", "/api/v1/release", RELEASE)).toMatchObject({
      status: 409,
      json: { code: "RELEASE_REFUSED" },
    });
    expect((await service.status()).state).toBe("degraded");
  });

  test("falls for a file that is written and put back between two looks", async () => {
    const service = await looked({ env: { EVENTS: "off", SWEEP_SECONDS: "2" } });
    const content = tree.read(PROFILE);
    const { scan_count } = await service.status();
    tree.write(PROFILE, "{ }");
    tree.write(PROFILE, content);
    await service.until("looked at again", ({ scan_count: now }) => now > scan_count);
    expect(await service.status()).toMatchObject({
      state: "degraded",
      violation_count: 0,
      latch_reasons: [{ category: "state_file", path: PROFILE, kind: "rewritten" }],
    });
    await expect
      .poll(() => home.auditRecords(), { timeout: 10_000 })
      .toContainEqual(
        expect.objectContaining({ type: "violation", data: expect.objectContaining({ path: PROFILE, kind: "rewritten" }) }),
      );
  });

  test("three small faults, each put right before the next, add up to recovery_required", async () => {
    const service = await looked();
    for (const name of ["one", "two", "three"]) {
      const path = `/run/systemd/transient/${name}.service`;
      tree.write(path, "[Service]\n");
      await service.until(name, ({ active_violations }) => active_violations.some((one) => one.path === path));
      rmSync(tree.at(path));
      await service.until(`${name} gone`, ({ violation_count }) => violation_count === 0);
    }
    expect((await service.status()).state).toBe("recovery_required");
  });

  test("survives being killed at any moment of the detection, and so does the report", async () => {
    await (await looked()).end("SIGTERM");
    for (let round = 0; round < 12; round += 1) {
      const service = await start();
      if (round === 0) tamper();
      await sleep(round * 40);
      await service.end("SIGKILL");
    }
    const last = await looked();
    expect((await last.status()).state).toBe("degraded");
    await reported(1);
    expect(new Set(recorder.reports.map(({ fingerprint }) => fingerprint)).size).toBe(1);
    await home.verifyAudit();
  });
});

describe("the saved state", () => {
  const changes: readonly { name: string; change: () => void; code: string }[] = [
    {
      name: "a baseline that was edited",
      change: () =>
        writeFileSync(home.baselinePath, readFileSync(home.baselinePath, "utf8").replace("policy_file", "state_file")),
      code: "BASELINE_SIGNATURE",
    },
    { name: "a baseline that was cut", change: () => truncateSync(home.baselinePath, 200), code: "BASELINE_MALFORMED" },
    { name: "an empty baseline", change: () => truncateSync(home.baselinePath, 0), code: "BASELINE_MALFORMED" },
    { name: "a baseline that was deleted", change: () => rmSync(home.baselinePath), code: "BASELINE_MISSING" },
    {
      name: "a baseline that another key signed",
      change: () => {
        const { document } = JSON.parse(readFileSync(home.baselinePath, "utf8")) as { document: JsonValue };
        const seed = generateKeyPairSync("ed25519")
          .privateKey.export({ format: "der", type: "pkcs8" })
          .subarray(16)
          .toString("hex");
        const signer = createSigner(seed);
        const signature = signer.sign("SecAI-Integrity-Baseline-v2", document);
        writeFileSync(home.baselinePath, JSON.stringify({ document, key_id: signer.keyId, signature }));
      },
      code: "BASELINE_SIGNATURE",
    },
    {
      name: "a baseline signed for something else",
      change: () => resign(home.baselinePath, "SecAI-Integrity-Latch-v1", (document) => document),
      code: "BASELINE_SIGNATURE",
    },
    {
      name: "the latch in the baseline's place",
      change: () => cpSync(home.latchPath, home.baselinePath),
      code: "BASELINE_SIGNATURE",
    },
    {
      name: "a baseline with an unknown member",
      change: () => resign(home.baselinePath, "SecAI-Integrity-Baseline-v2", (document) => ({ ...document, more: 1 })),
      code: "BASELINE_MALFORMED",
    },
    { name: "a latch that was deleted", change: () => rmSync(home.latchPath), code: "LATCH_MISSING" },
    { name: "a latch that was cut", change: () => truncateSync(home.latchPath, 50), code: "LATCH_MALFORMED" },
    {
      name: "a latch that was edited",
      change: () =>
        writeFileSync(home.latchPath, readFileSync(home.latchPath, "utf8").replace('"state":"trusted"', '"state":"degraded"')),
      code: "LATCH_SIGNATURE",
    },
  ];
  for (const { name, change, code } of changes)
    test(`with ${name} it does not start: ${code}`, async () => {
      await (await looked()).end("SIGTERM");
      change();
      expect(await refusedStart(home)).toEqual({ status: 1, code });
    });

  test("an older baseline that is put back is no baseline: BASELINE_REPLAYED", async () => {
    const service = await looked();
    const old = readFileSync(home.baselinePath);
    tree.write(PROFILE, '{"more":1}');
    expect((await rebaseline(service)).status).toBe(200);
    await service.end("SIGTERM");
    writeFileSync(home.baselinePath, old);
    expect(await refusedStart(home)).toEqual({ status: 1, code: "BASELINE_REPLAYED" });
  });

  test("a root that is not sealed is not watched: ROOT_UNSEALED", async () => {
    tree.write("/sys/dev/block/254:0/dm/uuid", "LVM-0123\n");
    expect(await refusedStart(home)).toEqual({ status: 1, code: "ROOT_UNSEALED" });
    tree.write("/sys/dev/block/254:0/dm/uuid", "CRYPT-VERITY-0-root\n");
    tree.write("/proc/cmdline", "quiet\n");
    expect(await refusedStart(home)).toEqual({ status: 1, code: "ROOT_UNSEALED" });
  });
});

describe("taking a baseline", () => {
  test("nothing is taken of a machine on which something covers the root; it is told of, and taken once that is gone", async () => {
    tree.mount(mountLine(40, "0:99", "/", POLICY, "tmpfs"));
    const service = await start();
    const status = await service.until("told of", ({ violation_count }) => violation_count > 0);
    expect(status).toMatchObject({ baseline: null, scanned: false });
    expect(status.active_violations).toContainEqual(expect.objectContaining({ category: "mount", path: POLICY }));
    expect((await service.call("GET", "/api/v1/baseline")).json).toMatchObject({ code: "BASELINE_MISSING" });
    expect((await service.call("GET", "/ready")).status).toBe(503);
    tree.mount();
    const after = await service.until("taken", ({ scanned }) => scanned);
    expect(after).toMatchObject({ state: "degraded", baseline: { generation: 1 } });
  });

  test("an open firewall is not believed because it is the first", async () => {
    setRuleset(tree, JSON.stringify({ nftables: [] }));
    const service = await start();
    const status = await service.until("told of", ({ violation_count }) => violation_count > 0);
    expect(status).toMatchObject({ baseline: null, state: "recovery_required" });
    expect(status.active_violations).toEqual([expect.objectContaining({ category: "firewall", path: "ruleset" })]);
  });

  test("with the ruleset that the release's file gives, a first ruleset that differs is a violation, not a baseline", async () => {
    tree.write("/expected.json", ruleset());
    setRuleset(tree, ruleset({ rule: { family: "inet", table: "secure_ai", chain: "output", expr: [{ accept: null }] } }));
    const service = await start({ env: { EXPECTED_RULESET_PATH: tree.at("/expected.json") } });
    const status = await service.until("told of", ({ violation_count }) => violation_count > 0);
    expect(status).toMatchObject({ state: "recovery_required", baseline: { generation: 1 } });
  });

  test("the release's own list says what is right, not the files", async () => {
    const list = { schema: 1, files: [{ path: POLICY, sha256: "0".repeat(64) }] };
    tree.write("/usr/share/secure-ai/integrity/release-baseline.json", JSON.stringify(list));
    const service = await start();
    const status = await service.until("told of", ({ violation_count }) => violation_count > 0);
    expect(status.active_violations).toEqual([
      expect.objectContaining({ category: "policy_file", path: POLICY, kind: "changed" }),
    ]);
  });

  test("an update is read anew from its root, with a record; what outlives releases carries over and may grow", async () => {
    await (await looked()).end("SIGTERM");
    tree.write("/proc/cmdline", `roothash=${"c".repeat(64)}\n`);
    tree.write(POLICY, "version: 1\n# of the next release\n");
    tree.write("/usr/lib/secure-ai/services/incident-recorder.mjs", "// new\n");
    tree.write("/var/lib/secure-ai/keys/next.pub", "a key\n");
    tree.write("/var/lib/secure-ai/credentials/incident-read.token", "n".repeat(64), 0o600);
    const service = await looked();
    expect(await service.status()).toMatchObject({
      state: "trusted",
      violation_count: 0,
      baseline: { generation: 2, root_hash: "c".repeat(64) },
    });
    expect(
      home
        .auditRecords()
        .filter(({ type }) => type === "baseline_signed")
        .map(({ data }) => data.occasion),
    ).toEqual(["first", "release"]);
  });

  test("an update does not bless what was changed before it", async () => {
    await (await looked()).end("SIGTERM");
    tree.write("/proc/cmdline", `roothash=${"c".repeat(64)}\n`);
    tree.write(PROFILE, '{"other":1}');
    const service = await looked();
    const { state, active_violations } = await service.status();
    expect(state).toBe("degraded");
    expect(active_violations).toEqual([expect.objectContaining({ category: "state_file", path: PROFILE, kind: "changed" })]);
  });
});

describe("rebaseline", () => {
  test("takes this machine's own files, signs them, and leaves the latch", async () => {
    const service = await looked();
    tree.write(PROFILE, '{"enrolled":1}');
    await service.until("degraded", ({ state }) => state === "degraded");
    const answer = await rebaseline(service);
    expect(answer).toMatchObject({
      status: 200,
      json: { status: "rebaselined", state: "degraded", baseline: { generation: 2 } },
    });
    expect(await service.status()).toMatchObject({ standing_state: "trusted", violation_count: 0 });
    expect((await service.call("POST", "/api/v1/release", RELEASE)).status).toBe(200);
    await service.end("SIGTERM");
    expect((await (await looked()).status()).state).toBe("trusted");
  });

  test("what changed since it was looked at is not accepted with the rest", async () => {
    const service = await looked();
    tree.write(PROFILE, '{"enrolled":1}');
    const { json } = await service.call("POST", "/api/v1/scan");
    tree.write(PROFILE, '{"enrolled":2}');
    expect(await service.call("POST", "/api/v1/rebaseline", { accept_digest: json.violations_sha256 })).toMatchObject({
      status: 409,
      json: { code: "REBASELINE_REFUSED" },
    });
    expect((await service.status()).baseline).toMatchObject({ generation: 1 });
  });

  const refusals: readonly { name: string; change: () => void }[] = [
    { name: "a file of the release", change: tamper },
    { name: "a mount", change: () => tree.mount(mountLine(40, "0:99", "/", "/usr/share/doc", "tmpfs")) },
    { name: "a module", change: () => tree.write("/proc/modules", "rootkit 1 0 - Live 0x0\n") },
    { name: "the firewall", change: () => setRuleset(tree, JSON.stringify({ nftables: [] })) },
    { name: "a unit in /run", change: () => tree.write("/run/systemd/system/a.service", "[Service]\n") },
  ];
  for (const { name, change } of refusals)
    test(`is refused while ${name} is not as it should be`, async () => {
      const service = await looked();
      change();
      expect(await rebaseline(service)).toMatchObject({
        status: 409,
        json: { code: "REBASELINE_REFUSED" },
      });
      expect((await service.status()).baseline).toMatchObject({ generation: 1 });
    });
});

describe("reports", () => {
  test("one of a standing set, another only when it changes, however often it is looked at", async () => {
    const service = await looked({ env: { SWEEP_SECONDS: "1" } });
    tamper();
    await reported(1);
    const { scan_count } = await service.status();
    await service.until("looked at often", ({ scan_count: now }) => now >= scan_count + 3);
    expect(recorder.reports.length).toBe(1);
    expect(recorder.reports[0]).toMatchObject({
      class: "integrity_violation",
      source: "integrity-monitor",
      severity: "high",
      evidence: {
        state: "degraded",
        violation_count: 1,
        violations: [{ category: "policy_file", path: POLICY, action: "reload_policy" }],
      },
    });
    tree.write("/run/systemd/transient/a.service", "[Service]\n");
    await reported(2);
    expect(recorder.reports[1]?.evidence).toMatchObject({ violation_count: 2 });
    expect(recorder.malformed).toEqual([]);
  });

  test("a restart does not report the same standing set again", async () => {
    const first = await looked();
    tamper();
    await reported(1);
    await first.until("delivered", ({ reports_waiting }) => reports_waiting === 0);
    await first.end("SIGTERM");
    const second = await looked();
    await second.call("POST", "/api/v1/scan");
    expect(recorder.reports.length).toBe(1);
  });

  test("nothing is lost while the recorder is away, a restart included", async () => {
    const first = await looked();
    recorder.goAway();
    tamper();
    await first.until("queued", ({ reports_waiting }) => reports_waiting === 1);
    await first.end("SIGKILL");
    const second = await looked();
    expect((await second.status()).reports_waiting).toBe(1);
    recorder.comeBack();
    await reported(1);
    expect(recorder.reports.length).toBe(1);
  });

  test("a changed model is a manifest mismatch that names the model and its file", async () => {
    const digest = "2689367b205c16ce32ed4200942b8b8b1e262dfc70d9bc9fbc77c49699a4f1df";
    tree.write("/var/lib/secure-ai/vault/models/m.gguf", "ok");
    const models = [{ name: "tiny", filename: "m.gguf", sha256: digest, size_bytes: 2, format: "gguf" }];
    tree.write("/var/lib/secure-ai/registry/manifest.json", JSON.stringify({ version: 1, models }));
    const service = await looked();
    expect((await service.status()).state).toBe("trusted");
    tree.write("/var/lib/secure-ai/vault/models/m.gguf", "no");
    await reported(1);
    expect(recorder.reports[0]).toMatchObject({
      class: "manifest_mismatch",
      evidence: { model_path: "/var/lib/secure-ai/vault/models/m.gguf", model_name: "tiny" },
    });
  });
});

describe("the interface", () => {
  const endpoints: readonly { method: string; path: string; scopes: readonly Scope[]; body?: unknown }[] = [
    { method: "GET", path: "/health", scopes: ["none", "monitor", "rebaseline"] },
    { method: "GET", path: "/ready", scopes: ["none", "monitor", "rebaseline"] },
    { method: "GET", path: "/api/v1/status", scopes: ["monitor", "rebaseline"] },
    { method: "GET", path: "/api/v1/baseline", scopes: ["monitor", "rebaseline"] },
    { method: "GET", path: "/api/v1/verify", scopes: ["monitor", "rebaseline"] },
    { method: "GET", path: "/metrics", scopes: ["monitor", "rebaseline"] },
    { method: "POST", path: "/api/v1/scan", scopes: ["monitor", "rebaseline"] },
    { method: "POST", path: "/api/v1/reload", scopes: ["monitor", "rebaseline"] },
    { method: "POST", path: "/api/v1/rebaseline", scopes: ["rebaseline"], body: { accept_digest: sha256("[]") } },
    { method: "POST", path: "/api/v1/release", scopes: ["rebaseline"], body: RELEASE },
  ];

  test("each credential opens what it is for, and nothing else", async () => {
    const service = await looked();
    for (const { method, path, scopes, body } of endpoints)
      for (const scope of ["none", "monitor", "rebaseline"] as const) {
        const { status } = await service.call(method, path, body, scope);
        const refused = scope === "none" ? 401 : 403;
        expect(status, `${method} ${path} as ${scope}`).toBe(scopes.includes(scope) ? 200 : refused);
      }
  });

  test("what an operator asks is on record, and so is a wrong credential", async () => {
    const service = await looked();
    await service.call("POST", "/api/v1/rebaseline", { accept_digest: "0".repeat(64) }, "monitor");
    await service.call("POST", "/api/v1/reload");
    await service.call("POST", "/api/v1/release", RELEASE);
    expect(home.auditTypes()).toEqual(expect.arrayContaining(["authentication_failed", "policy_loaded", "latch_released"]));
  });

  test("a policy that is not the release's is not loaded", async () => {
    const service = await looked();
    const path = "/etc/secure-ai/policy/integrity-monitor.yaml";
    tree.write(path, tree.read(path).replace("degradation_threshold: 3", "degradation_threshold: 99"));
    expect(await service.call("POST", "/api/v1/reload")).toMatchObject({ status: 500, json: { code: "MONITOR_RELOAD_FAILED" } });
    expect(home.auditTypes()).not.toContain("policy_loaded");
  });

  test("metrics say the state as a number", async () => {
    const service = await looked();
    tree.write("/usr/lib/secure-ai/trust/release.pub", "x");
    await service.until("worst", ({ state }) => state === "recovery_required");
    expect((await service.call("GET", "/metrics")).text).toContain("integrity_monitor_state 2\n");
  });
});

test("without a clean disk nothing is forgotten: what cannot be written is written later", async () => {
  const service = await looked();
  renameSync(`${home.path}/latch`, `${home.path}/gone`);
  tamper();
  await service.until("degraded", ({ state }) => state === "degraded");
  expect((await service.call("GET", "/ready")).status).toBe(503);
  renameSync(`${home.path}/gone`, `${home.path}/latch`);
  await service.call("POST", "/api/v1/scan");
  expect((await service.call("GET", "/ready")).status).toBe(200);
  await service.end("SIGKILL");
  expect((await (await looked()).status()).state).toBe("degraded");
});
