import { parseBaseline } from "../../attest/formats/baseline.ts";
import { parseBundle, parseForeignBundle } from "../../attest/formats/bundle.ts";
import { canonicalJson, parseCanonicalJson, parseJson } from "../../attest/formats/canonical-json.ts";
import { channelBytes, parseChannel } from "../../attest/formats/channel.ts";
import { buildChecksums, parseChecksums } from "../../attest/formats/checksums.ts";
import { parseFileName } from "../../attest/formats/file-name.ts";
import { keyManifestBytes, parseKeyManifest } from "../../attest/formats/key-manifest.ts";
import { parsePublicKey } from "../../attest/formats/keys.ts";
import { manifestBytes, parseManifest } from "../../attest/formats/manifest.ts";
import { parseSimpleSigning, simpleSigningBytes } from "../../attest/formats/oci-signature.ts";
import { openVexBytes, parseOpenVex } from "../../attest/formats/openvex.ts";
import { parseProvenance } from "../../attest/formats/provenance.ts";
import { parseRebuild } from "../../attest/formats/rebuild.ts";
import { parseReleasePredicate } from "../../attest/formats/release-statement.ts";
import { parseStatement, statementBytes } from "../../attest/formats/statement.ts";
import { parseTestResult, testResultBytes } from "../../attest/formats/test-result.ts";
import { parseVsa } from "../../attest/formats/vsa.ts";
import { parseAddon } from "../../attest/measure/addon.ts";
import { authenticodeSha256 } from "../../attest/measure/authenticode.ts";
import { parseEndorsementCertificate } from "../../attest/measure/endorsement.ts";
import { parseEventLog, replayLog } from "../../attest/measure/event-log.ts";
import { buildPe, ukiSections } from "../../attest/measure/fixtures/pe.ts";
import { vector, vectorParts } from "../../attest/measure/fixtures/vectors.ts";
import { parseMeasurements } from "../../attest/measure/measurements.ts";
import { parsePe } from "../../attest/measure/pe.ts";
import { parseEndorsementKey, parsePublicArea } from "../../attest/measure/public-area.ts";
import { parseQuote, parseQuoteSignature } from "../../attest/measure/quote.ts";
import { certificateDer } from "../../attest/measure/secure-boot.ts";
import { parseUki, phaseValues } from "../../attest/measure/uki.ts";
import { parseUserspaceLog } from "../../attest/measure/userspace-log.ts";
import { parsePolicyFile } from "../../attest/verify/policy-file.ts";
import { type Evidence, parseEvidence, printEvidence } from "../../attest/verify/runtime-evidence.ts";
import { runtimeFacts } from "../../attest/verify/runtime-facts.ts";
import { parseSitePolicy, printSitePolicy } from "../../attest/verify/runtime-policy.ts";
import { parseSbom } from "../../attest/verify/sbom-document.ts";
import { parseSbomXml } from "../../attest/verify/sbom-xml.ts";
import { loadCorpus } from "../../attest/verify/self-test/command.ts";
import { loadTrustMaterial } from "../../attest/verify/trusted-root.ts";
import { endorsementKey } from "../contract/self-test/machine.ts";
import { attestorTargets } from "./attestor.ts";
import { examples } from "./examples.ts";
import { forensicTargets } from "./forensic.ts";
import { gpuTargets } from "./gpu.ts";
import { inputTargets } from "./inputs.ts";
import { mediaTargets } from "./media.ts";
import type { Target } from "./target.ts";

const MAX_BYTES = 1 << 20;
const NONCE = "00112233445566778899aabbccddeeff";

/** Files of the small release that the verifier carries: genuine, current and of every kind. */
async function releaseFiles(): Promise<ReadonlyMap<string, Buffer>> {
  const { base, blobs } = await loadCorpus();
  return new Map(Object.entries(base).map(([path, blob]) => [path, blobs[blob] ?? Buffer.alloc(0)]));
}

