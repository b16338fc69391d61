import { type Sha256, sha256 } from "@secai/formats/digest";
import { vector } from "@secai/measure/fixtures/vectors";
import { extendPcr, ZERO_PCR } from "@secai/measure/pcr";
import { certificateDer, secureBootOffDigest } from "@secai/measure/secure-boot";
import { type Evidence, printEvidence } from "@secai/verify/runtime-evidence";
import { read, write } from "../release/forge.ts";
import { changed, remake } from "./edits.ts";
import {
  endorsementKey,
  makeKey,
  NONCE,
  PROPER_ATTRIBUTES,
  quoteOf,
  realEvidence,
  replayed,
  signQuote,
  withAttributes,
} from "./machine.ts";
import { answer, type Case, EVIDENCE_ARGS, input, RUNTIME_ARGS, type SelfTestScene } from "./scene.ts";

// What a machine that does not run the release, or a liar between it and the verifier, could answer.

type Quote = NonNullable<Evidence["quote"]>;
const quoteIn = ({ evidence }: SelfTestScene): Quote => {
  if (evidence.quote === undefined) throw new Error("the machine has a TPM");
  return evidence.quote;
};
const flipped = (bytes: Uint8Array, at: number) =>
  Uint8Array.from(bytes, (byte, index) => (index === (at + bytes.length) % bytes.length ? byte ^ 1 : byte));

/** The genuine answer with some of it replaced. */
const says =
  (change: (scene: SelfTestScene) => Partial<Evidence>) =>
  (scene: SelfTestScene): void =>
    answer(scene, { ...scene.evidence, ...change(scene) });

/** The genuine answer with some of the quote replaced, which nobody signed so. */
const quoteSays = (change: (quote: Quote, scene: SelfTestScene) => Partial<Quote>) =>
  says((scene) => ({ quote: { ...quoteIn(scene), ...change(quoteIn(scene), scene) } }));

/** A quote that the machine's TPM signed, over what it was told. */
const signs = (change: (genuine: ReadonlyMap<number, Sha256>) => Parameters<typeof quoteOf>[1]) =>
  says((scene) => ({ quote: quoteOf(scene.machine, change(quoteIn(scene).pcrs)) }));

const machineCase = (
  name: string,
  fails: readonly string[],
  apply: NonNullable<Case["apply"]>,
  rest: Partial<Case> = {},
): Case => ({
  name: `machine: ${name}`,
  args: RUNTIME_ARGS,
  fails,
  apply,
  ...rest,
});

