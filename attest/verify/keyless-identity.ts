import type { Signer } from "@sigstore/verify";
import { KeylessError } from "./keyless-errors.ts";

/**
 * Fulcio's claims about the workflow behind a token, by their last OID number;
 * https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md. Each value is a UTF8String.
 */
const CLAIMS = {
  /** The workflow file and its ref, whole. */
  buildSigner: 9,
  runnerEnvironment: 11,
  /** e.g. https://github.com/owner/name */
  sourceRepository: 12,
  sourceDigest: 13,
  /** e.g. refs/tags/v1 */
  sourceRef: 14,
  /** The workflow that was started, whole. */
  buildConfig: 18,
  buildTrigger: 20,
} as const;
export type Claim = keyof typeof CLAIMS;
export const KEYLESS_CLAIMS = Object.keys(CLAIMS) as readonly Claim[];
const ISSUER = 8;
const FULCIO_ARC = [1, 3, 6, 1, 4, 1, 57264, 1];
const SUBJECT_ALTERNATIVE_NAME = [2, 5, 29, 17];

/** Who must have signed. Every value is compared whole, byte by byte: no patterns, no prefixes. */
export interface KeylessIdentity {
  /** The certificate's one name: a URI (a workflow) or an e-mail address. */
  readonly subjectAlternativeName: string;
  /** The OpenID Connect provider that vouched for the name. */
  readonly issuer: string;
  readonly claims?: Readonly<Partial<Record<Claim, string>>>;
}

/** @throws KeylessError KEYLESS_IDENTITY_WRONG */
export function requireIdentity(signer: Signer, { subjectAlternativeName, issuer, claims = {} }: KeylessIdentity): void {
  const name = extensionOf(signer, SUBJECT_ALTERNATIVE_NAME);
  if (name === undefined || !encodedNames(subjectAlternativeName).some((expected) => expected.equals(name)))
    throw wrong("name", subjectAlternativeName, signer.identity?.subjectAlternativeName ?? "none");
  requireClaim(signer, "issuer", ISSUER, issuer);
  for (const claim of KEYLESS_CLAIMS) {
    const expected = claims[claim];
    if (expected !== undefined) requireClaim(signer, claim, CLAIMS[claim], expected);
  }
}

function requireClaim(signer: Signer, claim: string, oid: number, expected: string): void {
  const actual = extensionOf(signer, [...FULCIO_ARC, oid]);
  if (actual?.equals(utf8String(expected)) !== true) throw wrong(claim, expected, printable(actual));
}

/** The value of the one extension with the OID: two would be two answers. */
function extensionOf({ identity }: Signer, oid: readonly number[]): Buffer | undefined {
  const found = (identity?.oids ?? []).filter(({ oid: other }) => other?.id.join(".") === oid.join("."));
  return found.length === 1 && found[0] !== undefined ? Buffer.from(found[0].value) : undefined;
}

/** GeneralNames (RFC 5280 §4.2.1.6) of just this name, as URI or as e-mail address. */
const encodedNames = (name: string): Buffer[] => [0x86, 0x81].map((tag) => der(0x30, der(tag, Buffer.from(name, "utf8"))));
const utf8String = (text: string): Buffer => der(0x0c, Buffer.from(text, "utf8"));

/** One DER element; the shortest form of its length (X.690 §10.1). */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const printable = (value: Buffer | undefined): string =>
  value === undefined
    ? "none"
    : value
        .subarray(2, 300)
        .toString("utf8")
        .replace(/[^ -~]/g, "?");

const wrong = (what: string, expected: string, actual: string) =>
  new KeylessError("KEYLESS_IDENTITY_WRONG", { expected: `${what} ${expected}`, actual });