/** Every parser of bytes from outside, by name. */
export async function targets(): Promise<readonly Target[]> {
  const files = await releaseFiles();
  const matching = (pattern: RegExp) => [...files].filter(([path]) => pattern.test(path)).map(([, bytes]) => bytes);
  const release = new Map([...files].flatMap(([path, bytes]) => (path.startsWith("release/") ? [[path.slice(8), bytes]] : [])));
  return [
    ...formats(matching),
    ...predicates(matching),
    ...measured(),
    ...asked(matching),
    ...mediaTargets(release),
    ...inputTargets(),
    ...gpuTargets(),
    ...attestorTargets(),
    ...forensicTargets(),
  ];
}
type Matching = (pattern: RegExp) => readonly Buffer[];

const formats = (matching: Matching): readonly Target[] => [
  { name: "json", seeds: matching(/\.json$/), parse: json },
  {
    name: "canonical-json",
    seeds: matching(/MANIFEST\.json$|measurements\.json$/),
    parse: (bytes) => parseCanonicalJson(bytes, MAX_BYTES),
    print: (value: unknown) => Buffer.from(`${canonicalJson(value)}\n`),
  },
  { name: "bundle", seeds: matching(/\.sigstore\.json$/), parse: parseBundle },
  { name: "foreign-bundle", seeds: matching(/\.sigstore\.json$/), parse: parseForeignBundle },
  {
    name: "statement",
    seeds: matching(/provenance\.intoto\.json$/),
    parse: parseStatement,
    print: statementBytes,
  },
  {
    name: "manifest",
    seeds: matching(/RELEASE_MANIFEST\.json$/),
    parse: parseManifest,
    print: manifestBytes,
  },
  {
    name: "checksums",
    seeds: matching(/SHA256SUMS$/),
    parse: parseChecksums,
    print: (sums: Parameters<typeof buildChecksums>[0]) => Buffer.from(buildChecksums(sums)),
  },
  { name: "public-key", seeds: matching(/\.pub$/), parse: parsePublicKey },
  { name: "sbom", seeds: matching(/sbom\/.*\.cdx\.json$/), parse: parseSbom },
  { name: "sbom-xml", seeds: matching(/\.cdx\.xml$/), parse: parseSbomXml },
  {
    name: "simple-signing",
    seeds: [simpleSigningBytes({ reference: "localhost/secai-os", manifestDigest: `sha256:${"ab".repeat(32)}` })],
    parse: parseSimpleSigning,
  },
  { name: "file-name", seeds: [Buffer.from("services/policy-engine.mjs")], parse: (bytes) => parseFileName(bytes.toString()) },
];

const json = (bytes: Buffer) => parseJson(bytes, MAX_BYTES);

const predicates = (matching: Matching): readonly Target[] => [
  { name: "provenance", seeds: matching(/provenance\.intoto\.json$/), parse: (bytes) => parseProvenance(parseStatement(bytes)) },
  {
    name: "measurements",
    seeds: [vector("plain/measurements.json"), ...matching(/measurements\.json$/)],
    parse: parseMeasurements,
  },
  { name: "baseline", seeds: [...matching(/baseline\.json$/), examples.baseline], parse: parseBaseline },
  { name: "openvex", seeds: [...matching(/openvex\.json$/), examples.openVex], parse: parseOpenVex, print: openVexBytes },
  {
    name: "test-result",
    seeds: [...matching(/\/tests\/.*\.json$/), examples.testResult],
    parse: parseTestResult,
    print: testResultBytes,
  },
  { name: "vsa", seeds: [examples.vsa], parse: parseVsa },
  { name: "rebuild", seeds: [examples.rebuild], parse: (bytes) => parseRebuild(json(bytes)) },
  { name: "channel", seeds: [...matching(/channel\.json$/), examples.channel], parse: parseChannel, print: channelBytes },
  {
    name: "key-manifest",
    seeds: [...matching(/\/keys\.json$/), examples.keyManifest],
    parse: parseKeyManifest,
    print: keyManifestBytes,
  },
  {
    name: "release-statement",
    seeds: [Buffer.from('{"purl":"pkg:generic/secai-os-debian-13@0.1.0","releaseId":"debian-13 0.1.0"}\n')],
    parse: (bytes) => parseReleasePredicate(json(bytes)),
  },
];

