import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseForeignBundle } from "@secai/formats/bundle";
import { sha256 } from "@secai/formats/digest";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { generateSigningKey } from "@secai/sign/generate-key";
import { type KeylessJudge, type KeylessOptions, keylessSigner } from "@secai/sign/keyless";
import { signBlob } from "@secai/sign/sign";
import type { Signer } from "@secai/sign/signer";
import { parseSigningConfig } from "@secai/sign/signing-config";
import { isKeyless, type KeylessTrust, verifyKeylessBlob, verifyKeylessStatement } from "@secai/verify/keyless";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ToolFolder } from "../measure/tool-root.ts";
import { makeSingleFile } from "../offline/single-file.ts";
import { type PrivateSigstore, signingConfigOf, startPrivateSigstore, type TrustedRoot, tokenOf } from "./private-sigstore.ts";
import { runBeside } from "./tool.ts";

// End to end against a Sigstore of our own with real cryptography: certificate, SCT, log entry with proof and promise, timestamp.
const ISSUER = "https://issuer.example";
const NAME = "https://ci.example/secai/.ci/release.yaml@refs/tags/v1";
const CLAIMS = {
  iss: ISSUER,
  sub: NAME,
  repository: "secai/os",
  ref: "refs/tags/v1",
  sha: "0".repeat(40),
  job_workflow_ref: "secai/os/.ci/release.yaml@refs/tags/v1",
  event_name: "push",
};
const data = Buffer.from("data");
const digest = sha256("data");
const statement = buildStatement("urn:test", [subjectOf("file", digest)], { a: 1 });

let sigstore: PrivateSigstore;
let stranger: PrivateSigstore;
let blob: Buffer;
let signed: Buffer;
const folder = new ToolFolder();
const at = (name: string) => join(folder.path, name);

const rootBytes = (root: object) => Buffer.from(JSON.stringify(root));
const trust = (changes: Partial<KeylessTrust> = {}, root: object = sigstore.trustedRoot): KeylessTrust => ({
  trustedRoot: rootBytes(root),
  identity: { subjectAlternativeName: NAME, issuer: ISSUER },
  ...changes,
});
const judgeWith = (given: KeylessTrust): KeylessJudge => ({
  statement: (bundle) => verifyKeylessStatement(bundle, given, [digest]),
  blob: (bundle, signedData) => verifyKeylessBlob(bundle, signedData, given),
});
function signer(instance: PrivateSigstore, changes: Partial<KeylessOptions> = {}): Signer {
  return keylessSigner({
    services: parseSigningConfig(signingConfigOf(instance.url), new Date()),
    token: async () => tokenOf(CLAIMS),
    judge: judgeWith(trust({}, instance.trustedRoot)),
    ...changes,
  });
}

beforeAll(async () => {
  [sigstore, stranger] = await Promise.all([startPrivateSigstore(), startPrivateSigstore()]);
  blob = await signer(sigstore).signBlob(data);
  signed = await signer(sigstore).signStatement(statement);
});
afterEach(() => {
  sigstore.fault = () => undefined;
});
afterAll(async () => {
  folder.remove();
  await Promise.all([sigstore.close(), stranger.close()]);
});

type Json = { [name: string]: Json } & Json[] & string;
/** A copy of a bundle in which `change` moved something. */
function changed(bundle: Buffer, change: (value: Json) => void): Buffer {
  const value = JSON.parse(bundle.toString()) as Json;
  change(value);
  return Buffer.from(JSON.stringify(value));
}
const material = (value: Json): Json => value.verificationMaterial ?? ({} as Json);
/** One bit of base64 text; negative places count from the end. */
function flipped(text: string | undefined, place: number): string {
  const bytes = Buffer.from(text ?? "", "base64");
  const index = place < 0 ? bytes.length + place : place;
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  return bytes.toString("base64");
}

test("what an identity signed is accepted, files and statements alike", async () => {
  await verifyKeylessBlob(blob, data, trust());
  expect(await verifyKeylessStatement(signed, trust(), [digest])).toEqual(statementBytes(statement));
  for (const bundle of [blob, signed]) {
    const { version, evidence } = parseForeignBundle(bundle);
    expect(version).toBe("0.3");
    expect([evidence.certificates.length, evidence.logEntries.length, evidence.timestamps.length]).toEqual([1, 1, 1]);
    expect(isKeyless(parseForeignBundle(bundle))).toBe(true);
  }
  expect(isKeyless(parseForeignBundle(signBlob(data, generateSigningKey("ecdsa-p256"))))).toBe(false);
});

