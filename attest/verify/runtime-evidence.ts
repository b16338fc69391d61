import { base64Text, parseBase64 } from "@secai/formats/base64";
import { canonicalJson, parseCanonicalJson } from "@secai/formats/canonical-json";
import type { Sha256 } from "@secai/formats/digest";
import { FormatError } from "@secai/formats/errors";
import { literal, object, parseShape, table, text } from "@secai/formats/shape";
import { sha256Shape } from "@secai/formats/shapes";
import { RuntimeError } from "./runtime-errors.ts";
import { nullable, type RunningState, stateShape } from "./runtime-state.ts";

/** Largest evidence document, in bytes: two logs of at most 1 MiB in base64, and the rest. */
export const MAX_EVIDENCE_BYTES = 4 * 1024 * 1024;
const MAX_LOG_BASE64 = 1_500_000;

/** The verifier's challenge: 16 to 32 bytes as lower-case hex. */
export const NONCE = /^([0-9a-f]{2}){16,32}$/;

const quoteShape = object(
  {
    /** TPMS_ATTEST, TPMT_SIGNATURE and TPM2B_PUBLIC of the key that signed, as the TPM gave them. */
    message: base64Text(2048),
    signature: base64Text(2048),
    attestationKey: base64Text(2048),
    pcrs: table(/^([0-9]|1[0-9]|2[0-3])$/, sha256Shape, { max: 24 }),
  },
  {
    /** TPM2B_PUBLIC of the TPM's endorsement key, and the certificate that its maker gave it, where the TPM holds one. */
    endorsementKey: base64Text(2048),
    endorsementCertificate: base64Text(24_000),
  },
);

const bootShape = {
  /** Null: the machine has no TPM. */
  quote: nullable(quoteShape),
  nonce: text(NONCE, 64),
  eventLog: nullable(base64Text(MAX_LOG_BASE64)),
  userspaceLog: nullable(base64Text(MAX_LOG_BASE64)),
  commandLine: text(/^[\x20-\x7e]{0,8192}$/, 8192),
  secureBoot: literal("enabled", "disabled", "unknown"),
  root: object({
    /** What device-mapper says about the verity device below the root file system. */
    verity: literal("verified", "corrupted", "absent"),
    hash: nullable(sha256Shape),
    readOnly: literal(true, false),
  }),
  release: object({ imageId: text(/^[a-z0-9._-]{0,64}$/, 64), imageVersion: text(/^[0-9A-Za-z.+~-]{0,64}$/, 64) }),
  /** Digest of each bundle that the sealed manifest lets run, by service. */
  services: nullable(table(/^[a-z0-9][a-z0-9-]{0,63}$/, sha256Shape)),
};
/** Version 1: the boot alone, as the collectors of earlier releases answer. */
const firstShape = object({ schema: literal(1), ...bootShape });
/** Version 2 adds the running system. */
const wireShape = object({ schema: literal(2), ...bootShape, running: stateShape });

interface RootState {
  readonly verity: "verified" | "corrupted" | "absent";
  readonly hash: string | null;
  readonly readOnly: boolean;
}

/**
 * What a machine says about itself. Only `quote` is proof by itself, and of nothing but its PCR values; logs are proof once they replay to
 * those. The rest is the word of the software that the PCRs identify: worth as much as that software.
 */
export interface Evidence {
  readonly nonce: string;
  readonly quote:
    | undefined
    | {
        readonly message: Uint8Array;
        readonly signature: Uint8Array;
        readonly attestationKey: Uint8Array;
        readonly pcrs: ReadonlyMap<number, Sha256>;
        readonly endorsementKey?: Uint8Array;
        /** Undefined: the TPM holds none. */
        readonly endorsementCertificate?: Uint8Array;
      };
  readonly eventLog: Uint8Array | undefined;
  readonly userspaceLog: Uint8Array | undefined;
  readonly commandLine: string;
  readonly secureBoot: "enabled" | "disabled" | "unknown";
  readonly root: RootState;
  readonly release: { readonly imageId: string; readonly imageVersion: string };
  /** What the sealed service manifest, services.json, lets run: digest by service. */
  readonly services: Readonly<Record<string, string>> | undefined;
  /** A snapshot of the running system: what no PCR covers. Undefined in evidence of version 1. */
  readonly running: RunningState | undefined;
}

function optionalBytes(encoded: string | null): Uint8Array | undefined {
  return encoded === null ? undefined : parseBase64(encoded);
}

interface Endorsement<T> {
  readonly endorsementKey?: T;
  readonly endorsementCertificate?: T;
}

/** Both members in another form; what is not there stays away. */
function endorsementOf<T, U>({ endorsementKey, endorsementCertificate }: Endorsement<T>, form: (value: T) => U): Endorsement<U> {
  return {
    ...(endorsementKey === undefined ? {} : { endorsementKey: form(endorsementKey) }),
    ...(endorsementCertificate === undefined ? {} : { endorsementCertificate: form(endorsementCertificate) }),
  };
}

/** @throws FormatError */
function decode(bytes: Uint8Array): Evidence {
  const value = parseCanonicalJson(bytes, MAX_EVIDENCE_BYTES);
  const first = (Object(value) as { schema?: unknown }).schema === 1;
  const { schema: _, ...wire } = first
    ? { ...parseShape(firstShape, value, "a machine's evidence"), running: undefined }
    : parseShape(wireShape, value, "a machine's evidence");
  const { quote } = wire;
  return {
    ...wire,
    quote:
      quote === null
        ? undefined
        : {
            message: parseBase64(quote.message),
            signature: parseBase64(quote.signature),
            attestationKey: parseBase64(quote.attestationKey),
            pcrs: new Map(Object.entries(quote.pcrs).map(([index, value]) => [Number(index), value as Sha256])),
            ...endorsementOf(quote, parseBase64),
          },
    eventLog: optionalBytes(wire.eventLog),
    userspaceLog: optionalBytes(wire.userspaceLog),
    services: wire.services ?? undefined,
  };
}

/** @throws RuntimeError EVIDENCE_MALFORMED */
export function parseEvidence(bytes: Uint8Array): Evidence {
  try {
    return decode(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new RuntimeError("EVIDENCE_MALFORMED", { expected: cause.expected ?? "-", actual: cause.actual ?? cause.code, cause });
  }
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

/** The document as the machine prints it: canonical JSON and one newline. `parseEvidence` reads it back. */
export function printEvidence(evidence: Evidence): string {
  const { quote, eventLog, userspaceLog } = evidence;
  const document = {
    ...evidence,
    schema: evidence.running === undefined ? 1 : 2,
    quote:
      quote === undefined
        ? null
        : {
            message: base64(quote.message),
            signature: base64(quote.signature),
            attestationKey: base64(quote.attestationKey),
            pcrs: Object.fromEntries([...quote.pcrs].map(([index, value]) => [String(index), value])),
            ...endorsementOf(quote, base64),
          },
    eventLog: eventLog === undefined ? null : base64(eventLog),
    userspaceLog: userspaceLog === undefined ? null : base64(userspaceLog),
    services: evidence.services ?? null,
  };
  return `${canonicalJson(document)}\n`;
}
