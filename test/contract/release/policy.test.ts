import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePublicKey } from "@secai/formats/keys";
import { runVerify } from "@secai/verify/command";
import { type PolicyFile, parsePolicyFile, verifyPolicyShape } from "@secai/verify/policy-file";
import { knownBuilders } from "@secai/verify/release-policy";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { makeKeys, makeRelease, suiteResults, temporaryDirectory } from "./fixture.ts";
import { remove, write } from "./forge.ts";

const scratch = temporaryDirectory();
afterAll(() => scratch[Symbol.dispose]());
const at = (name: string) => join(scratch.path, name);
makeKeys(at("keys"));
makeKeys(at("stranger"));
await makeRelease(at("release"), at("keys"), { files: suiteResults });
const { fingerprint } = parsePublicKey(readFileSync(at("keys/release.pub")));

const ours: PolicyFile = {
  schema: 1,
  name: "ours",
  builders: knownBuilders,
  designations: ["dev"],
  anchors: { fingerprints: [fingerprint], threshold: 1 },
  signatures: "any",
  requiredStatements: ["provenance", "baseline"],
  requiredTests: [{ suite: "acceptance", accelerators: ["tcg", "kvm"] }],
  freshness: { expiry: "enforce", maxTrustAgeDays: 90 },
  sources: { recipe: "debian-13" },
  minimumVersion: "0.1.0",
  minimumSequence: 0,
  exposedPorts: [{ address: "0.0.0.0", port: 8443 }],
};
const bytes = (policy: unknown) => Buffer.from(JSON.stringify(policy, undefined, 2));

test("a policy reads back, whatever its spacing", () => expect(parsePolicyFile(bytes(ours))).toEqual(ours));

const refused: readonly { readonly name: string; readonly code: string; readonly policy: unknown }[] = [
  { name: "a misspelt member", code: "SCHEMA_MISMATCH", policy: { ...ours, minimumVersoin: "1" } },
  { name: "a misspelt member inside", code: "SCHEMA_MISMATCH", policy: { ...ours, freshness: { expiry: "enforce", maxAge: 1 } } },
  { name: "a schema to come", code: "SCHEMA_MISMATCH", policy: { ...ours, schema: 2 } },
  { name: "no builders", code: "SCHEMA_MISMATCH", policy: { ...ours, builders: [] } },
  { name: "no designations", code: "SCHEMA_MISMATCH", policy: { ...ours, designations: [] } },
  { name: "no threshold", code: "SCHEMA_MISMATCH", policy: { ...ours, anchors: { fingerprints: [] } } },
  { name: "a threshold of zero", code: "SCHEMA_MISMATCH", policy: { ...ours, anchors: { fingerprints: [], threshold: 0 } } },
  {
    name: "a threshold above its anchors",
    code: "SCHEMA_MISMATCH",
    policy: { ...ours, anchors: { fingerprints: [fingerprint], threshold: 2 } },
  },
  {
    name: "an anchor twice",
    code: "DUPLICATE_ENTRY",
    policy: { ...ours, anchors: { fingerprints: [fingerprint, fingerprint], threshold: 2 } },
  },
  { name: "a suite twice", code: "DUPLICATE_ENTRY", policy: { ...ours, requiredTests: [{ suite: "a" }, { suite: "a" }] } },
  {
    name: "a suite under no accelerator",
    code: "SCHEMA_MISMATCH",
    policy: { ...ours, requiredTests: [{ suite: "a", accelerators: [] }] },
  },
  { name: "an unknown kind of signature", code: "SCHEMA_MISMATCH", policy: { ...ours, signatures: "none" } },
  { name: "an unknown statement", code: "SCHEMA_MISMATCH", policy: { ...ours, requiredStatements: ["passport"] } },
  { name: "half a commit", code: "SCHEMA_MISMATCH", policy: { ...ours, sources: { commits: ["abc"] } } },
  { name: "a list", code: "SCHEMA_MISMATCH", policy: [ours] },
];
const validate = new Ajv2020({ strict: true }).compile(verifyPolicyShape.schema);
for (const { name, code, policy } of refused) {
  test(`a policy with ${name}: ${code}`, () => {
    expect(() => parsePolicyFile(bytes(policy))).toThrow(expect.objectContaining({ code }));
  });
}
test("the published schema accepts the policy and refuses what a schema can", () => {
  expect(validate(ours)).toBe(true);
  expect(validate({ ...ours, minimumVersoin: "1" })).toBe(false);
});
test("parsing is total", () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      try {
        parsePolicyFile(Buffer.from(json));
      } catch (error) {
        expect(error).toHaveProperty("code");
      }
    }),
  );
});

