import { type BaselineFacts, baselineBytes, buildBaseline } from "@secai/formats/baseline";
import { canonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { OPENVEX_CONTEXT, openVexBytes } from "@secai/formats/openvex";
import { releasePredicate } from "@secai/formats/release-statement";
import { testResultBytes } from "@secai/formats/test-result";
import { buildPe, ukiSections } from "@secai/measure/fixtures/pe";
import { vector } from "@secai/measure/fixtures/vectors";
import { buildKeylimeState, printKeylimeState } from "@secai/measure/keylime";
import { buildMeasurements, parseMeasurements } from "@secai/measure/measurements";

// What a small release holds: documents and boot files of the real formats, made by the code that makes real ones where that is small.

/** Owner of the certificates of the recorded boot, whose public halves the fixture uses. */
export const OWNER_GUID = "11111111-2222-3333-4444-555555555555";
export const ENGINE = "export {};\n";
export const POLICY_ENGINE = "services/policy-engine.mjs";
/** A package of the image: in SBOM, baseline, and among the dependencies of the build. */
export const BASH = { name: "bash", version: "5.2.37-2", architecture: "amd64", sha256: sha256("bash") } as const;

export const secureBootKey = (name: "PK" | "KEK" | "db") => vector(`keys/${name}.crt`);

/** A kernel image; `mark` tells two of them apart. */
export function ukiOf(commandLine: string, mark = "6.1"): Buffer {
  const sections = ukiSections(commandLine).map((section) =>
    section.name === ".uname" ? { ...section, content: Buffer.from(mark) } : section,
  );
  return buildPe([
    ...sections,
    { name: ".sbat", content: Buffer.from("sbat,1\n") },
    { name: ".pcrpkey", content: Buffer.from("public half of pcr.key\n") },
  ]);
}

export const bootLoaderOf = (mark = "a boot loader"): Buffer => buildPe([{ name: ".text", content: Buffer.from(mark) }]);

export function measurementsOf(uki: Uint8Array, bootloader: Uint8Array, rootHash: Sha256, ownerGuid = OWNER_GUID) {
  const [PK, KEK, db] = (["PK", "KEK", "db"] as const).map(secureBootKey);
  if (!PK || !KEK || !db) throw new Error("three certificates");
  return buildMeasurements({ uki, bootloader, PK, KEK, db: [db], ownerGuid, designation: "dev", rootHash });
}

export function keylimeOf(measurements: Uint8Array): string {
  const [PK, KEK, db] = (["PK", "KEK", "db"] as const).map(secureBootKey);
  if (!PK || !KEK || !db) throw new Error("three certificates");
  return printKeylimeState(buildKeylimeState(parseMeasurements(measurements), { PK, KEK, db: [db] }));
}

const sbomHead = { bomFormat: "CycloneDX", specVersion: "1.6", version: 1 } as const;
const bashComponent = {
  "bom-ref": "deb:bash:amd64",
  type: "library",
  name: BASH.name,
  version: BASH.version,
  purl: `pkg:deb/debian/bash@${BASH.version}?arch=amd64&distro=debian-13`,
  hashes: [{ alg: "SHA-256", content: BASH.sha256 }],
} as const;

export const imageSbom = canonicalJson({
  ...sbomHead,
  metadata: { component: { "bom-ref": "image", type: "operating-system", name: "secai-os", version: "0.1.0" } },
  components: [bashComponent, { type: "library", name: "example", version: "1.0" }],
});

/** The same in XML, with what a real document has around it. */
export const imageSbomXml = `<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.6" version="1">
  <metadata>
    <tools><components><component type="application"><name>a tool &amp; no part of the image</name></component></components></tools>
    <component type="operating-system" bom-ref="image"><name>secai-os</name><version>0.1.0</version></component>
  </metadata>
  <components>
    <component type="library" bom-ref="deb:bash:amd64"><name>bash</name><version>${BASH.version}</version>
      <hashes><hash alg="SHA-256">${BASH.sha256}</hash></hashes>
      <purl>pkg:deb/debian/bash@${BASH.version}?arch=amd64&amp;distro=debian-13</purl>
    </component>
    <component type="library"><name>example</name><version>1.0</version></component>
  </components>
</bom>
`;

export const serviceSbom = (name: string, bundle: string | Uint8Array) =>
  canonicalJson({
    ...sbomHead,
    metadata: {
      component: { "bom-ref": "bundle", type: "application", name, hashes: [{ alg: "SHA-256", content: sha256(bundle) }] },
    },
    components: [{ type: "library", name: "example", version: "1.0" }],
  });

const owner = { uid: 0, gid: 0 } as const;
const file = (path: string, digest: Sha256) =>
  ({ path, type: "file", mode: "0644", ...owner, sha256: digest, size: path.length }) as const;
const bundlePath = "/usr/lib/secure-ai/services/policy-engine.mjs";
const policyPath = "/etc/secure-ai/policy/policy.yaml";
const firewallPath = "/etc/nftables.conf";

/** The sealed root of the fixture's image. */
export function baselineFacts(rootHash: Sha256, kernelArguments: readonly string[], engine: Sha256): BaselineFacts {
  return {
    rootHash,
    kernelArguments,
    files: [file(policyPath, sha256("policy")), file(firewallPath, sha256("firewall")), file(bundlePath, engine)],
    units: [],
    ports: [{ service: "policy-engine", address: "127.0.0.1", port: 8500 }],
    services: { "policy-engine": { path: bundlePath, sha256: engine } },
    policies: [{ path: policyPath, sha256: sha256("policy") }],
    sysctl: { "kernel.sysrq": "0" },
    firewall: { path: firewallPath, sha256: sha256("firewall") },
    packages: [{ name: BASH.name, version: BASH.version, architecture: BASH.architecture }],
  };
}

export const baselineOf = (facts: BaselineFacts): Buffer => baselineBytes(buildBaseline(facts));

const CVE = "CVE-2024-3094";
export function vexOf(version: string, until = "2099-01-01"): Buffer {
  const { purl } = releasePredicate("debian-13", version);
  return openVexBytes({
    "@context": OPENVEX_CONTEXT,
    "@id": "urn:uuid:6d0a31e6-5a8d-5b2e-9f2a-000000000001",
    author: "the maintainers",
    timestamp: "2026-01-01T00:00:00Z",
    version: 1,
    statements: [
      {
        vulnerability: { name: CVE },
        products: [{ "@id": purl }],
        status: "not_affected",
        justification: "vulnerable_code_not_present",
        timestamp: "2026-01-01T00:00:00Z",
        impact_statement: "The locked version is another one.",
        status_notes: `reviewed by the maintainers; valid until ${until}`,
      },
    ],
  });
}

export const vexCycloneDx = canonicalJson({
  ...sbomHead,
  vulnerabilities: [{ id: CVE, analysis: { state: "not_affected", justification: "code_not_present" } }],
});

/** A suite's result over the image with this digest. */
export function testResultOf(suite: string, imageDigest: string, failedTests: readonly string[] = []): Buffer {
  const annotations = {
    suite,
    accelerator: "tcg",
    imageDigest,
    startedOn: "2026-01-01T00:00:00Z",
    finishedOn: "2026-01-01T00:10:00Z",
    durationsMs: { "boot.attested": 90_000 },
  } as const;
  return testResultBytes({
    result: failedTests.length > 0 ? "FAILED" : "PASSED",
    configuration: [{ name: suite, digest: { sha256: sha256(suite) }, annotations }],
    passedTests: ["boot.attested"],
    warnedTests: [],
    failedTests,
  });
}
