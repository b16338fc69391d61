import { createPublicKey } from "node:crypto";
import { closed, Digest, Instant, Line, Name } from "@secai/kit/api/common";
import { canonicalJson, type JsonValue, sha256 } from "@secai/kit/digest";
import { parseStrictJson } from "@secai/kit/json";
import { shape } from "@secai/kit/schema";
import { isSignedBy, type Signer } from "@secai/kit/signing";
import { type Static, Type } from "@sinclair/typebox";
import { GpuWatchError } from "./errors.ts";

export const BASELINE_DOMAIN = "SecAI-Gpu-Baseline-v2";
export const MAX_BASELINE_BYTES = 4 << 20;
export const MAX_MODELS = 4096;

const Driver = Type.Object(
  {
    module: Type.String({ pattern: "^[a-z0-9_]{1,64}$" }),
    version: Type.Union([Type.Null(), Line(128)]),
    /** What modinfo(8) calls srcversion: a digest of the sources, by the kernel's build. */
    srcversion: Type.Union([Type.Null(), Line(128)]),
    /** Of the module's file as it lies below /usr/lib/modules, packed as it is; null for one that is built in. */
    file_sha256: Type.Union([Type.Null(), Digest]),
  },
  closed,
);
export type Driver = Static<typeof Driver>;

/** What a machine's GPU, its driver and its models are like when all is well. */
export const BaselineContent = Type.Object(
  {
    /** By path below the folder of models; null: there is no such folder. */
    tensor_hashes: Type.Union([Type.Null(), Type.Record(Line(1024), Digest, { ...closed, maxProperties: MAX_MODELS })]),
    /** null: the inference runtime was not there to be asked. */
    sentinel_refs: Type.Union([
      Type.Null(),
      Type.Array(
        Type.Object({ name: Name, input: Type.String({ maxLength: 4096 }), expected: Type.String({ maxLength: 16384 }) }, closed),
        {
          maxItems: 32,
        },
      ),
    ]),
    drivers: Type.Array(Driver, { maxItems: 32 }),
    /** Of the sealed root that they came with; null: it was none. */
    root_hash: Type.Union([Type.Null(), Digest]),
    devices: Type.Array(Line(255), { maxItems: 256 }),
  },
  closed,
);
export type BaselineContent = Static<typeof BaselineContent>;

const SignedBaseline = Type.Object(
  {
    baseline: Type.Object({ schema: Type.Literal(2), captured_at: Instant, content: BaselineContent }, closed),
    signature: Type.Object(
      { algorithm: Type.Literal("ed25519"), key_id: Digest, value: Type.String({ pattern: "^[A-Za-z0-9+/]{85}[AQgw]==$" }) },
      closed,
    ),
  },
  closed,
);
const signedBaseline = shape("GPU baseline, schema 2", SignedBaseline);

export interface Baseline {
  readonly content: BaselineContent;
  readonly capturedAt: string;
  /** SHA-256 of the signed form. */
  readonly digest: string;
}

/** What an operator accepts: the same whenever it was captured. */
export const contentDigest = (content: BaselineContent): string => sha256(canonicalJson(content));

export function sealBaseline(
  content: BaselineContent,
  capturedAt: string,
  signer: Signer,
): { bytes: string; baseline: Baseline } {
  const baseline = { schema: 2, captured_at: capturedAt, content } as const;
  const value = signer.sign(BASELINE_DOMAIN, baseline as unknown as JsonValue);
  const bytes = `${canonicalJson({ baseline, signature: { algorithm: "ed25519", key_id: signer.keyId, value } })}\n`;
  return { bytes, baseline: { content, capturedAt, digest: sha256(Buffer.from(bytes)) } };
}

/**
 * The signature is checked over what was parsed, whose canonical form is what was signed.
 * @throws GpuWatchError GPU_BASELINE_MALFORMED, GPU_BASELINE_FOREIGN, GPU_BASELINE_SIGNATURE
 */
export function openBaseline(bytes: Uint8Array, signer: Signer): Baseline {
  const { baseline, signature } = parse(bytes);
  if (signature.key_id !== signer.keyId)
    throw new GpuWatchError("GPU_BASELINE_FOREIGN", { expected: `key ${signer.keyId}`, actual: signature.key_id });
  const key = createPublicKey(signer.publicKey());
  if (!isSignedBy(key, BASELINE_DOMAIN, baseline as unknown as JsonValue, signature.value))
    throw new GpuWatchError("GPU_BASELINE_SIGNATURE", { expected: "the bytes that were signed", actual: "others" });
  return { content: baseline.content, capturedAt: baseline.captured_at, digest: sha256(bytes) };
}

function parse(bytes: Uint8Array): Static<typeof SignedBaseline> {
  let value: unknown;
  try {
    value = parseStrictJson(bytes);
  } catch (cause) {
    throw malformed((cause as Error).message, cause);
  }
  if (signedBaseline.is(value)) return value;
  const [problem] = signedBaseline.problems(value, 1);
  throw malformed(`${problem?.pointer}: ${problem?.message}`);
}

const malformed = (actual: string, cause?: unknown) =>
  new GpuWatchError("GPU_BASELINE_MALFORMED", { expected: signedBaseline.name, actual, cause });