test("the claims about the workflow are compared when they are expected", async () => {
  const claims = {
    sourceRepository: "https://github.com/secai/os",
    sourceRef: "refs/tags/v1",
    sourceDigest: "0".repeat(40),
    buildSigner: "https://github.com/secai/os/.ci/release.yaml@refs/tags/v1",
    buildTrigger: "push",
  };
  const identity = { subjectAlternativeName: NAME, issuer: ISSUER, claims };
  await verifyKeylessBlob(blob, data, trust({ identity }));
  for (const [claim, value] of Object.entries({ ...claims, runnerEnvironment: "x" })) {
    for (const near of [`${value} `, value.slice(0, -1), value.toUpperCase().replace("0", "1"), ""]) {
      const wrong = { ...identity, claims: { ...claims, [claim]: near } };
      await expect(verifyKeylessBlob(blob, data, trust({ identity: wrong }))).rejects.toMatchObject({
        code: "KEYLESS_IDENTITY_WRONG",
      });
    }
  }
});

const nearNames = [
  "",
  NAME.slice(0, -1),
  `${NAME}0`,
  NAME.replace("https", "http"),
  NAME.replace(/\./g, "x"),
  `^${NAME}$`,
  ".*",
  "https://ci.example/",
];
for (const name of nearNames) {
  test(`the name ${JSON.stringify(name)} is not the signer's`, async () => {
    const identity = { subjectAlternativeName: name, issuer: ISSUER };
    await expect(verifyKeylessBlob(blob, data, trust({ identity }))).rejects.toMatchObject({ code: "KEYLESS_IDENTITY_WRONG" });
  });
}
for (const issuer of ["", `${ISSUER}/`, ISSUER.slice(0, -1), ISSUER.replace("issuer", "Issuer"), "https://issuer.exampl."]) {
  test(`the issuer ${JSON.stringify(issuer)} is not the signer's`, async () => {
    const identity = { subjectAlternativeName: NAME, issuer };
    await expect(verifyKeylessStatement(signed, trust({ identity }), [digest])).rejects.toMatchObject({
      code: "KEYLESS_IDENTITY_WRONG",
    });
  });
}

const spoilt: Readonly<Record<string, readonly [code: string, change: (value: Json) => void]>> = {
  "its log entry taken away": ["KEYLESS_EVIDENCE_MISSING", (value) => delete material(value).tlogEntries],
  "its timestamp taken away": ["KEYLESS_EVIDENCE_MISSING", (value) => delete material(value).timestampVerificationData],
  "its log entry twice": [
    "KEYLESS_EVIDENCE_INVALID",
    (value) => {
      const entries = material(value).tlogEntries;
      entries?.push(entries[0] as Json);
    },
  ],
  "its timestamp twice": [
    "KEYLESS_EVIDENCE_INVALID",
    (value) => {
      const stamps = material(value).timestampVerificationData?.rfc3161Timestamps;
      stamps?.push(stamps[0] as Json);
    },
  ],
  "a bit of the certificate changed": [
    "KEYLESS_EVIDENCE_INVALID",
    (value) => Object.assign(material(value).certificate ?? {}, { rawBytes: flipped(material(value).certificate?.rawBytes, -1) }),
  ],
  "a bit of the log's promise changed": [
    "KEYLESS_EVIDENCE_INVALID",
    (value) => entryOf(value, "inclusionPromise", "signedEntryTimestamp"),
  ],
  "a bit of the log's root changed": ["SCHEMA_MISMATCH", (value) => entryOf(value, "inclusionProof", "rootHash")],
  "another time in the log": [
    "KEYLESS_EVIDENCE_INVALID",
    (value) => Object.assign(material(value).tlogEntries?.[0] ?? {}, { integratedTime: "1600000000" }),
  ],
  "a bit of the timestamp changed": [
    "KEYLESS_EVIDENCE_INVALID",
    (value) => {
      const [stamp] = material(value).timestampVerificationData?.rfc3161Timestamps ?? [];
      Object.assign(stamp ?? {}, { signedTimestamp: flipped(stamp?.signedTimestamp, -1) });
    },
  ],
  "the certificate replaced by a key's name": [
    "KEYLESS_EVIDENCE_MISSING",
    (value) => {
      delete material(value).certificate;
      Object.assign(material(value), { publicKey: { hint: "x" } });
    },
  ],
};
function entryOf(value: Json, part: string, name: string): void {
  const holder = material(value).tlogEntries?.[0]?.[part] as Json;
  Object.assign(holder, { [name]: flipped(holder[name], -1) });
}
for (const [name, [code, change]] of Object.entries(spoilt)) {
  test(`a bundle with ${name} is refused`, async () => {
    await expect(verifyKeylessBlob(changed(blob, change), data, trust())).rejects.toMatchObject({ code });
    await expect(verifyKeylessStatement(changed(signed, change), trust(), [digest])).rejects.toMatchObject({ code });
  });
}

