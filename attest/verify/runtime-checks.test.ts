import { buildBaseline } from "@secai/formats/baseline";
import { exampleBaselineFacts } from "@secai/formats/baseline.test-data";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { vector } from "@secai/measure/fixtures/vectors";
import { parseMeasurements } from "@secai/measure/measurements";
import { expect, test } from "vitest";
import { runChecks, verdictOf } from "./check.ts";
import { requiredChecks, runtimeChecks } from "./runtime-checks.ts";
import { type Evidence, parseEvidence } from "./runtime-evidence.ts";
import { runtimeFacts } from "./runtime-facts.ts";
import { parseSitePolicy, type RuntimePolicy, releasePolicy, withSite } from "./runtime-policy.ts";
import { runningOf } from "./runtime-state.test-data.ts";

const NONCE = "00112233445566778899aabbccddeeff";
const plain = parseEvidence(vector("plain/evidence.json"));
const withAddon = parseEvidence(vector("addon/evidence.json"));
const services = new Map([["policy-engine", sha256("engine")]]);
const measurements = parseMeasurements(vector("plain/measurements.json"));
const baseline = buildBaseline({ ...exampleBaselineFacts, rootHash: measurements.rootHash });
const release: RuntimePolicy = {
  ...releasePolicy(measurements, undefined, baseline),
  release: { version: "0.1.0", services },
};
const genuine: Evidence = {
  ...plain,
  release: { imageId: "secai-os", imageVersion: "0.1.0" },
  services: Object.fromEntries(services),
  running: runningOf(baseline),
};
const quote = genuine.quote ?? expect.unreachable("the vector has a quote");

function ask(evidence: Evidence, policy: RuntimePolicy = release, nonce = NONCE) {
  const outcomes = runChecks(runtimeChecks, runtimeFacts(evidence, nonce), policy);
  const found = outcomes.flatMap((one) => (one.status === "fail" || one.status === "undecided" ? [`${one.id} ${one.code}`] : []));
  return { verdict: verdictOf(outcomes, requiredChecks(policy)), found };
}
const changed = (bytes: Uint8Array, at: number) => Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 1 : byte));
const quoteWith = (change: Partial<typeof quote>): Evidence => ({ ...genuine, quote: { ...quote, ...change } });

test("a real machine that runs the release is accepted; its unenrolled key is said", () => {
  expect(ask(genuine)).toEqual({ verdict: "accepted", found: [] });
  const enrolment = runChecks(runtimeChecks, runtimeFacts(genuine, NONCE), release).find(({ id }) => id === "quote.ak-enrolled");
  expect(enrolment).toMatchObject({ status: "not_present", detail: expect.stringContaining("not enrolled") });
});

