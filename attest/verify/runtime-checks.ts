import type { Sha256 } from "@secai/formats/digest";
import { ZERO_PCR } from "@secai/measure/pcr";
import { attributeFaults } from "@secai/measure/public-area";
import { hasNonce, hasPcrValues, isSignedBy } from "@secai/measure/quote";
import { saysSecureBootOff } from "@secai/measure/secure-boot";
import { type CheckResult, fail, notPresent, pass, undecided } from "./check.ts";
import { when } from "./found.ts";
import type { RuntimeCode } from "./runtime-codes.ts";
import { endorsementCheck, keyBoundCheck } from "./runtime-endorsement-checks.ts";
import type { RuntimeFacts } from "./runtime-facts.ts";
import type { RuntimePolicy } from "./runtime-policy.ts";
import type { RuntimeCheck } from "./runtime-state-check.ts";
import { surroundingChecks } from "./runtime-state-checks.ts";
import { unitChecks } from "./runtime-unit-checks.ts";

/** Bytes of the message that the attestation key signed (TPM 2.0 Part 3, 18.4). */
const signatureCheck: RuntimeCheck = {
  id: "quote.signature",
  title: "The quote was signed by the attestation key that came with it",
  asks: "Whether the key that the machine shows signed these very bytes, with RSASSA, RSAPSS or ECDSA over SHA-256.",
  codes: ["QUOTE_SIGNATURE", "TPM_ABSENT"],
  run: ({ quote, signature, attestationKey, evidence }) =>
    when(quote, () =>
      when(signature, (signed) =>
        when(attestationKey, ({ key, name }) => {
          const message = evidence.quote?.message ?? new Uint8Array();
          return isSignedBy(message, signed, key) ? pass : fail("QUOTE_SIGNATURE", `a signature by ${name}`, "another signature");
        }),
      ),
    ),
};

const nonceCheck: RuntimeCheck = {
  id: "quote.nonce",
  title: "The quote answers this challenge and no earlier one",
  asks: "Whether the nonce inside the quote is the one that the verifier chose for this one question.",
  codes: ["QUOTE_NONCE", "TPM_ABSENT"],
  run: ({ quote, nonce }) =>
    when(quote, (found) => {
      const actual = Buffer.from(found.nonce).toString("hex");
      return hasNonce(found, Buffer.from(nonce, "hex")) ? pass : fail("QUOTE_NONCE", nonce, actual);
    }),
};

const pcrsCheck: RuntimeCheck = {
  id: "quote.pcrs",
  title: "The PCR values are those that were quoted",
  asks: "Whether the digest inside the quote is that of the PCR values shown, and no value is shown that was not quoted.",
  codes: ["QUOTE_PCRS", "TPM_ABSENT"],
  run: ({ quote, evidence }) =>
    when(quote, (found) => {
      const values = evidence.quote?.pcrs ?? new Map<number, Sha256>();
      const unquoted = [...values.keys()].filter((index) => !found.pcrs.includes(index));
      if (unquoted.length > 0) return fail("QUOTE_PCRS", "quoted PCRs only", `also ${unquoted.join(", ")}`);
      return hasPcrValues(found, values) ? pass : fail("QUOTE_PCRS", `values with digest ${found.pcrDigest}`, "other values");
    }),
};

const attributesCheck: RuntimeCheck = {
  id: "quote.ak-attributes",
  title: "The attestation key is bound to its TPM and signs only what that made",
  asks: "Whether the key's attributes say fixedTPM, fixedParent, sensitiveDataOrigin, restricted and sign, and not decrypt.",
  codes: ["AK_ATTRIBUTES", "TPM_ABSENT"],
  run: ({ attestationKey }) =>
    when(attestationKey, (key) => {
      const faults = attributeFaults(key);
      return faults.length === 0 ? pass : fail("AK_ATTRIBUTES", "a restricted signing key of the TPM", faults.join(", "));
    }),
};

/**
 * Attributes are only claims in a structure: that a key is in a TPM at all follows from enrolment, when its owner saw it made, or from a
 * credential that a certified TPM opened with it. Without either the quote shows what software says that could lie about everything, and the report says so.
 */
