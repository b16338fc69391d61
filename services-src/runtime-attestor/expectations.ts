import type { Sha256 } from "@secai/formats/digest";
import { pcrsWithAddon } from "@secai/measure/addon-pcrs";
import type { Measurements } from "@secai/measure/measurements";
import { isSignedPcr11, type PcrSignatures, parsePcrKey } from "@secai/measure/pcr-signature";
import type { Found } from "@secai/verify/found";
import { type RuntimePolicy, releasePolicy } from "@secai/verify/runtime-policy";
import type { Finding } from "./finding.ts";
import type { HardwareProfile } from "./profile.ts";
import { statementFor } from "./statements.ts";

/** What a machine must show, and what is wrong with the sources of that. */
export interface Expectations {
  readonly policy: RuntimePolicy;
  readonly findings: readonly Finding[];
}

export interface Promises {
  readonly profile: HardwareProfile;
  /** Bytes of every file in the folder of statements. */
  readonly statements: readonly Uint8Array[];
  readonly pcrSignatures: Found<PcrSignatures>;
  /** Root hash that runs, as far as it is known. */
  readonly rootHash: Sha256 | null;
  /** Quoted value of PCR 11; its quote is judged elsewhere. */
  readonly pcr11: Sha256 | undefined;
}

/** A value that no PCR has: SHA-256 never gives it, and a PCR that was extended is one of its results. */
const NO_VALUE = "f".repeat(64) as Sha256;

/**
 * Strongest first: a statement about the running root, signed by an enrolled key; without any enrolled key, the signature over PCR 11 that
 * came with the kernel image, and what was pinned at enrolment. PCR 7 and 12 are the owner's to pin in either case: firmware has keys of
 * its own, and only an owner accepts an addon. Pure.
 */
export function expectationsOf(promises: Promises): Expectations {
  const { profile, rootHash, statements } = promises;
  if (profile.statement_keys.length === 0) return pinned(promises);
  const statement = statementFor(rootHash, statements, profile.statement_keys);
  if (statement.state === "found") return { policy: promised(statement.value, profile), findings: [] };
  const finding =
    statement.state === "absent"
      ? { check: "statement.present", code: statement.code, expected: "a signed statement", actual: statement.detail }
      : { check: "statement.signature", code: statement.code, expected: statement.expected, actual: statement.actual };
  const fallback = pinned(promises);
  return { policy: fallback.policy, findings: [finding, ...fallback.findings] };
}

function promised(measurements: Measurements, profile: HardwareProfile): RuntimePolicy {
  const { addon, pinned_pcrs } = profile;
  const release = releasePolicy(measurements);
  const accepted = addon && { authenticode: addon.authenticode as Sha256, commandLine: addon.command_line };
  return {
    ...release,
    name: "enrolment",
    pcrs: {
      ...(accepted === null ? release.pcrs : pcrsWithAddon(measurements, accepted)),
      "7": pinned_pcrs["7"] as Sha256,
      "12": pinned_pcrs["12"] as Sha256,
    },
    commandLine: accepted === null ? release.commandLine : `${release.commandLine} ${accepted.commandLine}`,
    attestationKeys: new Set([profile.ak_fingerprint]),
  };
}

/** What was pinned, with PCR 11 as the signature that came with the kernel image allows it. */
function pinned({ profile, pcrSignatures, pcr11 }: Promises): Expectations {
  const { pinned_pcrs } = profile;
  const allowed = pcr11 !== undefined && isAllowed(profile, pcrSignatures, pcr11);
  const nine = pinned_pcrs["9"] as Sha256 | undefined;
  const policy: RuntimePolicy = {
    name: "enrolment",
    pcrs: {
      "4": (pinned_pcrs["4"] ?? NO_VALUE) as Sha256,
      "7": pinned_pcrs["7"] as Sha256,
      ...(nine === undefined ? {} : { "9": nine }),
      "11": allowed ? pcr11 : NO_VALUE,
      "12": pinned_pcrs["12"] as Sha256,
    },
    pcr11Phases: {},
    rootHash: profile.enrolled_deployment.slice("sha256:".length) as Sha256,
    commandLine: profile.command_line,
    attestationKeys: new Set([profile.ak_fingerprint]),
    endorsement: undefined,
    release: undefined,
    baseline: undefined,
    units: undefined,
  };
  if (allowed) return { policy, findings: [] };
  const actual = pcrSignatures.state === "found" ? (pcr11 ?? "no quoted PCR 11") : pcrSignatures.code;
  return { policy, findings: [{ check: "boot.pcr-signature", code: "PCR_SIGNATURE", expected: "a signed PCR 11", actual }] };
}

function isAllowed({ pcr_public_key }: HardwareProfile, signatures: Found<PcrSignatures>, pcr11: Sha256): boolean {
  return signatures.state === "found" && isSignedPcr11(signatures.value, pcr11, parsePcrKey(pcr_public_key).key);
}