const quotes: readonly Case[] = [
  machineCase(
    "a quote of an earlier challenge",
    ["quote.nonce"],
    signs((pcrs) => ({ pcrs, nonce: "ff".repeat(16) })),
  ),
  machineCase(
    "a challenge that begins like this one",
    ["quote.nonce"],
    signs((pcrs) => ({ pcrs, nonce: NONCE.slice(0, 30) })),
  ),
  machineCase(
    "a challenge that goes on",
    ["quote.nonce"],
    signs((pcrs) => ({ pcrs, nonce: `${NONCE}00` })),
  ),
  machineCase(
    "no challenge in the quote",
    ["quote.nonce"],
    signs((pcrs) => ({ pcrs, nonce: "" })),
  ),
  machineCase("the challenge written into an old quote", ["quote.signature"], (scene) => {
    const old = quoteOf(scene.machine, { pcrs: quoteIn(scene).pcrs, nonce: "ff".repeat(16) });
    const message = Buffer.from(old.message);
    message.set(Buffer.from(NONCE, "hex"), message.indexOf(Buffer.from("ff".repeat(16), "hex")));
    answer(scene, { ...scene.evidence, quote: { ...old, message } });
  }),
  machineCase(
    "a PCR digest changed in the quote",
    ["quote.signature", "quote.pcrs"],
    quoteSays(({ message }) => ({ message: flipped(message, -1) })),
  ),
  machineCase(
    "a byte of the signature changed",
    ["quote.signature"],
    quoteSays(({ signature }) => ({ signature: flipped(signature, -1) })),
  ),
  machineCase(
    "a signature of zeros",
    ["quote.signature"],
    quoteSays(({ signature }) => ({
      signature: Buffer.concat([
        signature.subarray(0, 4),
        Buffer.from("0020", "hex"),
        Buffer.alloc(32),
        Buffer.from("0020", "hex"),
        Buffer.alloc(32),
      ]),
    })),
  ),
  machineCase(
    "a signature with an unknown scheme",
    ["quote.signature"],
    quoteSays(({ signature }) => ({ signature: flipped(signature, 1) })),
  ),
  machineCase(
    "a signature with bytes after it",
    ["quote.signature"],
    quoteSays(({ signature }) => ({ signature: Buffer.concat([signature, Buffer.alloc(1)]) })),
  ),
  machineCase(
    "half a signature",
    ["quote.signature"],
    quoteSays(({ signature }) => ({ signature: signature.subarray(0, 30) })),
  ),
  machineCase(
    "a quote by another key",
    ["quote.signature"],
    quoteSays((quote) => ({ signature: signQuote(Buffer.from(quote.message), makeKey()) })),
  ),
  machineCase(
    "the attestation key of another machine",
    ["quote.signature"],
    quoteSays(() => ({ attestationKey: makeKey().publicArea })),
  ),
  machineCase(
    "the attestation key of a real TPM under a soft quote",
    ["quote.signature"],
    quoteSays(() => ({ attestationKey: realEvidence("plain").quote?.attestationKey ?? Buffer.alloc(0) })),
  ),
  machineCase(
    "an attestation key cut short",
    ["quote.signature", "quote.ak-attributes"],
    quoteSays(({ attestationKey }) => ({ attestationKey: attestationKey.subarray(0, -5) })),
  ),
  machineCase(
    "an attestation key with bytes after it",
    ["quote.signature", "quote.ak-attributes"],
    quoteSays(({ attestationKey }) => ({ attestationKey: Buffer.concat([attestationKey, Buffer.alloc(1)]) })),
  ),
  machineCase(
    "a point that is not on the curve",
    ["quote.signature", "quote.ak-attributes"],
    quoteSays(({ attestationKey }) => ({ attestationKey: flipped(attestationKey, -1) })),
  ),
  machineCase(
    "a structure that no TPM made",
    ["quote.signature", "quote.nonce"],
    signs((pcrs) => ({ pcrs, magic: 0xff544348 })),
  ),
  machineCase(
    "an attestation of something else than PCRs",
    ["quote.signature", "quote.nonce"],
    signs((pcrs) => ({ pcrs, type: 0x8017 })),
  ),
  machineCase(
    "a quote of the SHA-1 bank",
    ["quote.pcrs"],
    signs((pcrs) => ({ pcrs, bank: 0x0004 })),
  ),
  machineCase("a quote with bytes after it", ["quote.signature", "quote.nonce", "quote.pcrs"], (scene) => {
    const message = Buffer.concat([quoteIn(scene).message, Buffer.alloc(1)]);
    answer(scene, { ...scene.evidence, quote: { ...quoteIn(scene), message, signature: signQuote(message, scene.machine) } });
  }),
  machineCase(
    "half a quote",
    ["quote.signature", "quote.nonce", "quote.pcrs"],
    quoteSays(({ message }) => ({ message: message.subarray(0, 60) })),
  ),
  machineCase(
    "no quote",
    ["quote.signature", "quote.nonce", "quote.pcrs", "boot.uki"],
    says(() => ({ quote: undefined })),
    { exit: 3 },
  ),
];