const enrolledCheck: RuntimeCheck = {
  id: "quote.ak-enrolled",
  title: "The attestation key is enrolled",
  asks: "Whether the key is among those that the site's policy names. Without enrolment the key is taken at its word.",
  codes: ["AK_UNKNOWN", "TPM_ABSENT"],
  optional: true,
  run: ({ attestationKey, activation }, { attestationKeys }) =>
    when(attestationKey, ({ fingerprint }) => {
      const instead = activation === "opened" ? "proved to lie in the TPM that it shows" : "taken at its word";
      if (attestationKeys === undefined) return notPresent(`attestation key not enrolled: ${instead}, ${fingerprint}`);
      return attestationKeys.has(fingerprint) ? pass : fail("AK_UNKNOWN", [...attestationKeys].join(" | "), fingerprint);
    }),
};

/** A check of one quoted PCR; `differs` says what an unexpected value means. */
function pcrCheck(
  id: string,
  title: string,
  codes: readonly RuntimeCode[],
  index: 4 | 7 | 9 | 11 | 12,
  differs: (expected: Sha256, actual: Sha256, facts: RuntimeFacts, policy: RuntimePolicy) => CheckResult,
  matches: (facts: RuntimeFacts, policy: RuntimePolicy) => CheckResult = () => pass,
): RuntimeCheck {
  return {
    id,
    title,
    asks: `Whether the quoted PCR ${index} is the value that the release, or the site's policy in its place, promises.`,
    codes: [...codes, "PCR_NOT_QUOTED", "TPM_ABSENT"],
    run(facts, policy) {
      const expected = policy.pcrs[`${index}`];
      if (expected === undefined) return notPresent(`the release promises no PCR ${index}`);
      return when(facts.quote, (quote) => {
        const actual = facts.evidence.quote?.pcrs.get(index);
        if (actual === undefined || !quote.pcrs.includes(index))
          return undecided("PCR_NOT_QUOTED", `PCR ${index} is not in the quote`);
        return actual === expected ? matches(facts, policy) : differs(expected, actual, facts, policy);
      });
    },
  };
}

const secureBootCheck = pcrCheck(
  "boot.secure-boot",
  "Secure Boot was on, with the expected keys and no others (PCR 7)",
  ["SECURE_BOOT_OFF", "SECURE_BOOT_KEYS"],
  7,
  (expected, actual, facts) => {
    const off =
      facts.events.state === "found" && facts.events.value.some(({ pcr, digest }) => pcr === 7 && saysSecureBootOff(digest));
    return fail(off ? "SECURE_BOOT_OFF" : "SECURE_BOOT_KEYS", expected, actual);
  },
);

const chainCheck = pcrCheck(
  "boot.chain",
  "Firmware loaded the expected boot loader and kernel image, nothing unexpected (PCR 4)",
  ["BOOT_CHAIN"],
  4,
  (expected, actual) => fail("BOOT_CHAIN", expected, actual),
);

const ukiCheck = pcrCheck(
  "boot.uki",
  "Kernel, initrd, command line and root hash are the release's (PCR 11)",
  ["BOOT_UKI", "BOOT_NOT_COMPLETE"],
  11,
  (expected, actual, _, policy) => {
    const phase = Object.entries(policy.pcr11Phases).find(([, value]) => value === actual)?.[0];
    if (phase !== undefined) return undecided("BOOT_NOT_COMPLETE", `the machine is still starting: phase ${phase}`);
    return fail("BOOT_UKI", expected, actual);
  },
);

/** What the kernel says it was given. PCR 11 covers the same initrd section; credentials and extensions from the ESP show here too. */
const initrdCheck = pcrCheck(
  "boot.initrd",
  "The kernel was handed the release's initrd and command line, and nothing beside them (PCR 9)",
  ["BOOT_INITRD"],
  9,
  (expected, actual) => fail("BOOT_INITRD", expected, actual),
);

/** An addon or credential in the ESP shows in PCR 12; the command line the kernel reports must be the sum of what was measured. */
const commandLineCheck = pcrCheck(
  "boot.command-line",
  "Nothing unexpected was added to the kernel's command line or its initrd (PCR 12)",
  ["BOOT_ADDON_PRESENT", "BOOT_ADDON", "COMMAND_LINE"],
  12,
  (expected, actual) => fail(expected === ZERO_PCR ? "BOOT_ADDON_PRESENT" : "BOOT_ADDON", expected, actual),
  ({ evidence }, { commandLine }) =>
    evidence.commandLine === commandLine ? pass : fail("COMMAND_LINE", commandLine, evidence.commandLine),
);