async function run(policy: PolicyFile | undefined, ...args: string[]) {
  const said = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => {
      said.stdout += text;
    },
    stderr: (text: string) => {
      said.stderr += text;
    },
    env: { SECAI_KEYS: at("no-keys") },
  };
  if (policy !== undefined) writeFileSync(at("policy.json"), bytes(policy));
  const given = policy === undefined ? [] : ["--policy", at("policy.json")];
  const exit = await runVerify(["release", at("release"), ...given, ...args, "--json"], io);
  const report = said.stdout === "" ? undefined : JSON.parse(said.stdout);
  const failed = (report?.checks ?? []).filter((check: { status: string }) => check.status === "fail");
  return { exit, report, failed: [...new Set(failed.map(({ id }: { id: string }) => id))] as string[] };
}

test("a release that fits the policy is accepted, and the report names policy, anchors and age", async () => {
  const { exit, report } = await run(ours);
  expect({ exit, policy: report.policy, trust: report.trust }).toEqual({
    exit: 0,
    policy: "ours",
    trust: [`key ${fingerprint}`],
  });
  expect(report.trustAge).toEqual({ keyManifestDays: 0, channelDays: 0 });
});

const narrowed: readonly {
  readonly name: string;
  readonly policy: PolicyFile;
  readonly args?: readonly string[];
  readonly fails: readonly string[];
}[] = [
  { name: "another builder", policy: { ...ours, builders: ["urn:x:y"] }, fails: ["provenance.builder"] },
  { name: "another designation", policy: { ...ours, designations: ["stable"] }, fails: ["release.designation"] },
  { name: "another recipe", policy: { ...ours, sources: { recipe: "other" } }, fails: ["provenance.source"] },
  { name: "a newer version", policy: { ...ours, minimumVersion: "0.2.0" }, fails: ["channel.rollback", "release.identity"] },
  { name: "a later sequence", policy: { ...ours, minimumSequence: 1_000_000 }, fails: ["channel.rollback"] },
  { name: "a suite nobody ran", policy: { ...ours, requiredTests: [{ suite: "media" }] }, fails: ["tests.required"] },
  { name: "both kinds of signature", policy: { ...ours, signatures: "hybrid" }, fails: ["keys.threshold"] },
  { name: "a builder on the command line", policy: ours, args: ["--builder", "urn:x:y"], fails: ["provenance.builder"] },
  { name: "a designation on the command line", policy: ours, args: ["--designation", "stable"], fails: ["release.designation"] },
];
for (const { name, policy, args = [], fails } of narrowed) {
  test(`${name}: rejected by ${fails.join(" and ")}`, async () => {
    const { exit, failed } = await run(policy, ...args);
    expect({ exit, failed: failed.filter((id) => !["keys.chain"].includes(id)) }).toMatchObject({ exit: 1, failed: fails });
  });
}

test("a key on the command line takes the place of the policy's anchors", async () => {
  const { exit, failed } = await run(ours, "--key", at("stranger/release.pub"));
  expect({ exit, failed: failed.includes("keys.chain") }).toEqual({ exit: 1, failed: true });
});

