import { writeFileSync } from "node:fs";
import { FORENSIC_DOMAIN } from "@secai/formats/forensic";
import { exampleForensic } from "@secai/formats/forensic.test-data";
import { STATE_BUNDLE_DOMAIN } from "@secai/kit/api/attestation";
import type { Requirement } from "@secai/kit/api/incidents";
import type { JsonValue } from "@secai/kit/digest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readRepositoryFile } from "../../../scripts/house/tree.ts";
import { testRelease } from "../../../services-src/runtime-attestor/boot.test-data.ts";
import { signedStatement, statementKey } from "../../../services-src/runtime-attestor/statement.test-data.ts";
import { evaluationBundle } from "../incident-recorder/attestor.ts";
import { Appliance } from "../runtime-attestor/attestor.ts";
import { Machine } from "../runtime-attestor/machine.ts";
import * as vault from "../vault-control/bench.ts";
import { type Bench, createBench, type Ended, ID, incident, requirement, secaiWith, stats, trusted } from "./bench.ts";
import { beginChains } from "./chains.ts";

// Every command that the guide tells root to type, in the guide's order: the programs themselves, against services that answer as documented.

const PAGE = "docs/guides/operate.md";
const EXAMPLE = "INC-20260101-120000-0001";

/** Lines of console blocks after root's prompt, as words. */
function rootCommands(page: string): readonly (readonly string[])[] {
  const blocks = [...page.matchAll(/^```console\n(?<body>[\s\S]*?)^```$/gm)].map((match) => match.groups?.body ?? "");
  const lines = blocks.flatMap((body) => body.split("\n")).filter((line) => line !== "");
  return lines.map((line) => {
    if (!line.startsWith("# ")) throw new Error(`${PAGE}: not a command of root's: ${line}`);
    return [...line.slice(2).matchAll(/"(?<quoted>[^"]*)"|(?<plain>\S+)/g)].map(
      ({ groups }) => groups?.quoted ?? groups?.plain ?? "",
    );
  });
}

let bench: Bench;
/** Without a vault, and with the closed one that the bench's volume programs know. */
let vaults: { readonly none: vault.Bench; readonly closed: vault.Bench };
let appliance: Appliance;
beforeAll(async () => {
  bench = await createBench();
  await beginChains(bench);
  writeFileSync(bench.path("run/vault-state"), '{"state":"locked","timestamp":"x","detail":"seen"}\n');
  answerAsDocumented();
  vaults = { none: await vault.createBench("none"), closed: await vault.createBench(false) };
  const release = testRelease("1");
  appliance = new Appliance(await Machine.booted({ release }));
  const owner = statementKey();
  writeFileSync(appliance.at("measurements.json.sigstore.json"), signedStatement(release.measurements, owner));
  writeFileSync(appliance.at("release.pub"), owner.pem);
});
afterAll(async () => {
  await Promise.all([bench.remove(), vaults.none.remove(), vaults.closed.remove(), appliance.remove()]);
});

