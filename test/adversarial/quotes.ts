import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { type Sha256, sha256 } from "../../attest/formats/digest.ts";
import { ZERO_PCR } from "../../attest/measure/pcr.ts";
import type { Evidence } from "../../attest/verify/runtime-evidence.ts";
import { withSite } from "../../attest/verify/runtime-policy.ts";
import { fingerprintOf, judge, policyFor, runtimeVerdict } from "../vm/attest.ts";
import { VmError } from "../vm/errors.ts";
import { expectEqual, expectTrue } from "../vm/expect.ts";
import { oncePerRun } from "../vm/once.ts";
import type { Scenario, Test } from "../vm/suite.ts";

// A genuine machine's own evidence, forged in every way that somebody between it and the verifier could try. The verifier has enrolled the
// machine's attestation key.

type Quote = NonNullable<Evidence["quote"]>;

interface Genuine {
  readonly evidence: Evidence;
  readonly quote: Quote;
}

/** What the machine answered. */
const genuineOf = oncePerRun(async (test): Promise<Genuine> => {
  const { evidence } = await runtimeVerdict(test.release, test.bench, await test.shared(), { trust: "test" });
  if (evidence.quote === undefined) throw new VmError("CHECK_FAILED", { expected: "a quote", actual: "none" });
  return { evidence, quote: evidence.quote };
});

/** The code of every check that does not pass, where this machine's own key is the enrolled one. */
async function refusalsOf(test: Test, { evidence, quote }: Genuine, nonce: string, forged: Evidence): Promise<readonly string[]> {
  const site = { schema: 1, name: "enrolled", attestationKeys: [fingerprintOf(quote)] } as const;
  const policy = withSite(await policyFor(test.release, test.bench, "test"), site);
  expectEqual(judge(evidence, evidence.nonce, policy).verdict, "accepted", "the genuine evidence, as a control");
  const { verdict, failures } = judge(forged, nonce, policy);
  expectTrue(verdict !== "accepted", "any other verdict", verdict);
  return failures;
}

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = Uint8Array.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
};

/** Offset of objectAttributes in a TPM2B_PUBLIC: size, type, nameAlg (TPM 2.0 Part 2, 12.2.4). */
const ATTRIBUTES_AT = 6;
const RESTRICTED = 1 << 16;
/** Two TPM2B_ECC_PARAMETER of P-256 end the public area. */
const POINT_BYTES = 2 * (2 + 32);

/** The machine's public area with another key in it: software that claims to be a TPM. */
function impersonated(publicArea: Uint8Array, key: KeyObject, clear = 0): Uint8Array {
  const { x = "", y = "" } = key.export({ format: "jwk" });
  const point = [x, y].flatMap((value) => [Buffer.from([0, 32]), Buffer.from(value, "base64url")]);
  const bytes = Buffer.concat([publicArea.subarray(0, -POINT_BYTES), ...point]);
  bytes.writeUInt32BE((bytes.readUInt32BE(ATTRIBUTES_AT) & ~clear) >>> 0, ATTRIBUTES_AT);
  return bytes;
}

/** TPMT_SIGNATURE: ECDSA, SHA-256, r, s (TPM 2.0 Part 2, 11.3.4). */
function signature(message: Uint8Array, key: KeyObject): Uint8Array {
  const raw = sign("sha256", message, { key, dsaEncoding: "ieee-p1363" });
  const sized = (part: Uint8Array) => Buffer.concat([Buffer.from([0, part.length]), part]);
  return Buffer.concat([Buffer.from([0x00, 0x18, 0x00, 0x0b]), sized(raw.subarray(0, 32)), sized(raw.subarray(32))]);
}

/** Everything right, and signed by a key of the attacker's own. */
function bySoftware(quote: Quote, clear = 0): Quote {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    ...quote,
    attestationKey: impersonated(quote.attestationKey, publicKey, clear),
    signature: signature(quote.message, privateKey),
  };
}

const withPcr = (quote: Quote, index: number, value: Sha256 | undefined): Quote["pcrs"] => {
  const pcrs = new Map(quote.pcrs);
  if (value === undefined) pcrs.delete(index);
  else pcrs.set(index, value);
  return pcrs;
};

interface Forgery {
  readonly id: string;
  readonly what: string;
  readonly code: string;
  forge(genuine: Genuine): Evidence;
}

const ofQuote = (id: string, what: string, code: string, change: (quote: Quote) => Partial<Quote>): Forgery => ({
  id,
  what,
  code,
  forge: ({ evidence, quote }) => ({ ...evidence, quote: { ...quote, ...change(quote) } }),
});