test("more anchors than signed the key manifest are too few signatures", async () => {
  const stranger = parsePublicKey(readFileSync(at("stranger/release.pub"))).fingerprint;
  const { exit, failed } = await run({ ...ours, anchors: { fingerprints: [fingerprint, stranger], threshold: 2 } });
  expect({ exit, failed: failed.includes("keys.chain") }).toEqual({ exit: 1, failed: true });
});

test("a policy without anchors, and nobody else to trust, is wrong use", async () => {
  expect((await run({ ...ours, anchors: { fingerprints: [], threshold: 1 } })).exit).toBe(2);
});

test("a key manifest from outside is an anchor, and a changed one is a fork", async () => {
  const dev = ["--designation", "dev"];
  expect((await run(undefined, "--key-manifest", at("release/keys/keys.json"), ...dev)).exit).toBe(0);
  const other = readFileSync(at("release/keys/keys.json"), "utf8").replace('"classical"', '"any"');
  writeFileSync(at("keys.json"), other);
  const { exit, failed } = await run(undefined, "--key-manifest", at("keys.json"), ...dev);
  expect({ exit, failed: failed.includes("keys.chain") }).toEqual({ exit: 1, failed: true });
});

test("an archive is judged as of its day, and the report says so", async () => {
  const { exit, failed } = await run(ours, "--at", "2090-01-01T00:00:00Z");
  expect({ exit, expired: failed.includes("channel.freshness") }).toEqual({ exit: 1, expired: true });
  const now = new Date().toISOString().replace(/\.\d+Z/, "Z");
  const { report } = await run(ours, "--at", now);
  expect(report).toMatchObject({
    verdict: "accepted",
    warnings: [`validity was judged as of ${now.replace("Z", ".000Z")}, as you asked`],
  });
});

test("a policy or a key manifest that cannot be read is wrong use, and nothing is verified", async () => {
  writeFileSync(at("half.json"), "{");
  expect(await run({ ...ours, schema: 2 } as unknown as PolicyFile)).toMatchObject({ exit: 2, report: undefined });
  expect(await run(undefined, "--policy", at("half.json"))).toMatchObject({ exit: 2, report: undefined });
  expect(await run(undefined, "--key-manifest", at("half.json"))).toMatchObject({ exit: 2, report: undefined });
});

for (const time of ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01", "1767225600"]) {
  test(`--at ${time} is wrong use`, async () => expect((await run(ours, "--at", time)).exit).toBe(2));
}

test("where the policy only reports expiry, an expired channel and old trust data are warnings", async () => {
  const lenient: PolicyFile = { ...ours, freshness: { expiry: "report", maxTrustAgeDays: 30 } };
  const { report, failed } = await run(
    lenient,
    "--at",
    new Date(Date.now() + 800 * 86_400_000).toISOString().replace(/\.\d+Z/, "Z"),
  );
  expect(failed).toEqual([]);
  expect(report.warnings.join("\n")).toMatch(/the key manifest is \d+ days old[\s\S]*expired on/);
});

test("a policy that does without key manifests takes the anchors for everything", async () => {
  await makeRelease(at("bare"), at("keys"));
  for (const name of ["keys/keys.json", "keys/keys.json.sigstore.json"]) remove(at("bare"), name);
  write(at("bare"), "unrelated", "x");
  const said: string[] = [];
  const io = { stdout: (text: string) => said.push(text), stderr: () => {}, env: { SECAI_KEYS: at("no-keys") } };
  writeFileSync(at("bare.json"), bytes({ ...ours, requiredStatements: ["provenance"], requiredTests: [] }));
  await runVerify(["release", at("bare"), "--policy", at("bare.json"), "--json"], io);
  const checks = JSON.parse(said.join("")).checks as readonly { id: string; status: string }[];
  const of = (id: string) => checks.filter((check) => check.id === id).map(({ status }) => status);
  expect({ chain: of("keys.chain"), sums: of("checksums.signature") }).toEqual({ chain: ["pass"], sums: ["pass"] });
});