test("other data, another payload and another signature are refused", async () => {
  const code = "KEYLESS_EVIDENCE_INVALID";
  await expect(verifyKeylessBlob(blob, Buffer.from("Data"), trust())).rejects.toMatchObject({ code });
  const renamed = changed(blob, (value) => {
    Object.assign(value.messageSignature?.messageDigest ?? {}, { digest: Buffer.from(sha256("Data"), "hex").toString("base64") });
  });
  await expect(verifyKeylessBlob(renamed, Buffer.from("Data"), trust())).rejects.toMatchObject({ code });
  const payload = changed(signed, (value) =>
    Object.assign(value.dsseEnvelope ?? {}, { payload: flipped(value.dsseEnvelope?.payload, 30) }),
  );
  await expect(verifyKeylessStatement(payload, trust(), [digest])).rejects.toMatchObject({ code });
  const type = changed(signed, (value) => Object.assign(value.dsseEnvelope ?? {}, { payloadType: "application/json" }));
  await expect(verifyKeylessStatement(type, trust(), [digest])).rejects.toMatchObject({ code });
  await expect(verifyKeylessStatement(blob, trust(), [digest])).rejects.toMatchObject({ code });
  await expect(verifyKeylessBlob(signed, data, trust())).rejects.toMatchObject({ code });
});

test("a statement about another file is refused, though its signature is good", async () => {
  await expect(verifyKeylessStatement(signed, trust(), [sha256("other")])).rejects.toMatchObject({
    code: "KEYLESS_SUBJECT_WRONG",
  });
  await expect(verifyKeylessStatement(signed, trust(), [digest, sha256("other")])).rejects.toMatchObject({
    code: "KEYLESS_SUBJECT_WRONG",
  });
});

test("evidence of one bundle does not serve another", async () => {
  const pair = [blob, await signer(sigstore).signBlob(data)].map(
    (bundle) => JSON.parse(bundle.toString()) as Record<string, object>,
  );
  const [own, other] = pair.map((value) => ({
    ...value,
    verificationMaterial: { ...value.verificationMaterial } as Record<string, unknown>,
  }));
  for (const part of ["tlogEntries", "timestampVerificationData", "certificate"]) {
    const mixed = { ...own, verificationMaterial: { ...own?.verificationMaterial, [part]: other?.verificationMaterial[part] } };
    await expect(verifyKeylessBlob(rootBytes(mixed), data, trust())).rejects.toMatchObject({ code: "KEYLESS_EVIDENCE_INVALID" });
  }
});

const PARTS = ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"] as const;
for (const part of PARTS) {
  test(`${part} of another instance, or none, are refused`, async () => {
    const mixed: TrustedRoot = { ...sigstore.trustedRoot, [part]: stranger.trustedRoot[part] };
    await expect(verifyKeylessBlob(blob, data, trust({}, mixed))).rejects.toMatchObject({ code: "KEYLESS_EVIDENCE_INVALID" });
    const none: TrustedRoot = { ...sigstore.trustedRoot, [part]: [] };
    await expect(verifyKeylessBlob(blob, data, trust({}, none))).rejects.toMatchObject({ code: "TRUST_ROOT_MALFORMED" });
  });
}

test("an authority whose time is over is refused", async () => {
  const [authority] = sigstore.trustedRoot.certificateAuthorities;
  const past = {
    ...sigstore.trustedRoot,
    certificateAuthorities: [{ ...authority, validFor: { start: "2020-01-01T00:00:00Z", end: "2021-01-01T00:00:00Z" } }],
  };
  await expect(verifyKeylessBlob(blob, data, trust({}, past))).rejects.toMatchObject({ code: "KEYLESS_EVIDENCE_INVALID" });
});