const bits = { fixedTPM: 1 << 1, fixedParent: 1 << 4, sensitiveDataOrigin: 1 << 5, restricted: 1 << 16, sign: 1 << 18 };
const attributes: readonly Case[] = [
  ...Object.entries(bits).map(([name, bit]) =>
    machineCase(`an attestation key without ${name}`, ["quote.ak-attributes"], (scene) => {
      const publicArea = withAttributes(scene.machine, PROPER_ATTRIBUTES & ~bit);
      answer(scene, { ...scene.evidence, quote: { ...quoteIn(scene), attestationKey: publicArea } });
    }),
  ),
  machineCase("an attestation key that also decrypts", ["quote.ak-attributes"], (scene) => {
    const publicArea = withAttributes(scene.machine, PROPER_ATTRIBUTES | (1 << 17));
    answer(scene, { ...scene.evidence, quote: { ...quoteIn(scene), attestationKey: publicArea } });
  }),
];

/** A quoted value that is another, with logs that still tell the promised one. */
const quotedOtherwise = (index: 4 | 7 | 9 | 11 | 12, check: string): Case =>
  machineCase(
    `another PCR ${index}, quoted and hidden in the logs`,
    [check, "event-log.replay"],
    signs((pcrs) => ({ pcrs: new Map([...pcrs, [index, sha256("other")]]) })),
  );

/** Another value than was quoted, written where the values are. */
const valueExchanged = (index: number): Case =>
  machineCase(
    `PCR ${index} exchanged beside the quote`,
    ["quote.pcrs"],
    quoteSays(({ pcrs }) => ({ pcrs: new Map([...pcrs, [index, sha256("other")]]) })),
  );

const notQuoted = (index: 4 | 7 | 9 | 11 | 12, check: string): Case =>
  machineCase(
    `PCR ${index} left out of the quote`,
    [check],
    signs((pcrs) => ({ pcrs: new Map([...pcrs].filter(([one]) => one !== index)) })),
    { exit: 3 },
  );

/** An event of the log with another digest, and quotes of what that leads to: an honest log of a dishonest boot. */
function withEvent(scene: SelfTestScene, pcr: number, digest: Sha256): Evidence {
  const { eventLog = Buffer.alloc(0), userspaceLog = Buffer.alloc(0) } = scene.evidence;
  const record = eventOf(pcr, digest);
  const log = Buffer.concat([eventLog, record]);
  return {
    ...scene.evidence,
    eventLog: log,
    quote: quoteOf(scene.machine, { pcrs: replayed(log, userspaceLog, quoteIn(scene).pcrs.keys()) }),
  };
}

/** TCG_PCR_EVENT2 (TCG PFP 10.2.2) with SHA-256 alone, as the real log's banks are. */
function eventOf(pcr: number, digest: Sha256): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt32LE(pcr, 0);
  head.writeUInt32LE(0x80000003, 4);
  head.writeUInt32LE(1, 8);
  head.writeUInt16LE(0x000b, 12);
  return Buffer.concat([head, Buffer.from(digest, "hex"), Buffer.alloc(4)]);
}

