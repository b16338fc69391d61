import { X509Certificate } from "node:crypto";
import { exampleBaselineFacts } from "../../attest/formats/baseline.test-data.ts";
import { buildBaseline } from "../../attest/formats/baseline.ts";
import { canonicalJson } from "../../attest/formats/canonical-json.ts";
import type { Channel } from "../../attest/formats/channel.ts";
import { sha256 } from "../../attest/formats/digest.ts";
import { KEY_ROLES, type KeyManifest, publicKeyFacts } from "../../attest/formats/key-manifest.ts";
import type { OpenVex } from "../../attest/formats/openvex.ts";
import type { Rebuild } from "../../attest/formats/rebuild.ts";
import type { TestResult } from "../../attest/formats/test-result.ts";
import type { Vsa } from "../../attest/formats/vsa.ts";
import { vector, vectorParts } from "../../attest/measure/fixtures/vectors.ts";
import { parsePublicArea } from "../../attest/measure/public-area.ts";

// One document of each kind that the small release has none of, from which hostile ones are made.

const START = "2026-01-01T00:00:00Z";
const END = "2026-01-01T00:01:00Z";

const openVex: OpenVex = {
  "@context": "https://openvex.dev/ns/v0.2.0",
  "@id": "urn:secai-os:vex:debian-13",
  author: "somebody",
  timestamp: START,
  version: 1,
  statements: [
    {
      vulnerability: { name: "CVE-2026-0001" },
      products: [{ "@id": "pkg:generic/secai-os", subcomponents: [{ "@id": "pkg:deb/debian/bash@5.2" }] }],
      status: "not_affected",
      timestamp: START,
      justification: "component_not_present",
    },
  ],
};

const testResult: TestResult = {
  result: "WARNED",
  configuration: [
    {
      name: "acceptance",
      digest: { sha256: sha256("report") },
      annotations: {
        suite: "acceptance",
        accelerator: "tcg",
        imageDigest: `sha256:${sha256("disk")}`,
        startedOn: START,
        finishedOn: END,
        durationsMs: { boots: 1200 },
      },
    },
  ],
  passedTests: ["boots"],
  warnedTests: ["sound"],
  failedTests: [],
};

const vsa: Vsa = {
  verifier: { id: "https://example.org/verifier", version: { secai: "0.1.0" } },
  timeVerified: START,
  resourceUri: "pkg:generic/secai-os@0.1.0",
  policy: { uri: "urn:policy", digest: { sha256: sha256("policy") } },
  inputAttestations: [{ uri: "urn:input", digest: { sha256: sha256("input") } }],
  verificationResult: "PASSED",
  verifiedLevels: ["SLSA_BUILD_LEVEL_2"],
  slsaVersion: "1.0",
};

const rebuild: Rebuild = {
  verdict: "explained",
  recipe: "debian-13",
  version: "0.1.0",
  manifest: { sha256: sha256("manifest") },
  builder: { id: "urn:secai-os:builder:local:v1" },
  provenance: { expected: sha256("before"), actual: sha256("after") },
  same: ["uki.efi"],
  differing: [{ name: "disk.qcow2", expected: sha256("a"), actual: sha256("b"), reason: "another compressor" }],
  startedOn: START,
  finishedOn: END,
};

const channel: Channel = {
  schema: 1,
  channel: "stable",
  recipe: "debian-13",
  version: "0.2.0",
  minimumVersion: "0.1.0",
  sequence: 7,
  imageDigest: `sha256:${sha256("disk")}`,
  rootHash: sha256("root"),
  issued: START,
  expires: "2026-02-01T00:00:00Z",
  keys: { version: 1, sha256: sha256("keys") },
  nextKeys: { version: 2, sha256: sha256("next keys") },
};

/** With public keys of a boot long ago: the same for every run. */
function keyManifest(): KeyManifest {
  const signing = parsePublicArea(vectorParts("plain").attestationKey).key;
  const device = new X509Certificate(vector("keys/db.crt")).publicKey;
  const keys = [signing, device].map((key) => {
    const publicKey = String(key.export({ type: "spki", format: "pem" }));
    const { fingerprint, algorithm } = publicKeyFacts(publicKey);
    return { fingerprint, key: { algorithm, publicKey, validFrom: START, validUntil: "2036-01-01T00:00:00Z" } };
  });
  const [first, second] = keys.map(({ fingerprint }) => fingerprint);
  const roleOf = (role: string) => ({ threshold: 1, keys: [(role === "pcr" || role === "secure-boot" ? second : first) ?? ""] });
  return {
    schema: 1,
    version: 2,
    issued: START,
    keys: Object.fromEntries(keys.map(({ fingerprint, key }) => [fingerprint, key])),
    roles: Object.fromEntries(KEY_ROLES.map((role) => [role, roleOf(role)])) as unknown as KeyManifest["roles"],
    revoked: [{ fingerprint: sha256("old key"), at: START, reason: "lost" }],
    signatures: "any",
    predecessor: { version: 1, sha256: sha256("version 1") },
  };
}

const bytesOf = (document: unknown): Buffer => Buffer.from(`${canonicalJson(document)}\n`);

export const examples = {
  openVex: bytesOf(openVex),
  testResult: bytesOf(testResult),
  vsa: bytesOf(vsa),
  rebuild: bytesOf(rebuild),
  channel: bytesOf(channel),
  keyManifest: bytesOf(keyManifest()),
  baseline: bytesOf(buildBaseline(exampleBaselineFacts)),
} as const;