test("a file that is no trusted root is refused", async () => {
  for (const root of [
    {},
    [],
    { ...sigstore.trustedRoot, mediaType: "x" },
    { ...sigstore.trustedRoot, more: 1 },
    { ...sigstore.trustedRoot, tlogs: [{}] },
  ])
    await expect(verifyKeylessBlob(blob, data, trust({}, root))).rejects.toMatchObject({ code: "TRUST_ROOT_MALFORMED" });
});

test("a certificate without a certificate log's timestamp is refused, and not given out by the signer", async () => {
  const unlogged = await startPrivateSigstore({ certificateLog: false });
  try {
    const lenient = trust({ thresholds: { certificateTimestamps: 0 } }, unlogged.trustedRoot);
    const bundle = await signer(unlogged, { judge: judgeWith(lenient) }).signBlob(data);
    await expect(verifyKeylessBlob(bundle, data, trust({}, unlogged.trustedRoot))).rejects.toMatchObject({
      code: "KEYLESS_EVIDENCE_INVALID",
    });
    await expect(signer(unlogged).signBlob(data)).rejects.toMatchObject({ code: "SIGNATURE_UNVERIFIED" });
  } finally {
    await unlogged.close();
  }
});

test("the signer gives out nothing that its judge refuses", async () => {
  const judge = judgeWith(trust({ identity: { subjectAlternativeName: "https://other.example", issuer: ISSUER } }));
  await expect(signer(sigstore, { judge }).signBlob(data)).rejects.toMatchObject({ code: "SIGNATURE_UNVERIFIED" });
  await expect(signer(sigstore, { judge }).signStatement(statement)).rejects.toMatchObject({ code: "SIGNATURE_UNVERIFIED" });
});

for (const [service, path] of [
  ["certificate authority", "/api/v2/signingCert"],
  ["log", "/api/v1/log/entries"],
  ["timestamp authority", "/api/v1/timestamp"],
] as const) {
  test(`a ${service} that fails once is asked again; one that refuses is not`, async () => {
    const before = sigstore.asked.get(path) ?? 0;
    sigstore.fault = (asked, count) =>
      asked === path && count === before + 1 ? { statusCode: 503, response: "busy" } : undefined;
    await signer(sigstore).signBlob(data);
    expect(sigstore.asked.get(path)).toBe(before + 2);
    sigstore.fault = (asked) => (asked === path ? { statusCode: 403, response: "no" } : undefined);
    await expect(signer(sigstore).signBlob(data)).rejects.toMatchObject({
      code: "KEYLESS_FAILED",
      message: expect.stringContaining("403"),
    });
    expect(sigstore.asked.get(path)).toBe(before + 3);
  });
  test(`a ${service} that does not answer is waited for so long and no longer`, async () => {
    sigstore.fault = (asked) => (asked === path ? "silence" : undefined);
    await expect(signer(sigstore, { deadlineMs: 300 }).signBlob(data)).rejects.toMatchObject({ code: "KEYLESS_TIMEOUT" });
    const impatient = signer(sigstore, { requestMs: 50, retries: 0 });
    await expect(impatient.signBlob(data)).rejects.toMatchObject({ code: "KEYLESS_FAILED" });
  });
}

test("no message of a failure holds the token", async () => {
  sigstore.fault = () => ({ statusCode: 400, response: "no" });
  const token = tokenOf(CLAIMS);
  const failure: unknown = await signer(sigstore, { token: async () => token })
    .signBlob(data)
    .catch((error: unknown) => error);
  expect(String((failure as Error).message)).not.toContain(token.slice(0, 20));
});

const COSIGN = `--new-bundle-format --trusted-root root.json --certificate-oidc-issuer ${ISSUER} --use-signed-timestamps`;
test("cosign accepts our keyless bundles, and for the same identity only", () => {
  writeFileSync(at("root.json"), rootBytes(sigstore.trustedRoot));
  writeFileSync(at("file"), data);
  writeFileSync(at("blob.json"), blob);
  writeFileSync(at("statement.json"), signed);
  const commands = [
    `cosign verify-blob ${COSIGN} --bundle blob.json`,
    `cosign verify-blob-attestation ${COSIGN} --bundle statement.json --type urn:test`,
  ];
  for (const command of commands) {
    folder.run(`${command} --certificate-identity ${NAME} file`);
    expect(() => folder.run(`${command} --certificate-identity ${NAME}0 file`)).toThrow(/no matching|expected/i);
    expect(() => folder.run(`${command} --certificate-identity ${NAME} root.json`)).toThrow(/digest|signature/i);
  }
});