const logs: readonly Case[] = [
  machineCase(
    "an event log of another boot",
    ["event-log.replay"],
    says(() => ({ eventLog: realEvidence("addon").eventLog })),
  ),
  machineCase(
    "a byte of the event log changed",
    ["event-log.replay"],
    says(({ evidence }) => {
      const log = Buffer.from(evidence.eventLog ?? []);
      // Inside the digest of the first event after the header: the log still reads, and leads elsewhere.
      const at = log.indexOf(Buffer.from("010000000b00", "hex"), 64) + 6;
      return { eventLog: flipped(log, at) };
    }),
  ),
  machineCase(
    "a torn event log",
    ["event-log.replay"],
    says(({ evidence }) => ({ eventLog: evidence.eventLog?.subarray(0, -3) })),
  ),
  machineCase(
    "an event log with bytes after it",
    ["event-log.replay"],
    says(({ evidence }) => ({ eventLog: Buffer.concat([evidence.eventLog ?? Buffer.alloc(0), Buffer.alloc(3)]) })),
  ),
  machineCase(
    "an event added to the log",
    ["event-log.replay"],
    says(({ evidence }) => ({ eventLog: Buffer.concat([evidence.eventLog ?? Buffer.alloc(0), eventOf(4, sha256("x"))]) })),
  ),
  machineCase(
    "an event log of PCR 255",
    ["event-log.replay"],
    says(({ evidence }) => ({ eventLog: Buffer.concat([evidence.eventLog ?? Buffer.alloc(0), eventOf(255, sha256("x"))]) })),
  ),
  machineCase(
    "an empty event log",
    ["event-log.replay"],
    says(() => ({ eventLog: Buffer.alloc(0) })),
  ),
  machineCase(
    "no event log",
    ["event-log.replay"],
    says(() => ({ eventLog: undefined })),
    { exit: 3 },
  ),
  machineCase(
    "no log of systemd",
    ["event-log.replay"],
    says(() => ({ userspaceLog: undefined })),
    { exit: 3 },
  ),
  machineCase(
    "an empty log of systemd",
    ["event-log.replay"],
    says(() => ({ userspaceLog: Buffer.alloc(0) })),
  ),
  machineCase(
    "a torn log of systemd",
    ["event-log.replay"],
    says(({ evidence }) => ({ userspaceLog: evidence.userspaceLog?.subarray(0, -2) })),
  ),
  machineCase(
    "a record of systemd twice",
    ["event-log.replay"],
    says(({ evidence }) => {
      const log = Buffer.from(evidence.userspaceLog ?? []);
      return { userspaceLog: Buffer.concat([log, log]) };
    }),
  ),
  machineCase("another boot program, honestly logged", ["boot.chain"], (scene) =>
    answer(scene, withEvent(scene, 4, sha256("a boot kit"))),
  ),
  machineCase("another Secure Boot key, honestly logged", ["boot.secure-boot"], (scene) =>
    answer(scene, withEvent(scene, 7, sha256("a key of mine"))),
  ),
  machineCase("Secure Boot off, honestly logged", ["boot.secure-boot"], (scene) =>
    answer(scene, withEvent(scene, 7, secureBootOffDigest())),
  ),
  machineCase("another initrd, honestly logged", ["boot.initrd"], (scene) =>
    answer(scene, withEvent(scene, 9, sha256("an initrd of mine"))),
  ),
  machineCase("another kernel image, honestly logged", ["boot.uki"], (scene) =>
    answer(scene, withEvent(scene, 11, sha256("a kernel of mine"))),
  ),
  machineCase("a kernel addon, honestly logged", ["boot.command-line"], (scene) =>
    answer(scene, withEvent(scene, 12, sha256("init=/bin/sh"))),
  ),
];

const states: readonly Case[] = [
  machineCase(
    "a command line that nobody measured",
    ["boot.command-line"],
    says(({ evidence }) => ({ commandLine: `${evidence.commandLine} init=/bin/sh` })),
  ),
  machineCase(
    "another root hash in the command line",
    ["boot.command-line"],
    says(({ evidence }) => ({ commandLine: evidence.commandLine.replace(/roothash=./, "roothash=f") })),
  ),
  machineCase(
    "corrupted blocks below the root",
    ["root.verity"],
    says(({ evidence }) => ({ root: { ...evidence.root, verity: "corrupted" } })),
  ),
  machineCase(
    "a root without verity",
    ["root.verity"],
    says(({ evidence }) => ({ root: { ...evidence.root, verity: "absent" } })),
  ),
  machineCase(
    "another root",
    ["root.verity"],
    says(({ evidence }) => ({ root: { ...evidence.root, hash: sha256("other") } })),
  ),
  machineCase(
    "a root of no name",
    ["root.verity"],
    says(({ evidence }) => ({ root: { ...evidence.root, hash: null } })),
  ),
  machineCase(
    "a writable root",
    ["root.verity"],
    says(({ evidence }) => ({ root: { ...evidence.root, readOnly: false } })),
  ),
  machineCase(
    "an older version",
    ["release.version"],
    says(() => ({ release: { imageId: "secai-os", imageVersion: "0.0.9" } })),
  ),
  machineCase(
    "no version",
    ["release.version"],
    says(() => ({ release: { imageId: "", imageVersion: "" } })),
  ),
  machineCase(
    "a changed service",
    ["release.services"],
    says(() => ({ services: { "policy-engine": sha256("x") } })),
  ),
  machineCase(
    "a service of no release",
    ["release.services"],
    says(({ evidence }) => ({ services: { ...evidence.services, miner: sha256("x") } })),
  ),
  machineCase(
    "no service manifest",
    ["release.services"],
    says(() => ({ services: undefined })),
  ),
];