/** One thing wrong, and the refusals that must follow: all of them, and no others. */
const rejected: { name: string; evidence: Evidence; nonce?: string; codes: readonly string[] }[] = [
  { name: "another nonce", evidence: genuine, nonce: "ff112233445566778899aabbccddeeff", codes: ["quote.nonce QUOTE_NONCE"] },
  { name: "a longer nonce that begins alike", evidence: genuine, nonce: `${NONCE}00`, codes: ["quote.nonce QUOTE_NONCE"] },
  {
    name: "a nonce that was changed in the quote",
    evidence: quoteWith({ message: changed(quote.message, 44) }),
    codes: ["quote.signature QUOTE_SIGNATURE", "quote.nonce QUOTE_NONCE"],
  },
  {
    name: "a PCR digest that was changed in the quote",
    evidence: quoteWith({ message: changed(quote.message, quote.message.length - 1) }),
    codes: ["quote.signature QUOTE_SIGNATURE", "quote.pcrs QUOTE_PCRS"],
  },
  {
    name: "bytes after the quote",
    evidence: quoteWith({ message: Buffer.concat([quote.message, Buffer.alloc(1)]) }),
    codes: [
      ...["quote.signature", "quote.nonce", "quote.pcrs", "boot.secure-boot", "boot.chain", "boot.uki", "boot.command-line"],
      "event-log.replay",
    ].map((id) => `${id} QUOTE_MALFORMED`),
  },
  {
    name: "another signature",
    evidence: quoteWith({ signature: changed(quote.signature, quote.signature.length - 1) }),
    codes: ["quote.signature QUOTE_SIGNATURE"],
  },
  {
    name: "bytes after the signature",
    evidence: quoteWith({ signature: Buffer.concat([quote.signature, Buffer.alloc(2)]) }),
    codes: ["quote.signature QUOTE_SIGNATURE_MALFORMED"],
  },
  {
    name: "the attestation key of another machine",
    evidence: quoteWith({ attestationKey: withAddon.quote?.attestationKey ?? Buffer.alloc(0) }),
    codes: ["quote.signature QUOTE_SIGNATURE"],
  },
  {
    name: "an attestation key that signs anything",
    evidence: quoteWith({ attestationKey: changed(quote.attestationKey, 7) }),
    codes: ["quote.ak-attributes AK_ATTRIBUTES"],
  },
  {
    name: "a PCR value that was not quoted so",
    evidence: quoteWith({ pcrs: new Map([...quote.pcrs, [0, sha256("firmware")]]) }),
    codes: ["quote.pcrs QUOTE_PCRS", "event-log.replay EVENT_LOG_REPLAY"],
  },
  {
    name: "the promised PCR 11 over another that was quoted",
    evidence: { ...genuine, quote: { ...(withAddon.quote ?? quote), pcrs: quote.pcrs } },
    codes: ["quote.pcrs QUOTE_PCRS"],
  },
  {
    name: "a PCR beside the quoted ones",
    evidence: quoteWith({ pcrs: new Map([...quote.pcrs, [10, sha256("ima")]]) }),
    codes: ["quote.pcrs QUOTE_PCRS"],
  },
  {
    name: "a UKI addon",
    evidence: { ...withAddon, release: genuine.release, services: genuine.services, running: genuine.running },
    codes: ["boot.secure-boot SECURE_BOOT_KEYS", "boot.chain BOOT_CHAIN", "boot.command-line BOOT_ADDON_PRESENT"],
  },
  {
    name: "a command line that nobody measured",
    evidence: { ...genuine, commandLine: `${genuine.commandLine} init=/bin/sh` },
    codes: ["boot.command-line COMMAND_LINE"],
  },
  {
    name: "an event log of another boot",
    evidence: { ...genuine, eventLog: withAddon.eventLog },
    codes: ["event-log.replay EVENT_LOG_REPLAY"],
  },
  {
    name: "a torn event log",
    evidence: { ...genuine, eventLog: genuine.eventLog?.subarray(0, -3) },
    codes: ["event-log.replay EVENT_LOG_MALFORMED"],
  },
  {
    name: "a userspace log without records",
    evidence: { ...genuine, userspaceLog: Buffer.alloc(0) },
    codes: ["event-log.replay EVENT_LOG_REPLAY"],
  },
  {
    name: "corrupted blocks",
    evidence: { ...genuine, root: { ...genuine.root, verity: "corrupted" } },
    codes: ["root.verity ROOT_CORRUPTED"],
  },
  {
    name: "a root without verity",
    evidence: { ...genuine, root: { ...genuine.root, verity: "absent" } },
    codes: ["root.verity ROOT_UNVERIFIED"],
  },
  {
    name: "another root hash",
    evidence: { ...genuine, root: { ...genuine.root, hash: sha256("other") } },
    codes: ["root.verity ROOT_HASH"],
  },
  {
    name: "a writable root",
    evidence: { ...genuine, root: { ...genuine.root, readOnly: false } },
    codes: ["root.verity ROOT_WRITABLE"],
  },
  {
    name: "another version",
    evidence: { ...genuine, release: { imageId: "secai-os", imageVersion: "0.0.9" } },
    codes: ["release.version RELEASE_VERSION"],
  },
  {
    name: "a service of no release",
    evidence: { ...genuine, services: { ...genuine.services, miner: sha256("x") } },
    codes: ["release.services SERVICES_UNKNOWN"],
  },
  {
    name: "a changed service",
    evidence: { ...genuine, services: { "policy-engine": sha256("x") } },
    codes: ["release.services SERVICES_UNKNOWN"],
  },
  { name: "no service manifest", evidence: { ...genuine, services: undefined }, codes: ["release.services SERVICES_UNKNOWN"] },
];
for (const { name, evidence, nonce, codes } of rejected) {
  test(`rejected: ${name}`, () => expect(ask(evidence, release, nonce)).toEqual({ verdict: "rejected", found: codes }));
}

