import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { sha256 } from "@secai/formats/digest";
import { vector } from "@secai/measure/fixtures/vectors";
import { parseMeasurements } from "@secai/measure/measurements";
import { expect, test } from "vitest";
import { runChecks, verdictOf } from "./check.ts";
import { credentialFor, isOpened, printActivation } from "./runtime-activation.ts";
import { requiredChecks, runtimeChecks } from "./runtime-checks.ts";
import { type Evidence, parseEvidence, printEvidence } from "./runtime-evidence.ts";
import { type Activation, runtimeFacts } from "./runtime-facts.ts";
import { parseSitePolicy, printSitePolicy, type RuntimePolicy, releasePolicy, withSite } from "./runtime-policy.ts";

const NONCE = "00112233445566778899aabbccddeeff";
const AT = new Date("2026-11-21T12:00:00Z");
const evidence = parseEvidence(vector("plain/evidence.json"));
const quote = evidence.quote ?? expect.unreachable("the vector has a quote");
const release = releasePolicy(parseMeasurements(vector("plain/measurements.json")));
const anchor = new X509Certificate(vector("keys/db.crt"));
const trusting: RuntimePolicy = { ...release, endorsement: { anchors: [anchor], intermediates: [] } };

const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const sized = (bytes: Uint8Array) => Buffer.concat([u16(bytes.length), bytes]);
/** TPM2B_PUBLIC of a P-256 storage key (TPM 2.0 Part 2, 12.2.4), as the default template of an endorsement key makes one. */
function storageKey(symmetric: readonly number[] = [0x06, 128, 0x43]): Buffer {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const parameters = [...symmetric, 0x10, 0x03, 0x10].map(u16);
  const point = [x, y].map((coordinate) => sized(Buffer.from(coordinate, "base64url")));
  return sized(
    Buffer.concat([u16(0x23), u16(0x0b), Buffer.from("000300b2", "hex"), sized(Buffer.alloc(32)), ...parameters, ...point]),
  );
}

function ask(change: Partial<typeof quote>, policy = trusting, activation: Activation = "opened") {
  const facts = runtimeFacts({ ...evidence, quote: { ...quote, ...change } }, NONCE, { activation, at: AT });
  const outcomes = runChecks(runtimeChecks, facts, policy);
  const found = outcomes.flatMap((one) => (one.status === "fail" || one.status === "undecided" ? [`${one.id} ${one.code}`] : []));
  return { verdict: verdictOf(outcomes, requiredChecks(policy)), found };
}

const endorsementKey = storageKey();
const cases: {
  name: string;
  change: Partial<Evidence["quote"] & object>;
  found: readonly string[];
  activation?: Activation;
  verdict: string;
}[] = [
  { name: "no endorsement key", change: {}, found: ["quote.endorsement EK_MISSING"], verdict: "undecided" },
  {
    name: "no certificate",
    change: { endorsementKey },
    found: ["quote.endorsement EK_CERTIFICATE_MISSING"],
    verdict: "undecided",
  },
  {
    name: "a certificate for another key",
    change: { endorsementKey, endorsementCertificate: anchor.raw },
    found: ["quote.endorsement EK_CERTIFICATE_KEY"],
    verdict: "rejected",
  },
  {
    name: "something else than a certificate",
    change: { endorsementKey, endorsementCertificate: Buffer.from("x") },
    found: ["quote.endorsement EK_CERTIFICATE_MALFORMED"],
    verdict: "rejected",
  },
  {
    name: "a signing key as an endorsement key",
    change: { endorsementKey: quote.attestationKey },
    found: ["quote.endorsement EK_MALFORMED"],
    verdict: "rejected",
  },
  {
    name: "an endorsement key with another cipher",
    change: { endorsementKey: storageKey([0x06, 256, 0x43]) },
    found: ["quote.endorsement EK_MALFORMED"],
    verdict: "rejected",
  },
  {
    name: "a credential that stayed closed",
    change: { endorsementKey, endorsementCertificate: anchor.raw },
    activation: "not-opened",
    found: ["quote.endorsement EK_CERTIFICATE_KEY", "quote.ak-bound AK_ELSEWHERE"],
    verdict: "rejected",
  },
  {
    name: "a credential that nobody sent",
    change: { endorsementKey },
    activation: "not-asked",
    found: ["quote.endorsement EK_CERTIFICATE_MISSING", "quote.ak-bound AK_UNPROVED"],
    verdict: "undecided",
  },
];
for (const { name, change, activation, found, verdict } of cases) {
  test(`${verdict}: ${name}`, () => expect(ask(change, trusting, activation)).toEqual({ verdict, found }));
}