/** The document itself. */
const documents: readonly Case[] = [
  ...(
    [
      ["white space in the evidence", (text: string) => text.replace(",", ", ")],
      ["evidence cut short", (text: string) => text.slice(0, -10)],
      ["evidence without its newline", (text: string) => text.trimEnd()],
      ["evidence of schema 9", (text: string) => text.replace(/"schema":\d/, '"schema":9')],
      ["an unknown member in the evidence", (text: string) => text.replace('{"commandLine"', '{"a":1,"commandLine"')],
      ["a member twice in the evidence", (text: string) => text.replace('{"commandLine"', '{"commandLine":"x","commandLine"')],
      ["a PCR 24 in the evidence", (text: string) => text.replace('"pcrs":{', `"pcrs":{"24":"${"0".repeat(64)}",`)],
    ] as const
  ).map(([name, change]) =>
    machineCase(name, ["error:EVIDENCE_MALFORMED"], ({ inputs, evidence }) =>
      write(inputs, "evidence.json", change(printEvidence(evidence))),
    ),
  ),
  machineCase("evidence that is none", ["error:EVIDENCE_MALFORMED"], ({ inputs }) => write(inputs, "evidence.json", "yes\n")),
  machineCase("no evidence at all", ["error:EVIDENCE_MALFORMED"], ({ inputs }) => write(inputs, "evidence.json", "")),
];

/** The promise that the machine is held to is verified first. */
const promised = [
  "runtime",
  "--at",
  "{at}",
  "--measurements",
  "@/inputs/promise.json",
  ...EVIDENCE_ARGS,
  "--designation",
  "dev",
  "--key",
];
const promises: readonly Case[] = [
  machineCase("a release with a flipped bit", ["files.digest:uki.efi"], ({ dir }) =>
    write(dir, "uki.efi", "a unified kernel imagf\n"),
  ),
  machineCase("the baseline of another root", ["runtime.baseline", "baseline.root-hash"], (scene) =>
    remake(scene, {
      "baseline.json": changed(scene.dir, "baseline.json", (document) => {
        const { rootHash, commandLine } = document;
        document.commandLine = String(commandLine).replace(String(rootHash), sha256("other"));
        document.rootHash = sha256("other");
      }),
    }),
  ),
  machineCase("the promise of an older release", ["release.version"], () => {}, {
    args: RUNTIME_ARGS.map((arg) => (arg === "@/release" ? "@/older" : arg)),
  }),
  machineCase(
    "a promise that a stranger signed",
    ["measurements.signature"],
    ({ dir, inputs }) => write(inputs, "promise.json", read(dir, "measurements.json.sigstore.json")),
    { args: [...promised, "@/inputs/stranger.pub"] },
  ),
  machineCase(
    "a promise of another kind",
    ["measurements.signature"],
    ({ dir, inputs }) => write(inputs, "promise.json", read(dir, "provenance.intoto.json.sigstore.json")),
    { args: [...promised, "@/inputs/release.pub"] },
  ),
  machineCase(
    "a promise for another designation",
    ["measurements.designation"],
    ({ dir, inputs }) => write(inputs, "promise.json", read(dir, "measurements.json.sigstore.json")),
    {
      args: [
        "runtime",
        "--measurements",
        "@/inputs/promise.json",
        ...EVIDENCE_ARGS,
        "--designation",
        "stable",
        "--key",
        "@/inputs/release.pub",
      ],
    },
  ),
];