const replayCheck: RuntimeCheck = {
  id: "event-log.replay",
  title: "The event logs lead to the quoted PCR values",
  asks: "Whether replaying the firmware's event log and systemd's measurement log gives every quoted PCR value.",
  codes: ["EVENT_LOG_REPLAY", "EVENT_LOG_MISSING", "TPM_ABSENT"],
  run: ({ quote, replay, evidence }) =>
    when(quote, ({ pcrs }) =>
      when(replay, (values) => {
        const quoted = evidence.quote?.pcrs ?? new Map<number, Sha256>();
        const wrong = pcrs.filter((index) => quoted.get(index) !== (values.get(index) ?? ZERO_PCR));
        if (wrong.length === 0) return pass;
        const show = (of: ReadonlyMap<number, Sha256>) => wrong.map((index) => `${index}=${of.get(index) ?? ZERO_PCR}`).join(" ");
        return fail("EVENT_LOG_REPLAY", show(quoted), show(values));
      }),
    ),
};

const verityCheck: RuntimeCheck = {
  id: "root.verity",
  title: "The root file system is read-only, and verified with the release's root hash",
  asks: "What device-mapper says of the device below the root: its state, its root hash, and whether the mount is read-only.",
  codes: ["ROOT_CORRUPTED", "ROOT_UNVERIFIED", "ROOT_HASH", "ROOT_WRITABLE"],
  run({ evidence: { root } }, { rootHash }) {
    if (root.verity === "corrupted") return fail("ROOT_CORRUPTED", "verified", "corrupted blocks");
    if (root.verity === "absent") return fail("ROOT_UNVERIFIED", "a dm-verity root", "none");
    if (root.hash !== rootHash) return fail("ROOT_HASH", rootHash, root.hash ?? "unknown");
    return root.readOnly ? pass : fail("ROOT_WRITABLE", "a read-only root", "a writable one");
  },
};

const versionCheck: RuntimeCheck = {
  id: "release.version",
  title: "The machine runs the version that the release's manifest names",
  asks: "Whether IMAGE_VERSION of the machine's os-release is the manifest's version.",
  codes: ["RELEASE_VERSION"],
  optional: true,
  run({ evidence }, { release }) {
    if (release === undefined) return notPresent("only measurements were given, no manifest");
    const { imageVersion } = evidence.release;
    return imageVersion === release.version ? pass : fail("RELEASE_VERSION", release.version, imageVersion);
  },
};

const servicesCheck: RuntimeCheck = {
  id: "release.services",
  title: "Every service that may run in the machine is one of the release",
  asks: "Whether each bundle that the machine's sealed list lets run has the digest of the release's.",
  codes: ["SERVICES_UNKNOWN"],
  optional: true,
  run({ evidence }, { release }) {
    if (release === undefined) return notPresent("only measurements were given, no manifest");
    if (evidence.services === undefined) return fail("SERVICES_UNKNOWN", "a sealed service manifest", "none");
    const foreign = Object.entries(evidence.services).filter(([name, digest]) => release.services.get(name) !== digest);
    return foreign.length === 0
      ? pass
      : fail("SERVICES_UNKNOWN", "services of the release", foreign.map(([name]) => name).join(", "));
  },
};

/** Checks of the running system against the baseline: as good as the collector's word, see `stateCheck`. */
const stateChecks = [...surroundingChecks, ...unitChecks];

export const runtimeChecks: readonly RuntimeCheck[] = [
  signatureCheck,
  nonceCheck,
  pcrsCheck,
  attributesCheck,
  enrolledCheck,
  endorsementCheck,
  keyBoundCheck,
  secureBootCheck,
  chainCheck,
  ukiCheck,
  commandLineCheck,
  initrdCheck,
  replayCheck,
  verityCheck,
  versionCheck,
  servicesCheck,
  ...stateChecks,
];

/** Checks that must pass. Enrolment counts once the policy names enrolled keys, the manifest's once a release was given. */
export function requiredChecks(policy: RuntimePolicy): readonly string[] {
  const optional = new Set<string>();
  if (policy.attestationKeys === undefined) optional.add(enrolledCheck.id);
  if (policy.endorsement === undefined) optional.add(endorsementCheck.id);
  if (policy.endorsement === undefined || policy.attestationKeys !== undefined) optional.add(keyBoundCheck.id);
  if (policy.pcrs["9"] === undefined) optional.add(initrdCheck.id);
  if (policy.release === undefined) {
    optional.add(versionCheck.id);
    optional.add(servicesCheck.id);
    if (policy.baseline === undefined) for (const { id } of stateChecks) optional.add(id);
  }
  return runtimeChecks.map(({ id }) => id).filter((id) => !optional.has(id));
}
