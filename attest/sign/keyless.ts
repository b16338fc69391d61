import { BUNDLE_MEDIA_TYPE } from "@secai/formats/bundle";
import { canonicalJson } from "@secai/formats/canonical-json";
import { IN_TOTO_PAYLOAD_TYPE } from "@secai/formats/uris";
import type { Bundle } from "@sigstore/bundle";
import type { BundleBuilder, BundleBuilderOptions } from "@sigstore/sign";
import { SignError } from "./errors.ts";
import type { TokenSource } from "./identity-token.ts";
import { statementPayload } from "./sign.ts";
import type { Signer } from "./signer.ts";
import type { SigningServices } from "./signing-config.ts";

/** Judges a finished bundle as a stranger would, with a trusted root and the expected identity; throws when it is not accepted. */
export interface KeylessJudge {
  statement(bundle: Buffer): Promise<Buffer>;
  blob(bundle: Buffer, data: Uint8Array): Promise<void>;
}

export interface KeylessOptions {
  readonly services: SigningServices;
  readonly token: TokenSource;
  /** Every bundle goes through it before it is given out: a log or certificate nobody can verify is of no use. */
  readonly judge: KeylessJudge;
  /** For a whole signature, in ms. */
  readonly deadlineMs?: number;
  /** For one request, in ms. */
  readonly requestMs?: number;
  /** How often a request is repeated after a connection broke or the service failed (5xx, 408, 429). */
  readonly retries?: number;
}

/**
 * Signs as an identity: a key that lives for one signature, a certificate that binds it to the token's subject, an entry in each
 * transparency log, a timestamp of each authority. Speaks to the services it was given and to no others.
 */
export function keylessSigner(options: KeylessOptions): Signer {
  return {
    publicKey: undefined,
    sign: undefined,
    async signStatement(statement) {
      const payload = statementPayload(statement);
      const made = await create(options, "DSSEBundleBuilder", { data: payload, type: IN_TOTO_PAYLOAD_TYPE });
      return await judged(made, async () => {
        if (!(await options.judge.statement(made)).equals(payload)) throw new Error("another payload");
      });
    },
    async signBlob(data) {
      const made = await create(options, "MessageSignatureBundleBuilder", { data: Buffer.from(data) });
      return await judged(made, () => options.judge.blob(made, data));
    },
  };
}

/** @throws SignError KEYLESS_FAILED, KEYLESS_TIMEOUT, IDENTITY_TOKEN_UNAVAILABLE */
async function create(
  options: KeylessOptions,
  kind: "DSSEBundleBuilder" | "MessageSignatureBundleBuilder",
  artifact: Parameters<BundleBuilder["create"]>[0],
): Promise<Buffer> {
  const { deadlineMs = 120_000 } = options;
  const sigstore = await import("@sigstore/sign");
  const builder: BundleBuilder = new sigstore[kind](partsOf(sigstore, options, await options.token()));
  try {
    return await bundleBytes(await withDeadline(builder.create(artifact), deadlineMs));
  } catch (cause) {
    throw cause instanceof SignError
      ? cause
      : new SignError("KEYLESS_FAILED", { expected: "a certificate and log entries", ...why(cause) });
  }
}

function partsOf(
  { FulcioSigner, RekorWitness, TSAWitness }: typeof import("@sigstore/sign"),
  { services, requestMs = 15_000, retries = 2 }: KeylessOptions,
  token: string,
): BundleBuilderOptions {
  const common = { timeout: requestMs, retry: { retries, minTimeout: 250, maxTimeout: 2000 } };
  const fulcioBaseURL = baseOf(services.certificateAuthority);
  return {
    signer: new FulcioSigner({ ...common, fulcioBaseURL, identityProvider: { getToken: async () => token } }),
    witnesses: [
      // "intoto" entries hold the payload's hash; all releases of Rekor and of cosign can read them.
      ...services.logs.map((log) => new RekorWitness({ ...common, rekorBaseURL: baseOf(log), entryType: "intoto" })),
      ...services.timestampAuthorities.map((authority) => new TSAWitness({ ...common, tsaBaseURL: baseOf(authority) })),
    ],
  };
}

const baseOf = (url: URL): string => url.href.replace(/\/+$/, "");

/** The library's own code and an HTTP status. Its messages may quote what was sent, and a token was sent. */
function why(error: unknown): { readonly actual: string } {
  const { code, cause } = error as {
    readonly code?: unknown;
    readonly cause?: { readonly statusCode?: unknown; readonly code?: unknown };
  };
  const status = cause?.statusCode ?? cause?.code;
  return { actual: `${code ?? "an error"}${status === undefined ? "" : ` (${status})`}` };
}

async function withDeadline<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new SignError("KEYLESS_TIMEOUT", { expected: `a signature within ${deadlineMs} ms`, actual: "none yet" });
    timer = setTimeout(() => reject(error), deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Canonical JSON of version 0.3, which carries one certificate and no chain, without the keyid that cosign 2 stumbles over. */
async function bundleBytes(bundle: Bundle): Promise<Buffer> {
  const { bundleToJSON } = await import("@sigstore/bundle");
  const { verificationMaterial, dsseEnvelope, messageSignature } = bundleToJSON(bundle) as SerializedBundle;
  const { x509CertificateChain, certificate = x509CertificateChain?.certificates[0], ...evidence } = verificationMaterial;
  const envelope = dsseEnvelope && { ...dsseEnvelope, signatures: dsseEnvelope.signatures.map(({ sig }) => ({ sig })) };
  const value = {
    mediaType: BUNDLE_MEDIA_TYPE,
    verificationMaterial: { ...evidence, certificate },
    dsseEnvelope: envelope,
    messageSignature,
  };
  return Buffer.from(`${canonicalJson(value)}\n`);
}

interface SerializedBundle {
  readonly verificationMaterial: {
    readonly x509CertificateChain?: { readonly certificates: readonly unknown[] };
    readonly certificate?: unknown;
  };
  readonly dsseEnvelope?: { readonly signatures: readonly { readonly sig: string }[] };
  readonly messageSignature?: unknown;
}

async function judged(bytes: Buffer, judge: () => Promise<void>): Promise<Buffer> {
  try {
    await judge();
    return bytes;
  } catch (cause) {
    throw new SignError("SIGNATURE_UNVERIFIED", { expected: "a bundle that verifies", actual: (cause as Error).message, cause });
  }
}
