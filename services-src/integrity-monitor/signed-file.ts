import type { KeyObject } from "node:crypto";
import { canonicalJson, type JsonValue } from "@secai/kit/digest";
import { exists, readBounded, writeAtomic } from "@secai/kit/files";
import { parseStrictJson } from "@secai/kit/json";
import type { Shape } from "@secai/kit/schema";
import { isSignedBy, keyIdOf, type Signer } from "@secai/kit/signing";
import { MonitorError, type MonitorErrorCode } from "./errors.ts";

/** A document of ours on the disk: `{document, key_id, signature}`, canonical, Ed25519 over a domain of its own. */
export interface SignedFile<T> {
  /** Undefined when there is none. @throws MonitorError by the codes given to `signedFile` */
  load(): Promise<T | undefined>;
  /** Replaces the file; it is on the disk when this resolves. */
  save(document: T): Promise<void>;
}

export interface SignedFileOptions<T> {
  readonly path: string;
  readonly domain: string;
  readonly shape: Shape<T>;
  readonly maxBytes: number;
  readonly signer: Signer;
  readonly publicKey: KeyObject;
  readonly codes: { readonly malformed: MonitorErrorCode; readonly signature: MonitorErrorCode };
}

export function signedFile<T>({ path, domain, shape, maxBytes, signer, publicKey, codes }: SignedFileOptions<T>): SignedFile<T> {
  return {
    async load() {
      if (!(await exists(path))) return undefined;
      const envelope = parseEnvelope(path, await readBounded(path, maxBytes), codes.malformed);
      const own = envelope.key_id === keyIdOf(publicKey);
      if (!own || !isSignedBy(publicKey, domain, envelope.document, envelope.signature))
        throw new MonitorError(codes.signature, { expected: `${path} signed by ${keyIdOf(publicKey)}`, actual: envelope.key_id });
      if (shape.is(envelope.document)) return envelope.document;
      const [problem] = shape.problems(envelope.document, 1);
      throw new MonitorError(codes.malformed, {
        expected: `${shape.name} in ${path}`,
        actual: `${problem?.pointer}: ${problem?.message}`,
      });
    },
    async save(document) {
      const value = document as JsonValue;
      const envelope = { document: value, key_id: signer.keyId, signature: signer.sign(domain, value) };
      await writeAtomic(path, `${canonicalJson(envelope)}\n`, 0o600);
    },
  };
}

interface Envelope {
  readonly document: JsonValue;
  readonly key_id: string;
  readonly signature: string;
}

function parseEnvelope(path: string, bytes: Buffer, code: MonitorErrorCode): Envelope {
  let value: unknown;
  try {
    value = parseStrictJson(bytes);
  } catch (cause) {
    throw new MonitorError(code, { expected: `JSON in ${path}`, actual: `${bytes.length} other bytes`, cause });
  }
  const { document, key_id, signature, ...rest } = Object(value) as Partial<Envelope>;
  const plain = typeof key_id === "string" && typeof signature === "string" && document !== undefined;
  if (!plain || Object.keys(rest).length > 0)
    throw new MonitorError(code, { expected: `a signed document in ${path}`, actual: "another" });
  return { document, key_id: key_id.slice(0, 64), signature: signature.slice(0, 128) };
}
