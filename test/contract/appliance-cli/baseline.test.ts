import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHome, type Home, type Service, startService } from "../integrity-monitor/service.ts";
import { createTree, type Tree } from "../integrity-monitor/tree.ts";
import { type Bench, createBench, type Ended, secaiWith, trusted } from "./bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await createBench();
});
afterEach(() => bench.remove());

const DIGEST = "d".repeat(64);
const found = { category: "policy_file", path: "/etc/x", kind: "changed", expected: "a", actual: "b" };
const own = { ...found, category: "state_file", path: "/var/x" };
const line = "category=policy_file path=/etc/x kind=changed expected=a actual=b";

describe("baseline", () => {
  test("verify says what is not as it should be", async () => {
    bench.answers["POST /api/v1/scan"] = {
      json: { state: "degraded", violation_count: 1, violations_sha256: DIGEST, violations: [found] },
    };
    bench.answers["POST /v1/check"] = { json: { verdict: "no_device", probes: [] } };
    const { status, out } = await bench.secai("baseline verify");
    expect([status, out]).toEqual([1, `integrity: degraded, 1 violations\n  ${line}\ngpu: no_device\n`]);
  });
  test("a service that is down is said, and the other is told", async () => {
    bench.answers["POST /v1/check"] = { json: { verdict: "healthy", probes: [] } };
    await bench.down("integrity-monitor");
    const { status, out } = await bench.secai("baseline verify");
    expect(status).toBe(3);
    expect(out).toContain("PEER_UNREACHABLE");
    expect(out).toContain("gpu: healthy");
  });
  test("capture-gpu counts, and captures with --yes only", async () => {
    const counts = { content_digest: "b".repeat(64), files: 1, sentinels: null, drivers: 0, devices: 0 };
    bench.answers["POST /v1/baseline"] = ({ json }) => ({
      json: { status: json.dry_run === true ? "candidate" : "captured", ...counts },
    });
    expect((await bench.secai("baseline capture-gpu --replace")).out).toContain("nothing was captured");
    await bench.secai(`baseline capture-gpu --replace --accept ${"b".repeat(64)} --yes`);
    expect(bench.asked.map(({ json }) => json)).toEqual([{ dry_run: true }, { replace: true, accept_digest: "b".repeat(64) }]);
  });
});

describe("baseline show", () => {
  beforeEach(() => {
    const latest = { timestamp: "x", verdict: "no_device", composite_score: 0 };
    bench.answers["GET /v1/status"] = { json: { latest, baseline: { state: "none" } } };
  });
  test("what is wrong, and what the latch fell for", async () => {
    const status = {
      state: "degraded",
      latched_since: "2026",
      violation_count: 3,
      active_violations: [found],
      latch_reasons: [own],
    };
    bench.answers["GET /api/v1/status"] = { json: { ...trusted, ...status } };
    const { out } = await bench.secai("baseline");
    expect(out).toContain(`integrity monitor: degraded, 3 wrong now\n  ${line}\n  and 2 more\n`);
    expect(out).toMatch(
      /^latched since 2026, until its recovery \(secai recover\), for:\n {2}category=state_file path=\/var\/x /m,
    );
    expect(JSON.parse((await bench.secai("baseline show --json")).out)).toMatchObject({ monitor: status });
  });
  test("nothing of either", async () => {
    bench.answers["GET /api/v1/status"] = { json: trusted };
    expect((await bench.secai("baseline")).out).toMatch(/integrity monitor: trusted, 0 wrong now\n$/);
  });
  test("a monitor that is down", async () => {
    await bench.down("integrity-monitor");
    const { status, out } = await bench.secai("baseline show");
    expect([status, out.includes("PEER_UNREACHABLE"), out.includes("wrong now")]).toEqual([3, true, false]);
  });
});

/** Accepts what a dry run shows. */
async function accepted(secai: (...words: readonly string[]) => Promise<Ended>): Promise<Ended> {
  const dry = JSON.parse((await secai("baseline", "accept", "--json")).out) as { readonly violations_sha256?: string };
  return secai("baseline", "accept", "--accept", dry.violations_sha256 ?? DIGEST, "--yes");
}

