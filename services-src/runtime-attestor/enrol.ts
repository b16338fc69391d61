import type { Sha256 } from "@secai/formats/digest";
import { addonPcr } from "@secai/measure/addon-pcrs";
import { EVENT } from "@secai/measure/event-log";
import { ZERO_PCR } from "@secai/measure/pcr";
import { isSignedPcr11, parsePcrKey } from "@secai/measure/pcr-signature";
import type { Evidence } from "@secai/verify/runtime-evidence";
import { type RuntimeFacts, runtimeFacts } from "@secai/verify/runtime-facts";
import { judge } from "./core.ts";
import { AttestorError } from "./errors.ts";
import type { Seen } from "./machine.ts";
import { EVALUATION, type HardwareProfile, parseProfile, printProfile } from "./profile.ts";

/** What the owner gives, beside the machine. */
export interface Offer {
  readonly acceptAddon: boolean;
  /** Signed measured-boot statement of the release that runs, and the key (PEM) whose statements shall count from now on. */
  readonly statement: { readonly bundle: Uint8Array; readonly key: string } | undefined;
}
export const EMPTY_OFFER: Offer = { acceptAddon: false, statement: undefined };

export interface Proposal {
  readonly seen: Seen;
  readonly offer: Offer;
  /** PEM that came with the kernel image. */
  readonly pcrKey: string | undefined;
  readonly at: Date;
}

type Quoted = NonNullable<Evidence["quote"]>;
type Addon = NonNullable<HardwareProfile["addon"]>;

/**
 * The profile that pins what this machine shows now: only of a machine that is in order by itself, and only one that the attestor would then
 * accept. Pure.
 * @throws AttestorError ENROL_MACHINE, ENROL_ADDON
 */
export function proposeProfile({ seen, offer, pcrKey, at }: Proposal): HardwareProfile {
  const { evidence } = seen;
  if (evidence?.quote === undefined) throw missing("a TPM", seen.problems[0]?.actual ?? "none");
  requireConsistent(seen);
  if (evidence.secureBoot !== "enabled") throw missing("Secure Boot", evidence.secureBoot);
  const { verity, hash } = evidence.root;
  if (verity !== "verified" || hash === null) throw missing("a sealed root", verity);
  const facts = runtimeFacts(evidence, seen.nonce);
  if (facts.quote.state !== "found" || facts.attestationKey.state !== "found") throw missing("a quote", facts.quote.state);
  const profile: HardwareProfile = {
    version: 2,
    mode: "hardware",
    ak_fingerprint: facts.attestationKey.value.fingerprint,
    pcr_public_key: requireSigned(seen, evidence.quote, pcrKey),
    statement_keys: offer.statement === undefined ? [] : [offer.statement.key],
    pinned_pcrs: pinnedPcrs(evidence.quote, offer),
    addon: addonOf(evidence, facts, offer),
    command_line: evidence.commandLine,
    enrolled_deployment: `sha256:${hash}`,
    enrolled_at: at.toISOString(),
    tpm_reset_count: facts.quote.value.resetCount,
  };
  requireAccepted(profile, seen, offer);
  return profile;
}

function missing(expected: string, actual: string): AttestorError {
  return new AttestorError("ENROL_MACHINE", { expected, actual });
}

/** What contradicts itself without any enrolment must not be enrolled. */
function requireConsistent(seen: Seen): void {
  const problems = seen.problems.filter(({ check }) => check !== "profile.read" && check !== "statement.read");
  const { findings } = judge({
    ...seen,
    problems,
    profile: EVALUATION,
    software: seen.software.findings,
    lastCounters: undefined,
  });
  const [first] = findings;
  if (first !== undefined) throw missing("a machine that is in order", `${first.check} ${first.code}: ${first.actual}`);
}

function requireSigned({ pcrSignatures }: Seen, { pcrs }: Quoted, pcrKey: string | undefined): string {
  const value = pcrs.get(11);
  if (pcrKey === undefined || value === undefined || pcrSignatures.state !== "found")
    throw missing("a kernel image that brings signed PCR 11 values", "none");
  const pem = pcrKey.endsWith("\n") ? pcrKey : `${pcrKey}\n`;
  if (!isSignedPcr11(pcrSignatures.value, value, parsePcrKey(pem).key)) throw missing("a signature over PCR 11", value);
  return pem;
}

function pinnedPcrs({ pcrs }: Quoted, { statement }: Offer): HardwareProfile["pinned_pcrs"] {
  const value = (index: number): Sha256 => pcrs.get(index) ?? ZERO_PCR;
  const always = { "7": value(7), "12": value(12) };
  return statement === undefined ? { ...always, "4": value(4), "9": value(9) } : always;
}

/** The one addon that explains PCR 12 and the third program that firmware loaded; null where nothing was loaded. */
function addonOf({ quote, commandLine }: Evidence, facts: RuntimeFacts, { acceptAddon }: Offer): Addon | null {
  const pcr12 = quote?.pcrs.get(12);
  if (pcr12 === ZERO_PCR) return null;
  if (!acceptAddon) throw new AttestorError("ENROL_ADDON", { expected: "PCR 12 untouched", actual: pcr12 ?? "not quoted" });
  const words = commandLine.split(" ");
  const suffixes = words.map((_, index) => words.slice(index + 1).join(" ")).filter((text) => text !== "");
  const command_line = suffixes.find((text) => addonPcr({ commandLine: text }) === pcr12);
  const events = facts.events.state === "found" ? facts.events.value : [];
  const loaded = events.filter(({ pcr, type }) => pcr === 4 && type === EVENT.bootServicesApplication);
  const authenticode = loaded[2]?.digest;
  if (command_line === undefined || authenticode === undefined || loaded.length !== 3)
    throw new AttestorError("ENROL_ADDON", {
      expected: "one addon with a command line",
      actual: `${loaded.length} programs, PCR 12 ${pcr12}`,
    });
  return { authenticode, command_line };
}

/** The profile as the attestor will read it, judged as the attestor will judge. */
function requireAccepted(proposed: HardwareProfile, seen: Seen, { statement }: Offer): void {
  const profile = parseProfile(Buffer.from(printProfile(proposed)));
  const statements = statement === undefined ? [] : [statement.bundle];
  const judgement = judge({
    ...seen,
    problems: [],
    profile,
    statements,
    software: seen.software.findings,
    lastCounters: undefined,
  });
  if (judgement.evidenceVerified) return;
  const named = judgement.findings.map(({ check, code, actual }) => `${check} ${code}: ${actual}`);
  throw missing("a machine that would be attested", named.join("; "));
}