/** A machine on which somebody has just enrolled: one file is not as it was, one incident waits for its recovery. */
function answerAsDocumented(): void {
  const { answers, signer, recorderSigner } = bench;
  const facts = { evidence_verified: true, tpm_available: true, tpm_quote_verified: true, secure_boot: true };
  const more = { deployment_verified: true, release_baseline_verified: true, release_version: "1", last_attested: "x" };
  const state = { attestation_state: "attested", assurance_mode: "hardware", failures: [] };
  const verdict = {
    verified: true,
    policy_satisfied: true,
    state: "attested",
    assurance_mode: "hardware",
    evidence_verified: true,
  };
  const own = { category: "state_file", path: "/p/profile.json", kind: "changed", expected: "a", actual: "b" };
  const digest = "b".repeat(64);
  const summary = { created_at: "x", sha256: digest, entries: 1, generation: 2 };
  const gpu = { timestamp: "x", verdict: "no_device", composite_score: 0 };
  const capture = { content_digest: digest, files: 0, sentinels: null, drivers: 0, devices: 0 };
  const signature = (by: Bench["signer"], domain: string, value: object) => ({
    algorithm: "ed25519",
    key_id: by.keyId,
    value: by.sign(domain, value as unknown as JsonValue),
  });
  let isAccepted = false;
  let now: Requirement = requirement;
  Object.assign(answers, {
    "runtime-attestor GET /api/v1/verify": { json: verdict },
    "GET /api/security/status": { json: { ...facts, ...more, ...state } },
    "integrity-monitor GET /api/v1/status": { json: trusted },
    "GET /v1/status": { json: { latest: gpu, baseline: { state: "none" } } },
    "POST /v1/check": { json: { verdict: "no_device", probes: [] } },
    "GET /api/v1/stats": { json: stats },
    "POST /api/v1/incidents/query": { json: [incident] },
    "POST /api/v1/incidents/get": { json: incident },
    "POST /api/v1/incidents/resolve": { json: { ...incident, state: "resolved" } },
    "POST /api/v1/incidents/acknowledge": { json: { ...incident, state: "acknowledged" } },
    "integrity-monitor POST /api/v1/release": { json: { status: "released", incident_id: ID, held_by: [] } },
  } satisfies Bench["answers"]);
  answers["POST /api/v1/refresh"] = ({ json }) => {
    const bundle = evaluationBundle(String(json.request_nonce));
    return { json: { bundle, signature: signature(signer, STATE_BUNDLE_DOMAIN, bundle) } };
  };
  answers["GET /api/v1/forensic/export"] = {
    text: JSON.stringify({ ...exampleForensic, signature: signature(recorderSigner, FORENSIC_DOMAIN, exampleForensic) }),
  };
  answers["POST /api/v1/scan"] = () => {
    const violations = isAccepted ? [] : [own];
    const state = isAccepted ? "trusted" : "degraded";
    return { json: { state, violation_count: violations.length, violations_sha256: "0".repeat(64), violations } };
  };
  answers["POST /api/v1/rebaseline"] = () => {
    isAccepted = true;
    return { json: { status: "rebaselined", state: "degraded", baseline: summary } };
  };
  answers["POST /v1/baseline"] = ({ json }) => ({
    json: { status: json.dry_run === true ? "candidate" : "captured", ...capture },
  });
  answers["GET /api/v1/recovery/status"] = () => ({ json: { pending_recoveries: [now], count: 1 } });
  answers["POST /api/v1/recovery/ack"] = ({ json }) => {
    now = { ...now, acked_at: "2026-01-01T00:00:01.000Z", acked_by: String(json.operator) };
    return { json: now };
  };
  answers["POST /api/v1/recovery/reattest"] = () => {
    const done = { re_attested_at: "2026-01-01T00:00:01.000Z", held_targets: [], recovery_complete: true };
    now = { ...now, ...done };
    return { json: now };
  };
}

const runners: Readonly<Record<string, (words: readonly string[]) => Promise<Ended>>> = {
  secai: (words) =>
    secaiWith(
      words.map((word) => (word === EXAMPLE ? ID : word.endsWith(".json") ? bench.path(word) : word)),
      bench.env,
    ),
  "vault-ctl": ([verb = "", ...words]) => {
    const { none, closed } = vaults;
    const paths = words.map((word) => (word.startsWith("/var/") ? none.path("new") : word));
    return (verb === "setup" ? none : closed).control([verb, ...paths], vault.PASSPHRASE);
  },
  "secai-attestation-enrol": async (words) => {
    const isFile = (word: string): boolean => /\.(json|pub)$/.test(word);
    const { status, stdout, stderr } = appliance.enrol(words.map((word) => (isFile(word) ? appliance.at(word) : word)));
    return { status, out: stdout, err: stderr };
  },
};

/** Status 1 is the answer to a question here, not a refusal. */
const saysNo: readonly string[] = ["secai-attestation-enrol status"];

describe("the guide's commands, as root types them", () => {
  const commands = rootCommands(readRepositoryFile(PAGE));
  test("there are some of each program", () => {
    expect(new Set(commands.map(([program]) => program))).toEqual(new Set(Object.keys(runners)));
    expect(commands.length).toBeGreaterThan(30);
  });
  for (const [index, [program = "", ...words]] of commands.entries()) {
    const text = [program, ...words].join(" ");
    test(`${index + 1}: ${text}`, async () => {
      const runner = runners[program];
      if (runner === undefined) throw new Error(`${program} is no command of the appliance`);
      const { status, out, err } = await runner(words);
      expect(status, `${out}${err}`).toBe(saysNo.includes(text) ? 1 : 0);
      expect(out).not.toBe("");
    });
  }
});

test("what the guide names as codes are codes of the catalogue", () => {
  const known = new Set(
    [...readRepositoryFile("docs/errors.md").matchAll(/^\| `(?<code>[A-Z_]+)` \|/gm)].map((row) => row.groups?.code),
  );
  const named = [...readRepositoryFile(PAGE).matchAll(/`(?<code>[A-Z]+(?:_[A-Z]+)+)`/g)].map((match) => match.groups?.code ?? "");
  expect(named.filter((code) => !known.has(code))).toEqual([]);
});
