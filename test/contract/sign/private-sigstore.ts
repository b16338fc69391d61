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
  const handler = handlers.get(path);
  const result = instead ?? (await handler?.(Buffer.concat(parts).toString("utf8")));
  const { statusCode, response: body, contentType = "text/plain" } = result ?? { statusCode: 404, response: "no such service" };
  response.writeHead(statusCode, { "content-type": contentType }).end(body);
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
  return `${part({ alg: "none" })}.${part(claims)}.`;
}