const quoted = ["quote.signature", "quote.nonce", "quote.pcrs", "quote.ak-attributes", "quote.ak-enrolled"];
const booted = ["boot.secure-boot", "boot.chain", "boot.uki", "boot.command-line", "event-log.replay"];
test("undecided, never accepted: a machine without a TPM", () => {
  const found = [...quoted, ...booted].map((id) => `${id} TPM_ABSENT`);
  expect(ask({ ...genuine, quote: undefined })).toEqual({ verdict: "undecided", found });
});

test("undecided: no event log", () =>
  expect(ask({ ...genuine, eventLog: undefined })).toEqual({
    verdict: "undecided",
    found: ["event-log.replay EVENT_LOG_MISSING"],
  }));

test("undecided: a machine that is still starting", () => {
  const earlier: RuntimePolicy = {
    ...release,
    pcrs: { ...release.pcrs, "11": sha256("ready") },
    pcr11Phases: { "enter-initrd": quote.pcrs.get(11) as Sha256 },
  };
  expect(ask(genuine, earlier)).toEqual({ verdict: "undecided", found: ["boot.uki BOOT_NOT_COMPLETE"] });
});

test("undecided: a quote that leaves out the PCRs that matter", () => {
  const message = Buffer.from(quote.message);
  const bitmap = message.length - 34 - 3;
  message.set([0x01, 0x00, 0x00], bitmap);
  const some = { ...quote, message, pcrs: new Map([[0, quote.pcrs.get(0) as Sha256]]) };
  const { verdict, found } = ask({ ...genuine, quote: some });
  expect(verdict).toBe("rejected"); // its signature cannot hold either
  for (const id of booted.slice(0, 4)) expect(found).toContain(`${id} PCR_NOT_QUOTED`);
});

test("a site policy that expects the addon accepts it, and then refuses a machine without", () => {
  const site = withSite(release, parseSitePolicy(vector("addon/policy.json")));
  expect(ask({ ...withAddon, release: genuine.release, services: genuine.services, running: genuine.running }, site)).toEqual({
    verdict: "accepted",
    found: [],
  });
  expect(ask(genuine, site)).toEqual({
    verdict: "rejected",
    found: ["boot.secure-boot SECURE_BOOT_KEYS", "boot.chain BOOT_CHAIN", "boot.command-line BOOT_ADDON"],
  });
});

test("an enrolled key is required once a policy names one", () => {
  const { attestationKey } = runtimeFacts(genuine, NONCE);
  const fingerprint = attestationKey.state === "found" ? attestationKey.value.fingerprint : "";
  expect(ask(genuine, { ...release, attestationKeys: new Set([fingerprint]) }).verdict).toBe("accepted");
  expect(ask(genuine, { ...release, attestationKeys: new Set([sha256("another")]) })).toEqual({
    verdict: "rejected",
    found: ["quote.ak-enrolled AK_UNKNOWN"],
  });
});

test("Secure Boot off has a name of its own", () => {
  const text = Buffer.from(genuine.eventLog ?? []);
  const name = Buffer.from("SecureBoot", "utf16le");
  const at = text.indexOf(name) + name.length;
  expect(text[at]).toBe(1);
  text[at] = 0;
  const off = sha256(text.subarray(at - name.length - 32, at + 1));
  const digestAt = text.indexOf(
    Buffer.from(sha256(Buffer.from(genuine.eventLog ?? []).subarray(at - name.length - 32, at + 1)), "hex"),
  );
  text.set(Buffer.from(off, "hex"), digestAt);
  const evidence = { ...quoteWith({ pcrs: new Map([...quote.pcrs, [7, sha256("off")]]) }), eventLog: text };
  expect(ask(evidence).found).toContain("boot.secure-boot SECURE_BOOT_OFF");
});
