import { createHash, generateKeyPairSync } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  fulcioHandler,
  initializeCA,
  initializeCTLog,
  initializeTLog,
  initializeTSA,
  rekorHandler,
  tsaHandler,
} from "@sigstore/mock";

type Handler = ReturnType<typeof fulcioHandler>;
type Answer = Awaited<ReturnType<Handler["fn"]>>;
/** What a test may do to one service: answer in its place, or undefined to let it answer. */
export type Fault = (path: string, count: number) => Answer | "silence" | undefined;

export interface PrivateSigstore {
  readonly url: string;
  /** trusted_root.json of this instance. */
  readonly trustedRoot: TrustedRoot;
  /** How often each path was asked. */
  readonly asked: ReadonlyMap<string, number>;
  fault: Fault;
  close(): Promise<void>;
}
export interface TrustedRoot {
  readonly mediaType: string;
  readonly tlogs: readonly object[];
  readonly ctlogs: readonly object[];
  readonly certificateAuthorities: readonly object[];
  readonly timestampAuthorities: readonly object[];
}

const START = "2020-01-01T00:00:00Z";
const keyPair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const base64 = (bytes: ArrayBufferView) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");

/** A certificate authority, a certificate log, a transparency log and a timestamp authority of our own, on loopback. */
export async function startPrivateSigstore({ certificateLog = true } = {}): Promise<PrivateSigstore> {
  const handlers = new Map<string, Handler["fn"]>();
  const asked = new Map<string, number>();
  const state: { fault: Fault } = { fault: () => undefined };
  const server = createServer((request, response) => {
    answer(request, response, handlers, asked, state).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ctLog = await initializeCTLog(keyPair());
  const ca = await initializeCA(keyPair(), certificateLog ? ctLog : undefined);
  const tlog = await initializeTLog(url, keyPair());
  const tsa = Object.assign(await initializeTSA(keyPair()), { getCurrentTime: wholeSeconds });
  for (const { path, fn } of [fulcioHandler(ca), rekorHandler(tlog), tsaHandler(tsa)]) handlers.set(path, fn);
  const validFor = { start: START };
  const log = (publicKey: Buffer, baseUrl: string) => ({
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: base64(publicKey), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor },
    logId: { keyId: createHash("sha256").update(publicKey).digest("base64") },
  });
  const authority = (uri: string, ...certificates: ArrayBufferView[]) => ({
    subject: { organization: "test", commonName: "test" },
    uri,
    certChain: { certificates: certificates.map((certificate) => ({ rawBytes: base64(certificate) })) },
    validFor,
  });
  return {
    url,
    asked,
    trustedRoot: {
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [log(tlog.publicKey, url)],
      ctlogs: [log(ctLog.publicKey, `${url}/ct`)],
      certificateAuthorities: [authority(url, ca.rootCertificate)],
      timestampAuthorities: [authority(url, tsa.intCertificate, tsa.rootCertificate)],
    },
    get fault() {
      return state.fault;
    },
    set fault(fault) {
      state.fault = fault;
    },
    close: () => close(server),
  };
}

/** The mock prints fractions with trailing zeros, which DER forbids and readers refuse. */
function wholeSeconds(): Date {
  const now = new Date();
  now.setMilliseconds(0);
  return now;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  handlers: ReadonlyMap<string, Handler["fn"]>,
  asked: Map<string, number>,
  { fault }: { readonly fault: Fault },
): Promise<void> {
  const path = request.url ?? "";
  const count = (asked.get(path) ?? 0) + 1;
  asked.set(path, count);
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const instead = fault(path, count);
  if (instead === "silence") return;
  const body = Buffer.concat(parts).toString("utf8");
  const old = path === "/api/v1/signingCert" ? oldCertificate(body, request, handlers) : undefined;
  const result = instead ?? (await old) ?? (await handlers.get(path)?.(path === LOG_PATH ? asLogged(body) : body));
  const {
    statusCode,
    response: content,
    contentType = "text/plain",
  } = result ?? { statusCode: 404, response: "no such service" };
  response.writeHead(statusCode, { "content-type": contentType }).end(content);
}

const LOG_PATH = "/api/v1/log/entries";

/**
 * What a log keeps of a proposed "dsse" entry: hashes, signatures and who made them, not the envelope; the mock would keep all of it.
 * https://github.com/sigstore/rekor/blob/main/pkg/types/dsse/v0.0.1/dsse_v0_0_1_schema.json
 */
function asLogged(body: string): string {
  const proposed = JSON.parse(body) as { kind: string; spec: { proposedContent?: { envelope: string; verifiers: string[] } } };
  const content = proposed.spec.proposedContent;
  if (proposed.kind !== "dsse" || content === undefined) return body;
  const envelope = JSON.parse(content.envelope) as { payload: string; signatures: { sig: string }[] };
  const hashOf = (bytes: Uint8Array) => ({ algorithm: "sha256", value: createHash("sha256").update(bytes).digest("hex") });
  const spec = {
    envelopeHash: hashOf(Buffer.from(content.envelope)),
    payloadHash: hashOf(Buffer.from(envelope.payload, "base64")),
    signatures: envelope.signatures.map(({ sig }, index) => ({ signature: sig, verifier: content.verifiers[index] })),
  };
  return JSON.stringify({ ...proposed, spec });
}

/** The older interface of the authority, which cosign 2 speaks: the token in a header, the answer in PEM. */
async function oldCertificate(
  body: string,
  { headers }: IncomingMessage,
  handlers: ReadonlyMap<string, Handler["fn"]>,
): Promise<Answer | undefined> {
  const { publicKey } = JSON.parse(body) as { publicKey: { content: string } };
  const asked = {
    credentials: { oidcIdentityToken: headers.authorization?.replace(/^Bearer /, "") },
    publicKeyRequest: { publicKey: { content: Buffer.from(publicKey.content, "base64").toString("latin1") } },
  };
  const answered = await handlers.get("/api/v2/signingCert")?.(JSON.stringify(asked));
  if (answered?.statusCode !== 201) return answered;
  const { signedCertificateEmbeddedSct } = JSON.parse(String(answered.response)) as {
    signedCertificateEmbeddedSct: { chain: { certificates: string[] } };
  };
  // Its certificates are base64 on one line, which readers of PEM in Go do not mind.
  return {
    ...answered,
    response: signedCertificateEmbeddedSct.chain.certificates.join(""),
    contentType: "application/pem-certificate-chain",
  };
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Where a signer finds the instance's services. */
export function signingConfigOf(url: string, changes: object = {}): Buffer {
  const service = [{ url, majorApiVersion: 1, validFor: { start: START }, operator: "test" }];
  const [rekorTlogConfig, tsaConfig] = [{ selector: "ANY" }, { selector: "ANY" }];
  const mediaType = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
  const config = { mediaType, caUrls: service, rekorTlogUrls: service, rekorTlogConfig, tsaUrls: service, tsaConfig, ...changes };
  return Buffer.from(JSON.stringify(config));
}

/** A token as an identity provider would give; the mock's authority reads it without a signature. */
export function tokenOf(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256" })}.${part(claims)}.c2ln`;
}