test("the verifier as one file judges keyless bundles on the appliance's Node, without network or modules", () => {
  makeSingleFile(at("secai-verify.mjs"));
  writeFileSync(at("root.json"), rootBytes(sigstore.trustedRoot));
  writeFileSync(at("other.json"), rootBytes(stranger.trustedRoot));
  writeFileSync(at("file"), data);
  for (const [name, bundle] of Object.entries({ "blob.json": blob, "statement.json": signed })) {
    writeFileSync(at(name), bundle);
    const verify = (root: string, identity: string) =>
      folder.run(
        `node secai-verify.mjs file file --bundle ${name} --trusted-root ${root} --identity ${identity} --issuer ${ISSUER} || echo "exit $?"`,
      );
    expect(verify("root.json", NAME)).not.toContain("exit");
    expect(verify("root.json", `${NAME}0`)).toContain("exit 1");
    expect(verify("other.json", NAME)).toContain("exit 1");
  }
});

test("we accept the keyless bundles that cosign makes, with its identity, log and file only", async () => {
  // cosign 2 is told its trust in files: the root of the authority and the keys of both logs.
  const { tlogs, ctlogs, certificateAuthorities } = sigstore.trustedRoot as unknown as Record<string, readonly [Published]>;
  const pem = (kind: string, base64 = "") => `-----BEGIN ${kind}-----\n${base64}\n-----END ${kind}-----\n`;
  writeFileSync(at("rekor.pub"), pem("PUBLIC KEY", tlogs?.[0].publicKey.rawBytes));
  writeFileSync(at("ct.pub"), pem("PUBLIC KEY", ctlogs?.[0].publicKey.rawBytes));
  writeFileSync(at("ca.pem"), pem("CERTIFICATE", certificateAuthorities?.[0].certChain.certificates[0]?.rawBytes));
  writeFileSync(at("token"), tokenOf({ ...CLAIMS, exp: 4_000_000_000 }));
  writeFileSync(at("file"), data);
  writeFileSync(at("predicate.json"), '{"a":1}');
  const services = `--fulcio-url ${sigstore.url} --rekor-url ${sigstore.url} --identity-token token --new-bundle-format`;
  await runBeside(
    folder.path,
    `export SIGSTORE_REKOR_PUBLIC_KEY=rekor.pub SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=ct.pub SIGSTORE_ROOT_FILE=ca.pem
    cosign sign-blob --yes ${services} --bundle their-blob.json file
    cosign attest-blob --yes ${services} --bundle their-statement.json --type urn:test --predicate predicate.json file`,
  );
  const [theirBlob, theirStatement] = ["their-blob.json", "their-statement.json"].map((name) => readFileSync(at(name)));
  if (theirBlob === undefined || theirStatement === undefined) throw new Error("no bundles");
  // cosign asks no timestamp authority unless told: the log's signed promise is the proof of time.
  const thresholds = { timestamps: 0 };
  await verifyKeylessBlob(theirBlob, data, trust({ thresholds }));
  const payload = await verifyKeylessStatement(theirStatement, trust({ thresholds }), [digest]);
  expect(JSON.parse(payload.toString())).toMatchObject({ predicateType: "urn:test" });

  await expect(verifyKeylessBlob(theirBlob, data, trust())).rejects.toMatchObject({ code: "KEYLESS_EVIDENCE_MISSING" });
  await expect(verifyKeylessBlob(theirBlob, data, trust({ thresholds }, stranger.trustedRoot))).rejects.toMatchObject({
    code: "KEYLESS_EVIDENCE_INVALID",
  });
  const identity = { subjectAlternativeName: `${NAME}0`, issuer: ISSUER };
  await expect(verifyKeylessBlob(theirBlob, data, trust({ thresholds, identity }))).rejects.toMatchObject({
    code: "KEYLESS_IDENTITY_WRONG",
  });
  await expect(verifyKeylessStatement(theirStatement, trust({ thresholds }), [sha256("x")])).rejects.toMatchObject({
    code: "KEYLESS_SUBJECT_WRONG",
  });
  const unpromised = changed(theirBlob, (value) => delete material(value).tlogEntries?.[0]?.inclusionPromise);
  await expect(verifyKeylessBlob(unpromised, data, trust({ thresholds }))).rejects.toMatchObject({
    code: "KEYLESS_EVIDENCE_INVALID",
  });
});
interface Published {
  readonly publicKey: { readonly rawBytes: string };
  readonly certChain: { readonly certificates: readonly { readonly rawBytes: string }[] };
}
