import type { Channel } from "@secai/formats/channel";
import type { Designation } from "@secai/formats/designation";
import { instantMs, instantOf } from "@secai/formats/instant";
import { compareVersions } from "@secai/formats/version-order";
import { type Refusal, refusal } from "./trust-codes.ts";

/** How far clocks may differ before a channel file is from the future, in milliseconds. */
export const CLOCK_SKEW_MS = 10 * 60_000;

/** What a channel file is compared with: the release beside it, the trusted key manifest and what the caller has seen before. */
export interface ChannelContext {
  readonly release: {
    readonly designation: Designation;
    readonly recipe: string;
    readonly version: string;
    /** "sha256:" and hex, computed from the bytes of disk.raw.zst or from the signed list. */
    readonly imageDigest: string;
    readonly rootHash: string;
  };
  readonly keys: { readonly version: number; readonly sha256: string };
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly minimumVersion?: string;
  readonly minimumSequence?: number;
}

/** How recent the channel file is: expired (freeze), older than known (rollback), or from a time that has not come. Empty when it is good. */
export function freshnessRefusals(channel: Channel, context: ChannelContext): readonly Refusal[] {
  const { issued, expires, sequence } = channel;
  const { nowMs, minimumSequence = 0 } = context;
  const now = instantOf(nowMs);
  return found([
    nowMs > instantMs(expires) && refusal("CHANNEL_EXPIRED", `a day up to ${expires}`, now),
    instantMs(issued) > nowMs + CLOCK_SKEW_MS && refusal("CHANNEL_FROM_FUTURE", `an issue before ${now}`, issued),
    sequence < minimumSequence && refusal("CHANNEL_SEQUENCE_OLD", `sequence ${minimumSequence} or more`, `${sequence}`),
    oldVersion(channel, context),
  ]);
}

/** Against the caller's own minimum; the channel's is held by its parser. */
function oldVersion({ version }: Channel, { minimumVersion }: ChannelContext): Refusal | false {
  if (minimumVersion === undefined || compareVersions(version, minimumVersion) >= 0) return false;
  return refusal("CHANNEL_VERSION_OLD", `version ${minimumVersion} or newer`, version);
}

/** Whether the channel file is about this release and was issued under these keys. Empty when it is. */
export function bindingRefusals(channel: Channel, { release, keys }: ChannelContext): readonly Refusal[] {
  const facts = ["recipe", "version", "imageDigest", "rootHash"] as const;
  return found([
    channel.channel !== release.designation && refusal("CHANNEL_OTHER", release.designation, channel.channel),
    ...facts.map(
      (fact) => channel[fact] !== release[fact] && refusal("CHANNEL_OTHER_RELEASE", `${fact} ${release[fact]}`, channel[fact]),
    ),
    (channel.keys.version !== keys.version || channel.keys.sha256 !== keys.sha256) &&
      refusal(
        "CHANNEL_KEYS_OTHER",
        `version ${keys.version}, ${keys.sha256}`,
        `version ${channel.keys.version}, ${channel.keys.sha256}`,
      ),
  ]);
}

const found = (results: readonly (Refusal | false)[]): readonly Refusal[] => results.filter((one) => one !== false);
