import { canonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { designationShape } from "./designation.ts";
import { FormatError } from "./errors.ts";
import { DAY_MS, instantMs, instantOf, instantShape } from "./instant.ts";
import { integer, literal, nullable, object, parseShape, type TypeOf, text } from "./shape.ts";
import { nameShape, sha256Shape, versionShape } from "./shapes.ts";
import { compareVersions } from "./version-order.ts";

/** Largest channel file, in bytes. */
export const MAX_CHANNEL_BYTES = 1 << 16;

const keyManifestRefShape = object({ version: integer(1, 999_999), sha256: sha256Shape });

/** Which release of a recipe is the current one, and for how long that may be believed; docs/predicates/channel.md. */
export const channelShape = object({
  schema: literal(1),
  channel: designationShape,
  recipe: nameShape,
  version: versionShape,
  /** Older versions must not be installed any more. In the order of version-order.ts. */
  minimumVersion: versionShape,
  /** Grows with every channel file of this channel and recipe. */
  sequence: integer(1),
  /** "sha256:" and the digest of disk.raw.zst. */
  imageDigest: text(/^sha256:[0-9a-f]{64}$/, 71),
  rootHash: sha256Shape,
  issued: instantShape,
  expires: instantShape,
  /** The key manifest that judged the release: version and SHA-256 of keys/keys.json. */
  keys: keyManifestRefShape,
  /** Its announced successor. */
  nextKeys: nullable(keyManifestRefShape),
});
export type Channel = TypeOf<typeof channelShape>;

export interface ChannelFacts extends Omit<Channel, "schema" | "issued" | "expires"> {
  /** Milliseconds since 1970; the file says the second. */
  readonly issuedMs: number;
  readonly lifetimeDays: number;
}

/** @throws FormatError SCHEMA_MISMATCH for facts that no reader accepts */
export function buildChannel({ issuedMs, lifetimeDays, ...facts }: ChannelFacts): Channel {
  const issued = instantOf(issuedMs);
  const channel: Channel = { schema: 1, ...facts, issued, expires: instantOf(instantMs(issued) + lifetimeDays * DAY_MS) };
  parseChannel(channelBytes(channel));
  return channel;
}

export const channelBytes = (channel: Channel): Buffer => Buffer.from(`${canonicalJson(channel)}\n`);

/**
 * A channel file that agrees with itself.
 * @throws FormatError JSON_TOO_LARGE, JSON_MALFORMED, JSON_NOT_CANONICAL, SCHEMA_MISMATCH
 */
export function parseChannel(bytes: Uint8Array): Channel {
  const channel = parseShape(channelShape, parseCanonicalJson(bytes, MAX_CHANNEL_BYTES), "a channel file, schema 1");
  const { issued, expires, version, minimumVersion, keys, nextKeys } = channel;
  if (instantMs(issued) >= instantMs(expires)) throw mismatch("an expiry after the issue", `${issued} to ${expires}`);
  if (compareVersions(minimumVersion, version) > 0) throw mismatch(`a minimum of at most ${version}`, minimumVersion);
  if (nextKeys !== null && nextKeys.version !== keys.version + 1)
    throw mismatch(`next keys of version ${keys.version + 1}`, `${nextKeys.version}`);
  return channel;
}

const mismatch = (expected: string, actual: string) => new FormatError("SCHEMA_MISMATCH", { expected, actual });
