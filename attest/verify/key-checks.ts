import { RELEASE_KEY_FILE } from "@secai/formats/release-layout";
import { about, type CheckResult, fail, notPresent, pass, type SubjectResult, undecided } from "./check.ts";
import { given, type ReleaseCheck, type ReleaseEvidence, when } from "./release-evidence.ts";
import { rulesOf } from "./release-policy.ts";
import { thresholdRefusal } from "./trust-signers.ts";

/** Who counts follows from what the caller trusts, through manifests that each the one before has signed. */
export const keysChainCheck: ReleaseCheck = {
  id: "keys.chain",
  title: "The keys that count follow from what you trust",
  asks: "Whether some key manifest of the release is signed by root keys that you trust (or is the manifest you gave), each later one by the root keys of the one before and by its own, without a gap, and the last one is keys/keys.json.",
  codes: [
    "TRUST_NO_ANCHOR",
    "TRUST_THRESHOLD",
    "TRUST_CHAIN_BROKEN",
    "TRUST_VERSION_GAP",
    "TRUST_ROLLBACK",
    "TRUST_FORK",
    "TRUST_UNREVOKED",
    "TRUST_LINK_NAME",
    "TRUST_STATEMENT",
    "KEY_UNTRUSTED",
    "KEY_REVOKED",
    "KEY_EXPIRED",
    "KEY_NOT_YET_VALID",
    "KEY_UNAVAILABLE",
    "FILE_MISSING",
  ],
  run: ({ trust }) => when(trust, () => pass),
};

export const keysThresholdCheck: ReleaseCheck = {
  id: "keys.threshold",
  title: "As many keys signed each file as its role needs",
  asks: "Whether the distinct keys of the role that signed a file reach the role's threshold; under the hybrid rule once with P-256 and once more with ML-DSA-65. Key manifests are keys.chain's to judge.",
  codes: ["THRESHOLD_SHORT", "EVIDENCE_UNUSABLE"],
  run: ({ signed, trust }) => {
    if (trust.state !== "found") return given(trust, "the chain of key manifests", () => pass);
    const { rolesOf } = trust.value;
    return [...signed].flatMap(([file, { role, signers }]): readonly SubjectResult[] => {
      if (role === "root") return [];
      if (signers.state !== "found" || signers.value.counted.length === 0)
        return [about(file, undecided("EVIDENCE_UNUSABLE", "no signature of it counts"))];
      const short = thresholdRefusal(signers.value, rolesOf(role));
      return [about(file, short === undefined ? pass : fail(short.code, short.expected, short.actual))];
    });
  },
};

/** A revoked key is in somebody else's hands: whatever it signed, and whenever. */
export const keysRevocationCheck: ReleaseCheck = {
  id: "keys.revocation",
  title: "No revoked key signed anything here",
  asks: "Whether any bundle of the release is by a key that the current key manifest has revoked.",
  codes: ["KEY_REVOKED", "EVIDENCE_UNUSABLE"],
  run: (evidence) =>
    given(evidence.trust, "the chain of key manifests", () => {
      const by = uncountedIn(evidence).find(({ code }) => code === "KEY_REVOKED");
      return by === undefined ? pass : fail(by.code, by.expected, `${by.bundle}: ${by.actual}`);
    }),
};

const uncountedIn = ({ signed }: ReleaseEvidence) =>
  [...signed.values()].flatMap(({ signers, role }) =>
    signers.state === "found" && role !== "root" ? signers.value.uncounted : [],
  );

/** Nothing lists the bundles of later signers, so each must be worth its place. */
export const bundleSignerCheck: ReleaseCheck = {
  id: "bundle.signer",
  title: "Every signature beside one that counts does count",
  asks: "Whether each bundle of a file that somebody may sign and has signed holds another signature that counts: the bundles of later signers are in no list, so nothing else vouches for them.",
  codes: ["SIGNATURE_UNCOUNTED"],
  optional: true,
  run({ signed }) {
    const several = [...signed.values()].filter(({ bundles, role }) => bundles.length > 1 && role !== "root");
    const results = several.flatMap(({ bundles, signers }): readonly SubjectResult[] => {
      if (signers.state !== "found" || signers.value.counted.length === 0) return [];
      const why = new Map(signers.value.uncounted.map((one) => [one.bundle, one]));
      return bundles.map(({ name }) => {
        const refused = why.get(name);
        return about(name, refused ? fail("SIGNATURE_UNCOUNTED", refused.expected, `${refused.code}: ${refused.actual}`) : pass);
      });
    });
    return results.length === 0 ? notPresent("no file has a second signature") : results;
  },
};

/** The copy inside the release proves nothing by being there: it must be a key that is trusted for other reasons. */
export const releaseKeyCheck: ReleaseCheck = {
  id: "keys.release",
  title: "The release key shown is one of those that count",
  asks: "Whether keys/release.pub is a key of the release role, and the one that the manifest calls its trust root.",
  codes: ["KEY_UNTRUSTED", "FILE_MISSING", "EVIDENCE_UNUSABLE"],
  run: ({ ownKey, manifest, trust }) =>
    when(ownKey, ({ fingerprint }) =>
      given(trust, "the chain of key manifests", ({ rolesOf }) => {
        const keys = [...rolesOf("release").standing.values()].flatMap((key) => ("code" in key ? [] : [key.fingerprint]));
        if (!keys.includes(fingerprint)) return fail("KEY_UNTRUSTED", keys.join(" or "), fingerprint);
        return given(manifest, "the manifest", ({ trust_root }) =>
          trust_root.fingerprint === fingerprint
            ? pass
            : fail("KEY_UNTRUSTED", trust_root.fingerprint, `${RELEASE_KEY_FILE}: ${fingerprint}`),
        );
      }),
    ),
};

export const statementsRequiredCheck: ReleaseCheck = {
  id: "statements.required",
  title: "Every statement that the policy requires is here",
  asks: "Whether each kind of statement in your policy's `requiredStatements` has its file. Without a policy all kinds are required.",
  codes: ["STATEMENT_REQUIRED"],
  optional: true,
  run({ roles }, policy): CheckResult | readonly SubjectResult[] {
    const { requiredStatements } = rulesOf(policy);
    if (requiredStatements.length === 0) return notPresent("the policy requires none");
    // A release without services owes no SBOM of one; sbom.shape pairs those it has.
    const owed = requiredStatements.filter((role) => role !== "service-sbom" || roles.has("service"));
    return owed.map((role) => about(role, roles.has(role) ? pass : fail("STATEMENT_REQUIRED", `a file of role ${role}`, "none")));
  },
};