const site = ["--policy", "@/inputs/site.json"];
const MAKER = vector("keys/db.crt").toString();

/** A site that knows makers of TPMs, and what a machine shows of its own. */
const endorsed = (name: string, fails: readonly string[], shown: Partial<Quote>, rest: Partial<Case> = {}): Case =>
  machineCase(
    name,
    fails,
    (scene) => {
      answer(scene, { ...scene.evidence, quote: { ...quoteIn(scene), ...shown } });
      input(scene, "site.json", { schema: 1, name: "makers", tpmAnchors: [MAKER] });
    },
    { args: [...RUNTIME_ARGS, ...site], ...rest },
  );
const endorsements: readonly Case[] = [
  endorsed("no key of the TPM's maker", ["quote.endorsement", "quote.ak-bound"], {}, { exit: 3 }),
  endorsed(
    "no certificate of the TPM's maker",
    ["quote.endorsement", "quote.ak-bound"],
    { endorsementKey: endorsementKey() },
    { exit: 3 },
  ),
  endorsed(
    "a maker's certificate for another key",
    ["quote.endorsement"],
    { endorsementKey: endorsementKey(), endorsementCertificate: certificateDer(Buffer.from(MAKER)) },
    { code: "EK_CERTIFICATE_KEY" },
  ),
  endorsed(
    "a maker's certificate that is none",
    ["quote.endorsement"],
    { endorsementKey: endorsementKey(), endorsementCertificate: Buffer.from("x") },
    { code: "EK_CERTIFICATE_MALFORMED" },
  ),
  endorsed("a maker's key that signs", ["quote.endorsement"], { endorsementKey: makeKey().publicArea }, { code: "EK_MALFORMED" }),
];
const sites: readonly Case[] = [
  machineCase(
    "a key that is not the enrolled one",
    ["quote.ak-enrolled"],
    (scene) => input(scene, "site.json", { schema: 1, name: "enrolled", attestationKeys: [sha256("another")] }),
    { args: [...RUNTIME_ARGS, ...site] },
  ),
  machineCase(
    "a site that expects other Secure Boot keys",
    ["boot.secure-boot"],
    (scene) => input(scene, "site.json", { schema: 1, name: "keys", pcrs: { "7": sha256("keys") } }),
    { args: [...RUNTIME_ARGS, ...site] },
  ),
  machineCase(
    "a site that expects an addon",
    ["boot.command-line"],
    (scene) =>
      input(scene, "site.json", {
        schema: 1,
        name: "addon",
        addonCommandLine: "debug",
        pcrs: { "12": extendPcr(ZERO_PCR, sha256("debug")) },
      }),
    { args: [...RUNTIME_ARGS, ...site] },
  ),
  ...(
    [
      ["a site policy with an unknown member", { schema: 1, name: "x", pcr11: "any" }],
      ["a site policy that excuses PCR 11", { schema: 1, name: "x", pcrs: { "11": sha256("x") } }],
      ["a site policy with an addon and no PCR 12", { schema: 1, name: "x", addonCommandLine: "debug" }],
      ["a site policy that calls itself the release's", { schema: 1, name: "release" }],
    ] as const
  ).map(([name, document]) =>
    machineCase(name, ["error:RUNTIME_POLICY_MALFORMED"], (scene) => input(scene, "site.json", document), {
      args: [...RUNTIME_ARGS, ...site],
      exit: 2,
    }),
  ),
];

export const runtimeCases: readonly Case[] = [
  ...quotes,
  ...attributes,
  ...(
    [
      [4, "boot.chain"],
      [7, "boot.secure-boot"],
      [9, "boot.initrd"],
      [11, "boot.uki"],
      [12, "boot.command-line"],
    ] as const
  ).flatMap(([index, check]) => [quotedOtherwise(index, check), notQuoted(index, check)]),
  ...[0, 4, 7, 9, 11, 12, 15].map(valueExchanged),
  ...logs,
  ...states,
  ...documents,
  ...promises,
  ...sites,
  ...endorsements,
];
