import { CHANNEL_FILE } from "@secai/formats/release-layout";
import { type CheckResult, fail, notPresent, pass } from "./check.ts";
import { given, type ReleaseCheck, type ReleaseEvidence, when } from "./release-evidence.ts";
import { rulesOf, type VerifyPolicy } from "./release-policy.ts";
import { bindingRefusals, type ChannelContext, freshnessRefusals } from "./trust-channel.ts";
import type { Refusal, TrustCode } from "./trust-codes.ts";

const ABSENT = "this release has no channel file";

/** The first refusal that is this check's to report. */
function judged(
  evidence: ReleaseEvidence,
  policy: VerifyPolicy,
  own: readonly TrustCode[],
  refusalsOf: (channel: Parameters<typeof freshnessRefusals>[0], context: ChannelContext) => readonly Refusal[],
): CheckResult {
  const { channel, manifest, trust, atMs } = evidence;
  if (channel.state === "absent") return notPresent(ABSENT);
  return given(channel, CHANNEL_FILE, (found) =>
    given(manifest, "the manifest", ({ recipe, tag, designation, image }) => {
      const { minimumVersion, minimumSequence } = rulesOf(policy);
      const keys = trust.state === "found" ? trust.value.keys : undefined;
      const context: ChannelContext = {
        release: { designation, recipe, version: tag, imageDigest: image.digest, rootHash: image.root_hash },
        keys: keys === undefined ? found.keys : { version: keys.manifest.version, sha256: keys.sha256 },
        nowMs: atMs,
        minimumSequence,
        ...(minimumVersion !== undefined && { minimumVersion }),
      };
      const refused = refusalsOf(found, context).find(({ code }) => own.some((one) => one === code));
      return refused === undefined ? pass : fail(refused.code, refused.expected, refused.actual);
    }),
  );
}

export const channelShapeCheck: ReleaseCheck = {
  id: "channel.shape",
  title: "The channel file parses and agrees with itself",
  asks: "Whether channel.json is canonical, expires after it was issued, and does not refuse its own version.",
  codes: [],
  optional: true,
  run: ({ channel }) => (channel.state === "absent" ? notPresent(ABSENT) : when(channel, () => pass)),
};

export const channelReleaseCheck: ReleaseCheck = {
  id: "channel.release",
  title: "The channel file is about this release",
  asks: "Whether channel, recipe, version, image digest and root hash of channel.json are those of the manifest.",
  codes: ["CHANNEL_OTHER", "CHANNEL_OTHER_RELEASE", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence, policy) => judged(evidence, policy, ["CHANNEL_OTHER", "CHANNEL_OTHER_RELEASE"], bindingRefusals),
};

export const channelKeysCheck: ReleaseCheck = {
  id: "channel.keys",
  title: "The channel file was issued under the current key manifest",
  asks: "Whether version and digest of the key manifest in channel.json are those of keys/keys.json.",
  codes: ["CHANNEL_KEYS_OTHER", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence, policy) => judged(evidence, policy, ["CHANNEL_KEYS_OTHER"], bindingRefusals),
};

export const channelFreshnessCheck: ReleaseCheck = {
  id: "channel.freshness",
  title: "The channel file has not expired, so that no newer release can be kept from you unnoticed",
  asks: "Whether the moment (now, or --at) lies between issue and expiry of channel.json. With your policy's freshness.expiry at `report`, an expired file is a warning.",
  codes: ["CHANNEL_EXPIRED", "CHANNEL_FROM_FUTURE", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence, policy) => {
    const lenient = rulesOf(policy).freshness.expiry === "report";
    const own = lenient ? (["CHANNEL_FROM_FUTURE"] as const) : (["CHANNEL_EXPIRED", "CHANNEL_FROM_FUTURE"] as const);
    return judged(evidence, policy, own, freshnessRefusals);
  },
};

export const channelRollbackCheck: ReleaseCheck = {
  id: "channel.rollback",
  title: "The release is not older than you accept",
  asks: "Whether the channel's sequence is at least your policy's minimumSequence, and the version at least its minimumVersion.",
  codes: ["CHANNEL_SEQUENCE_OLD", "CHANNEL_VERSION_OLD", "EVIDENCE_UNUSABLE"],
  optional: true,
  run: (evidence, policy) => {
    const { minimumSequence } = rulesOf(policy);
    if (evidence.channel.state === "absent" && minimumSequence > 0)
      return fail("CHANNEL_SEQUENCE_OLD", `sequence ${minimumSequence} or more`, "no channel file");
    return judged(evidence, policy, ["CHANNEL_SEQUENCE_OLD", "CHANNEL_VERSION_OLD"], freshnessRefusals);
  },
};