const forgeries: readonly Forgery[] = [
  ofQuote("truncated", "whose last byte is missing", "QUOTE_MALFORMED", ({ message }) => ({ message: message.subarray(0, -1) })),
  ofQuote("trailing", "with a byte more", "QUOTE_MALFORMED", ({ message }) => ({
    message: Buffer.concat([message, Buffer.alloc(1)]),
  })),
  // TPM_ST_ATTEST_CERTIFY in place of TPM_ST_ATTEST_QUOTE.
  ofQuote("certification", "that is another kind of attestation", "QUOTE_MALFORMED", ({ message }) => {
    const bytes = Buffer.from(message);
    bytes.writeUInt16BE(0x8017, 4);
    return { message: bytes };
  }),
  ofQuote("flipped", "with one bit of its PCR digest flipped", "QUOTE_SIGNATURE", ({ message }) => ({
    message: flipped(message, -1),
  })),
  ofQuote("signature-cut", "whose signature ends early", "QUOTE_SIGNATURE_MALFORMED", ({ signature }) => ({
    signature: signature.subarray(0, -1),
  })),
  ofQuote("signature-flipped", "with one bit of its signature flipped", "QUOTE_SIGNATURE", ({ signature }) => ({
    signature: flipped(signature, -1),
  })),
  ofQuote("pcr-replaced", "with another value of PCR 11 beside it", "QUOTE_PCRS", (quote) => ({
    pcrs: withPcr(quote, 11, sha256("another kernel image")),
  })),
  ofQuote("pcr-left-out", "without the value of PCR 12", "QUOTE_PCRS", (quote) => ({ pcrs: withPcr(quote, 12, undefined) })),
  ofQuote("pcr-unquoted", "with a value that it does not cover", "QUOTE_PCRS", (quote) => ({
    pcrs: withPcr(quote, 16, ZERO_PCR),
  })),
  ofQuote("swapped-key", "of a software key that claims to be the TPM's", "AK_UNKNOWN", (quote) => bySoftware(quote)),
  ofQuote("unrestricted-key", "of a key that signs anything", "AK_ATTRIBUTES", (quote) => bySoftware(quote, RESTRICTED)),
  {
    id: "log-edited",
    what: "with an event log in which one byte is changed",
    code: "EVENT_LOG_REPLAY",
    forge: ({ evidence }) => ({ ...evidence, eventLog: withEditedDigest(evidence) }),
  },
  {
    id: "log-missing",
    what: "without its event log",
    code: "EVENT_LOG_MISSING",
    forge: ({ evidence }) => ({ ...evidence, eventLog: undefined }),
  },
  {
    id: "absent",
    what: "without a quote",
    code: "TPM_ABSENT",
    forge: ({ evidence }) => ({ ...evidence, quote: undefined }),
  },
];

/** The digest of the event that measured the kernel image's first section into PCR 11, with one bit flipped. */
function withEditedDigest({ eventLog }: Evidence): Uint8Array {
  const log = Buffer.from(eventLog ?? new Uint8Array());
  // TCG_PCR_EVENT2: PCR index, EV_IPL, and the digests after it (TCG PC Client PFP 10.2.2).
  const at = log.indexOf(Buffer.from([11, 0, 0, 0, 0x0d, 0, 0, 0]));
  expectTrue(at > 0, "an event of PCR 11", "none");
  const sha = log.indexOf(Buffer.from([0x0b, 0x00]), at + 8);
  return flipped(log, sha + 2);
}

export const quoteScenarios: readonly Scenario[] = [
  ...forgeries.map(
    ({ id, what, code, forge }): Scenario => ({
      id: `quote.${id}`,
      title: `Evidence ${what} is refused: ${code}`,
      needs: "shared",
      async run(test) {
        const own = await genuineOf(test);
        const failures = await refusalsOf(test, own, own.evidence.nonce, forge(own));
        expectTrue(failures.includes(code), code, failures.join(" ") || "none");
      },
    }),
  ),
  {
    id: "quote.renamed",
    title: "An old quote under a new nonce's name is refused: QUOTE_NONCE",
    needs: "shared",
    async run(test) {
      const own = await genuineOf(test);
      const nonce = randomBytes(32).toString("hex");
      const failures = await refusalsOf(test, own, nonce, { ...own.evidence, nonce });
      expectTrue(failures.includes("QUOTE_NONCE"), "QUOTE_NONCE", failures.join(" ") || "none");
    },
  },
];
