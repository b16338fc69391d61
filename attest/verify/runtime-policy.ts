import { X509Certificate } from "node:crypto";
import type { Baseline } from "@secai/formats/baseline";
import { canonicalJson, parseCanonicalJson } from "@secai/formats/canonical-json";
import type { Sha256 } from "@secai/formats/digest";
import { FormatError } from "@secai/formats/errors";
import type { Manifest } from "@secai/formats/manifest";
import { list, literal, object, parseShape, type TypeOf, table, text } from "@secai/formats/shape";
import { nameShape, sha256Shape } from "@secai/formats/shapes";
import type { EndorsementTrust } from "@secai/measure/endorsement";
import type { Measurements, PredictedPcrs } from "@secai/measure/measurements";
import { ZERO_PCR } from "@secai/measure/pcr";
import type { PhaseValues } from "@secai/measure/uki";
import { RuntimeError } from "./runtime-errors.ts";

/** Largest site policy, in bytes. */
export const MAX_SITE_POLICY_BYTES = 256 * 1024;

/** What a machine must show. Made of a verified release and, where the caller gave one, a site policy; never of the machine's evidence. */
export interface RuntimePolicy {
  /** "release", or the name of the site policy that replaced some of the release's values. */
  readonly name: string;
  readonly pcrs: PredictedPcrs;
  readonly pcr11Phases: PhaseValues;
  readonly rootHash: Sha256;
  /** Whole kernel command line, an addon's part included. */
  readonly commandLine: string;
  /** Fingerprints of enrolled attestation keys; undefined: none is enrolled, any key is taken at its word. */
  readonly attestationKeys: ReadonlySet<string> | undefined;
  /** TPM makers whose certificates count; undefined: none was given, any endorsement is taken at its word. */
  readonly endorsement: EndorsementTrust | undefined;
  /** What the release's manifest says, when a whole release was given. */
  readonly release: { readonly version: string; readonly services: ReadonlyMap<string, string> } | undefined;
  /** What the release's sealed root is, for the running system to be compared with; undefined: nobody said. */
  readonly baseline: Baseline | undefined;
  /** Units of the site's own making, below /run: digest of the file by name. */
  readonly units: ReadonlyMap<string, string> | undefined;
}

/** @throws nothing: a manifest was parsed before */
function servicesOf(manifest: Manifest): ReadonlyMap<string, string> {
  const service = /^services\/(.+)\.mjs$/;
  return new Map(manifest.binaries.map(({ name, sha256 }) => [service.exec(name)?.[1] ?? name, sha256]));
}

/** A machine that booted this release and nothing else: no addon, no extra credential, no other key. */
export function releasePolicy(measurements: Measurements, manifest?: Manifest, baseline?: Baseline): RuntimePolicy {
  return {
    name: "release",
    pcrs: measurements.pcrs.sha256,
    pcr11Phases: measurements.pcr11Phases,
    rootHash: measurements.rootHash,
    commandLine: measurements.commandLine,
    attestationKeys: undefined,
    endorsement: undefined,
    release: manifest === undefined ? undefined : { version: manifest.tag, services: servicesOf(manifest) },
    baseline,
    units: undefined,
  };
}

const certificatesShape = list(text(/^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\n$/, 32_768), {
  min: 1,
  max: 64,
});
const pcrsShape = object({}, { "4": sha256Shape, "7": sha256Shape, "9": sha256Shape, "12": sha256Shape });
const sitePolicyShape = object(
  { schema: literal(1), name: nameShape },
  {
    /** Values that this site's machines show instead of the release's: other firmware keys, a test agent's addon. */
    pcrs: pcrsShape,
    /** Command line that an addon appends; then `pcrs` must say which PCR 4 and 12 result. */
    addonCommandLine: text(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/, 4096),
    attestationKeys: list(sha256Shape, { min: 1, max: 1000 }),
    /** Certificates (PEM) of TPM makers: with them a machine must show one that leads there, and prove that its key lies in that TPM. */
    tpmAnchors: certificatesShape,
    /** Certificates between those and the TPMs'. */
    tpmIntermediates: certificatesShape,
    /** Units that the site adds below /run, by credential or otherwise: SHA-256 of the file by name. */
    units: table(/^[A-Za-z0-9:_.\\@-]{1,255}$/, sha256Shape, { max: 100 }),
  },
);
/** What a site expects of its machines beyond the release. PCR 11, the kernel and root, is not negotiable. */
export type SitePolicy = TypeOf<typeof sitePolicyShape>;

function malformed(expected: string, actual: string, cause?: unknown): RuntimeError {
  return new RuntimeError("RUNTIME_POLICY_MALFORMED", { expected, actual, cause });
}

/** @throws RuntimeError RUNTIME_POLICY_MALFORMED */
export function parseSitePolicy(bytes: Uint8Array): SitePolicy {
  let policy: SitePolicy;
  try {
    policy = parseShape(sitePolicyShape, parseCanonicalJson(bytes, MAX_SITE_POLICY_BYTES), "a runtime policy");
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw malformed(cause.expected ?? "-", cause.actual ?? cause.code, cause);
  }
  if (policy.name === "release") throw malformed("a name of its own", "release");
  const pcr12 = policy.pcrs?.["12"] ?? ZERO_PCR;
  if ((policy.addonCommandLine !== undefined) !== (pcr12 !== ZERO_PCR)) {
    throw malformed("addonCommandLine together with the PCR 12 it leads to", "one of them");
  }
  endorsementTrust(policy);
  return policy;
}

/** @throws RuntimeError RUNTIME_POLICY_MALFORMED */
function endorsementTrust({ tpmAnchors, tpmIntermediates }: SitePolicy): EndorsementTrust | undefined {
  if (tpmAnchors === undefined && tpmIntermediates !== undefined)
    throw malformed("tpmAnchors with tpmIntermediates", "the latter alone");
  if (tpmAnchors === undefined) return undefined;
  try {
    const read = (pem: string) => new X509Certificate(pem);
    return { anchors: tpmAnchors.map(read), intermediates: (tpmIntermediates ?? []).map(read) };
  } catch (cause) {
    throw malformed("certificates in PEM", (cause as Error).message, cause);
  }
}

export function printSitePolicy(policy: SitePolicy): string {
  return `${canonicalJson(policy)}\n`;
}

/** The release's policy with what the site expects in place. */
export function withSite(policy: RuntimePolicy, site: SitePolicy): RuntimePolicy {
  const addon = site.addonCommandLine;
  return {
    ...policy,
    name: site.name,
    pcrs: { ...policy.pcrs, ...(site.pcrs as Partial<PredictedPcrs>) },
    commandLine: addon === undefined ? policy.commandLine : `${policy.commandLine} ${addon}`,
    attestationKeys: site.attestationKeys === undefined ? policy.attestationKeys : new Set(site.attestationKeys),
    endorsement: endorsementTrust(site) ?? policy.endorsement,
    units: site.units === undefined ? policy.units : new Map(Object.entries(site.units)),
  };
}