test("without a maker's certificates nothing is asked, and nothing is proved", () => {
  expect(ask({}, release, "not-asked")).toEqual({ verdict: "accepted", found: [] });
});

test("an enrolled key needs no credential", () => {
  const { attestationKey } = runtimeFacts(evidence, NONCE);
  const fingerprint = attestationKey.state === "found" ? attestationKey.value.fingerprint : "";
  const policy: RuntimePolicy = { ...trusting, attestationKeys: new Set([fingerprint]) };
  expect(ask({ endorsementKey }, policy, "not-asked").found).toEqual(["quote.endorsement EK_CERTIFICATE_MISSING"]);
});

test("evidence keeps what a TPM showed of its maker", () => {
  const whole: Evidence = {
    ...evidence,
    quote: { ...quote, endorsementKey, endorsementCertificate: Buffer.from("certificate") },
  };
  expect(parseEvidence(Buffer.from(printEvidence(whole)))).toEqual(whole);
});

test("a credential is made for keys that are well formed only", () => {
  const secret = Buffer.alloc(32, 7);
  const made = (change: Partial<typeof quote>) => credentialFor({ ...evidence, quote: { ...quote, ...change } }, secret);
  expect(made({ endorsementKey })).toMatch(/^[0-9a-f]+$/);
  expect(made({ endorsementKey })).not.toBe(made({ endorsementKey }));
  for (const change of [{}, { endorsementKey: Buffer.from("x") }, { endorsementKey, attestationKey: Buffer.from("x") }]) {
    expect(made(change)).toBeUndefined();
  }
});

test("only the secret itself counts as opened", () => {
  const secret = Buffer.alloc(32, 7);
  expect(isOpened(Buffer.from(printActivation(secret)), secret)).toBe(true);
  for (const other of [Buffer.alloc(32), Buffer.alloc(31, 7), undefined]) {
    expect(isOpened(Buffer.from(printActivation(other)), secret)).toBe(false);
  }
  for (const text of ["", "{}\n", '{"schema":2,"secret":null}\n', '{"schema":1,"secret":"0"}\n']) {
    expect(() => isOpened(Buffer.from(text), secret)).toThrow(expect.objectContaining({ code: "EVIDENCE_MALFORMED" }));
  }
});

const pem = anchor.toString();
const document = (members: object) => Buffer.from(printSitePolicy({ schema: 1, name: "makers", ...members } as never));
const rejected = [
  { name: "what is between makers and TPMs alone", members: { tpmIntermediates: [pem] } },
  { name: "no maker at all", members: { tpmAnchors: [] } },
  {
    name: "something else between the lines",
    members: { tpmAnchors: [pem.replaceAll(/[A-Za-z0-9+/]{60,}/g, (line) => line.toLowerCase())] },
  },
  {
    name: "a private key",
    members: { tpmAnchors: [generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" })] },
  },
];
for (const { name, members } of rejected) {
  test(`a site policy with ${name} is refused`, () =>
    expect(() => parseSitePolicy(document(members))).toThrow(expect.objectContaining({ code: "RUNTIME_POLICY_MALFORMED" })));
}

test("a site policy's makers count", () => {
  const policy = withSite(release, parseSitePolicy(document({ tpmAnchors: [pem], units: { "a.service": sha256("a") } })));
  expect(policy.endorsement?.anchors.map(({ fingerprint256 }) => fingerprint256)).toEqual([anchor.fingerprint256]);
  expect(policy.units?.get("a.service")).toBe(sha256("a"));
});