describe("baseline accept", () => {
  const scanSays = (...violations: readonly object[]): void => {
    const state = violations.length === 0 ? "trusted" : "degraded";
    const json = { state, violation_count: violations.length, violations_sha256: DIGEST, violations };
    bench.answers["POST /api/v1/scan"] = { json };
  };
  const asked = () => bench.asked.map(({ request, scope }) => `${request} ${scope}`);
  test("without --yes says what would be accepted", async () => {
    scanSays(own);
    const { status, out } = await bench.secai("baseline accept");
    expect([status, out.includes("path=/var/x"), out.includes("nothing was accepted")]).toEqual([0, true, true]);
    expect(out).toContain(`secai baseline accept --accept ${DIGEST} --yes`);
    expect(asked()).toEqual(["POST /api/v1/scan monitor"]);
  });
  test("what is the release's is told apart, and exit 1", async () => {
    scanSays(own, found);
    const { status, out } = await bench.secai("baseline accept");
    expect([status, /^never accepted, .*\n {2}category=policy_file path=\/etc\/x/m.test(out)]).toEqual([1, true]);
    expect(JSON.parse((await bench.secai("baseline accept --json")).out)).toMatchObject({
      dry_run: true,
      would_accept: [own],
      never_accepted: [found],
    });
  });
  test("with nothing wrong nothing is signed", async () => {
    scanSays();
    const { status, out } = await bench.secai(`baseline accept --accept ${DIGEST} --yes`);
    expect([status, out]).toEqual([0, "nothing is wrong, so there is nothing to accept\n"]);
    expect(asked()).toEqual(["POST /api/v1/scan monitor"]);
  });
  test("--yes alone accepts nothing: it names nothing", async () => {
    scanSays(own);
    const { status, err } = await bench.secai("baseline accept --yes");
    expect([status, err.includes("CLI_USAGE"), asked()]).toEqual([2, true, []]);
  });
  test("what is accepted is what the dry run named", async () => {
    scanSays(own);
    bench.answers["POST /api/v1/rebaseline"] = {
      json: { status: "rebaselined", state: "trusted", baseline: { created_at: "x", sha256: DIGEST, entries: 1, generation: 2 } },
    };
    expect((await accepted((...words) => bench.secai(words.join(" ")))).status).toBe(0);
    expect(bench.asked.at(-1)).toMatchObject({ request: "POST /api/v1/rebaseline", json: { accept_digest: DIGEST } });
  });
  test("a refusal names what to do", async () => {
    scanSays(found);
    bench.answers["POST /api/v1/rebaseline"] = {
      status: 409,
      json: { code: "REBASELINE_REFUSED", message: "no", requestId: "x" },
    };
    const { status, err } = await bench.secai(`baseline accept --accept ${DIGEST} --yes`);
    expect([status, /409 REBASELINE_REFUSED\n {2}next: secai baseline verify/.test(err)]).toEqual([1, true]);
  });
  test("a monitor that is down", async () => {
    await bench.down("integrity-monitor");
    expect(await bench.secai(`baseline accept --accept ${DIGEST} --yes`)).toMatchObject({
      status: 3,
      err: expect.stringContaining("PEER_UNREACHABLE") as string,
    });
  });
});

describe("with a monitor that runs", () => {
  const PROFILE = "/var/lib/secure-ai/tpm-attestation/profile.json";
  let tree: Tree;
  let home: Home;
  let folder: string;
  let service: Service;
  beforeEach(async () => {
    tree = createTree();
    home = createHome(tree);
    folder = await mkdtemp(join(tmpdir(), "secai-cli-monitor-"));
    for (const [name, token] of [
      ["integrity-monitor.token", home.tokens.monitor],
      ["integrity-rebaseline.token", home.tokens.rebaseline],
    ] as const)
      await writeFile(join(folder, name), `${token}\n`, { mode: 0o600 });
    service = await startService(home);
    await service.until("looked at", ({ scanned }) => scanned);
  });
  afterEach(async () => {
    await service.end("SIGKILL");
    await Promise.all([tree.remove(), home.remove(), rm(folder, { recursive: true })]);
  });
  const secai = (...words: readonly string[]): Promise<Ended> =>
    secaiWith(words, { SECAI_CREDENTIALS: folder, SECAI_INTEGRITY_MONITOR_ADDR: `127.0.0.1:${service.port}` });

  test("this machine's own file is accepted, the latch stays, and says so", async () => {
    tree.write(PROFILE, '{"version":2}\n');
    const shown = await secai("baseline", "accept");
    expect([shown.status, shown.out.includes(`path=${PROFILE} kind=changed`)], shown.err).toEqual([0, true]);
    const answer = await accepted(secai);
    expect(answer.status, answer.err).toBe(0);
    expect(answer.out).toMatch(/^accepted: baseline 2, sha256 [0-9a-f]{64}$/m);
    expect(answer.out).toContain("the monitor stays degraded until the recovery. next: secai recover");
    expect(await service.status()).toMatchObject({ state: "degraded", violation_count: 0, baseline: { generation: 2 } });
    expect((await accepted(secai)).out).toContain("nothing to accept");
    expect(home.auditRecords()).toContainEqual(
      expect.objectContaining({ type: "baseline_signed", data: expect.objectContaining({ occasion: "rebaseline" }) }),
    );
  });

  test("a file that was not there before, as an enrolment makes one, is accepted", async () => {
    await rm(tree.at(PROFILE));
    expect((await accepted(secai)).status).toBe(0);
    tree.write(PROFILE, "{}\n");
    const answer = await accepted(secai);
    expect(answer.out, answer.err).toMatch(new RegExp(`path=${PROFILE} kind=unexpected[^]*^accepted: baseline 3`, "m"));
    expect(await service.status()).toMatchObject({ violation_count: 0, baseline: { generation: 3 } });
  });

  test("nothing is accepted beside a policy that is not the release's", async () => {
    tree.write(PROFILE, '{"version":2}\n');
    tree.write("/etc/secure-ai/policy/policy.yaml", "version: 2\n");
    const shown = await secai("baseline", "accept");
    expect([shown.status, shown.out.includes("never accepted")]).toEqual([1, true]);
    const refused = await accepted(secai);
    expect([refused.status, refused.err.includes("REBASELINE_REFUSED")]).toEqual([1, true]);
    expect(await service.status()).toMatchObject({ violation_count: 2, baseline: { generation: 1 } });
  });
});