function measured(): readonly Target[] {
  const { eventLog, userspaceLog, message, signature, attestationKey } = vectorParts("plain");
  const uki = buildPe(ukiSections(), 16);
  const certificates = ["PK", "KEK", "db"].map((name) => vector(`keys/${name}.crt`));
  return [
    { name: "pe", seeds: [uki, vector("addon/test.addon.efi")], parse: (bytes) => [parsePe(bytes), authenticodeSha256(bytes)] },
    { name: "uki", seeds: [uki], parse: (bytes) => phaseValues(parseUki(bytes)) },
    { name: "addon", seeds: [vector("addon/test.addon.efi")], parse: parseAddon },
    { name: "event-log", seeds: [eventLog, vectorParts("addon").eventLog], parse: (bytes) => replayLog(parseEventLog(bytes)) },
    { name: "userspace-log", seeds: [userspaceLog], parse: parseUserspaceLog },
    { name: "quote", seeds: [message], parse: parseQuote },
    { name: "quote-signature", seeds: [signature], parse: parseQuoteSignature },
    { name: "public-area", seeds: [attestationKey], parse: parsePublicArea },
    { name: "endorsement-certificate", seeds: certificates.map(certificateDer), parse: parseEndorsementCertificate },
    { name: "endorsement-key", seeds: [endorsementKey()], parse: parseEndorsementKey },
    { name: "certificate", seeds: [...certificates, ...certificates.map(certificateDer)], parse: certificateDer },
  ];
}

/** One instance with a certificate authority and nothing else. */
const trustedRoot = () => ({
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [],
  certificateAuthorities: [
    {
      subject: { organization: "example", commonName: "example" },
      uri: "https://ca.example.org",
      certChain: { certificates: [{ rawBytes: certificateDer(vector("keys/db.crt")).toString("base64") }] },
      validFor: { start: "2026-01-01T00:00:00Z" },
    },
  ],
  ctlogs: [],
  timestampAuthorities: [],
});
const policyFile = {
  schema: 1,
  name: "ours",
  builders: ["urn:secai-os:builder:local:v1"],
  designations: ["dev"],
  anchors: { fingerprints: ["ab".repeat(32)], threshold: 1 },
  signatures: "any",
  requiredStatements: ["provenance"],
  requiredTests: [{ suite: "acceptance", accelerators: ["kvm"] }],
  freshness: { expiry: "enforce", maxTrustAgeDays: 30 },
  sources: { recipe: "debian-13" },
};

const asked = (matching: Matching): readonly Target[] => [
  { name: "policy", seeds: [Buffer.from(JSON.stringify(policyFile))], parse: parsePolicyFile },
  {
    name: "trusted-root",
    seeds: [Buffer.from(JSON.stringify(trustedRoot()))],
    parse: (bytes) => loadTrustMaterial(bytes, { logEntries: 0, timestamps: 0, certificateTimestamps: 0 }),
  },
  {
    name: "evidence",
    seeds: matching(/inputs\/evidence\.json$/),
    parse: parseEvidence,
    print: (evidence: Evidence) => Buffer.from(printEvidence(evidence)),
  },
  { name: "facts", seeds: matching(/inputs\/evidence\.json$/), parse: (bytes) => runtimeFacts(parseEvidence(bytes), NONCE) },
  {
    name: "site-policy",
    seeds: [vector("addon/policy.json")],
    parse: parseSitePolicy,
    print: (policy: ReturnType<typeof parseSitePolicy>) => Buffer.from(printSitePolicy(policy)),
  },
];
