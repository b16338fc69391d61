import { sha256 } from "@secai/formats/digest";
import {
  IMAGE_DIGEST_FILE,
  IMAGE_SBOM_FILE,
  MEASUREMENTS_FILE,
  OCI_INDEX_FILE,
  OVA_FILE,
  UKI_FILE,
} from "@secai/formats/release-layout";
import { vector } from "@secai/measure/fixtures/vectors";
import { bootLoaderOf, imageSbomXml, testResultOf, vexOf } from "../release/contents.ts";
import { type Mutable, namesIn, read, remove, reseal, set, signPayload, statementIn, write } from "../release/forge.ts";
import { isoOf, ociOf, ovaOf, ovfOf } from "../release/media.ts";
import { type Apply, changed, edited, made, redesignate, remake, replaced } from "./edits.ts";
import { type Case, RELEASE_ARGS, type SelfTestScene } from "./scene.ts";

// Releases that somebody with the key made wrong: every list and signature is right, so only reading and comparing contents finds it.

const BASELINE = "baseline.json";
const KEYLIME = "keylime/measured-boot.json";
const SERVICE_SBOM = "sbom/policy-engine.cdx.json";
const SBOM_XML = "sbom/image.cdx.xml";
const VEX = "vex/openvex.json";
const VEX_CYCLONEDX = "vex/vex.cdx.json";
const ISO = "installer.iso";
const ACCEPTANCE = "tests/acceptance.json";
const OTHER = sha256("other");
const OTHER_IMAGE = `sha256:${OTHER}`;
const STABLE = RELEASE_ARGS.map((arg) => (arg === "dev" ? "stable" : arg));

const insider = (name: string, fails: readonly string[], apply: Apply, rest: Partial<Case> = {}): Case => ({
  name: `signed: ${name}`,
  fails,
  apply,
  ...rest,
});

const certificates: readonly Case[] = ["PK", "KEK", "db"].flatMap((name) => {
  const file = `keys/${name}.crt`;
  return [
    insider(`another ${name} certificate`, [`measurements.certificates:${file}`], made({ [file]: vector("keys/test.crt") })),
    insider(`a ${name} certificate that is none`, [`measurements.certificates:${file}`], made({ [file]: "no certificate\n" })),
  ];
});

/** Values of the measurements that a reader cannot see to be wrong without predicting them again. */
const predictions: readonly Case[] = [
  ...["4", "7"].map((index) =>
    insider(
      `another promised PCR ${index}`,
      ["measurements.repredicted"],
      replaced(MEASUREMENTS_FILE, `pcrs/sha256/${index}`, OTHER),
    ),
  ),
  ...["uki", "bootloader"].map((name) =>
    insider(
      `another Authenticode digest of ${name}`,
      ["measurements.repredicted"],
      replaced(MEASUREMENTS_FILE, `${name}/authenticode`, OTHER),
    ),
  ),
  insider(
    "another PCR 11, at the end and while booting",
    ["measurements.repredicted"],
    edited(MEASUREMENTS_FILE, (document) => {
      set(document, "pcrs/sha256/11", OTHER);
      set(document, "pcr11Phases/enter-initrd:leave-initrd:sysinit:ready", OTHER);
    }),
  ),
  insider(
    "another PCR 11 while booting",
    ["measurements.repredicted"],
    replaced(MEASUREMENTS_FILE, "pcr11Phases/enter-initrd", OTHER),
  ),
  insider(
    "another owner of the Secure Boot keys",
    ["measurements.repredicted"],
    replaced(MEASUREMENTS_FILE, "secureBoot/ownerGuid", "6d0a31e6-5a8d-4b2e-9f2a-000000000002"),
  ),
  insider(
    "a phase of PCR 11 left out",
    ["measurements.files"],
    replaced(MEASUREMENTS_FILE, "pcr11Phases/enter-initrd", undefined),
  ),
  insider("a PCR that contradicts its last phase", ["measurements.files"], replaced(MEASUREMENTS_FILE, "pcrs/sha256/11", OTHER)),
  insider("measurements without white space at their end", ["measurements.files"], (scene) =>
    remake(scene, { [MEASUREMENTS_FILE]: read(scene.dir, MEASUREMENTS_FILE).toString().trimEnd() }),
  ),
  insider("a kernel image that is no program", ["measurements.repredicted"], async (scene) => {
    const text = "MZ, it says\n";
    await remake(scene, {
      [UKI_FILE]: text,
      [MEASUREMENTS_FILE]: changed(scene.dir, MEASUREMENTS_FILE, (document) => set(document, "uki/sha256", sha256(text))),
    });
  }),
  insider("another reference state for Keylime", ["keylime.agreement"], (scene) =>
    remake(scene, {
      [KEYLIME]: read(scene.dir, KEYLIME)
        .toString()
        .replace(/[0-9a-f]{64}/, OTHER),
    }),
  ),
  insider("no reference state in what Keylime is given", ["keylime.agreement"], made({ [KEYLIME]: "{}\n" })),
  insider("another boot loader than was measured", ["measurements.repredicted"], async (scene) => {
    const other = bootLoaderOf("another boot loader");
    await remake(scene, {
      "bootx64.efi": other,
      [MEASUREMENTS_FILE]: changed(scene.dir, MEASUREMENTS_FILE, (document) => set(document, "bootloader/sha256", sha256(other))),
    });
  }),
];

const PACKAGE_FIELDS = { name: "dash", version: "0.0.1", purl: "pkg:deb/debian/bash@0.0.1?arch=amd64&distro=debian-13" } as const;
const sboms: readonly Case[] = [
  insider(
    "a service's SBOM about another service",
    [`sbom.service:${SERVICE_SBOM}`],
    replaced(SERVICE_SBOM, "metadata/component/name", "other"),
  ),
  insider(
    "a service's SBOM about another build of it",
    [`sbom.service:${SERVICE_SBOM}`],
    replaced(SERVICE_SBOM, "metadata/component/hashes/0/content", OTHER),
  ),
  insider(
    "a service's SBOM about nothing",
    [`sbom.shape:${SERVICE_SBOM}`],
    replaced(SERVICE_SBOM, "metadata/component", undefined),
  ),
  insider("an SBOM in a format to come", [`sbom.shape:${IMAGE_SBOM_FILE}`], replaced(IMAGE_SBOM_FILE, "specVersion", "2.0")),
  insider(
    "an SBOM whose components are an object",
    [`sbom.shape:${IMAGE_SBOM_FILE}`],
    replaced(IMAGE_SBOM_FILE, "components", {}),
  ),
  insider(
    "an SBOM of another package version",
    ["sbom.packages", "sbom.xml"],
    edited(IMAGE_SBOM_FILE, (document) => {
      set(document, "components/0/version", PACKAGE_FIELDS.version);
      set(document, "components/0/purl", PACKAGE_FIELDS.purl);
    }),
  ),
  insider(
    "an SBOM that forgets a package",
    ["sbom.packages"],
    edited(IMAGE_SBOM_FILE, (document) => {
      document.components = (document.components as readonly unknown[]).slice(1);
    }),
  ),
  insider(
    "an SBOM of other bytes of a package",
    ["provenance.dependencies"],
    replaced(IMAGE_SBOM_FILE, "components/0/hashes/0/content", OTHER),
  ),
  insider(
    "an XML SBOM that forgets a component",
    ["sbom.xml"],
    made({ [SBOM_XML]: imageSbomXml.replace(/<component type="library"><name>example.*/, "") }),
  ),
  insider(
    "an XML SBOM of another version",
    ["sbom.xml"],
    made({ [SBOM_XML]: imageSbomXml.replace("<version>1.0<", "<version>1.1<") }),
  ),
  insider(
    "an XML SBOM with an entity",
    ["sbom.xml"],
    made({ [SBOM_XML]: imageSbomXml.replace("<bom ", '<!DOCTYPE bom [<!ENTITY x "y">]>\n<bom ') }),
  ),
  insider("an XML SBOM cut short", ["sbom.xml"], made({ [SBOM_XML]: imageSbomXml.slice(0, 300) })),
  insider(
    "an XML SBOM with a component twice",
    ["sbom.xml"],
    made({ [SBOM_XML]: imageSbomXml.replace(/(<component type="library"><name>example.*)/, "$1$1") }),
  ),
];

const baselines: readonly Case[] = [
  insider("a baseline with an unknown member", ["baseline.shape"], replaced(BASELINE, "note", "x")),
  insider("a baseline of schema 2", ["baseline.shape"], replaced(BASELINE, "schema", 2)),
  insider(
    "a baseline in another order",
    ["baseline.shape"],
    edited(BASELINE, (document) => {
      document.files = (document.files as readonly unknown[]).toReversed();
    }),
  ),
  insider(
    "a baseline that names a file twice",
    ["baseline.shape"],
    edited(BASELINE, (document) => {
      const [first, ...rest] = document.files as readonly unknown[];
      document.files = [first, first, ...rest];
    }),
  ),
  insider("a policy of which the root has no file", ["baseline.shape"], replaced(BASELINE, "policies/0/sha256", OTHER)),
  insider("a firewall of which the root has no file", ["baseline.shape"], replaced(BASELINE, "firewall/sha256", OTHER)),
  insider(
    "the baseline of another root",
    ["baseline.root-hash"],
    edited(BASELINE, (document) => {
      document.commandLine = String(document.commandLine).replace(String(document.rootHash), OTHER);
      document.rootHash = OTHER;
    }),
  ),
  insider(
    "a baseline with another kernel argument",
    ["baseline.root-hash"],
    edited(BASELINE, (document) => {
      document.kernelArguments = [...(document.kernelArguments as readonly unknown[]), "debug"];
      document.commandLine = `${String(document.commandLine)} debug`;
    }),
  ),
  insider(
    "a service in the root that the release does not have",
    ["baseline.consistency:policy-engine"],
    edited(BASELINE, (document) => sealService(document, OTHER)),
  ),
  insider(
    "a bundle of the release that the root does not have",
    ["baseline.consistency:extra"],
    made({
      "services/extra.mjs": "export {};\n",
      "sbom/extra.cdx.json": JSON.stringify({
        bomFormat: "CycloneDX",
        specVersion: "1.6",
        metadata: { component: { type: "application", name: "extra" } },
      }),
    }),
  ),
  insider("a service on every address", ["baseline.ports"], replaced(BASELINE, "ports/0/address", "0.0.0.0")),
  insider("a service on an address of the network", ["baseline.ports"], replaced(BASELINE, "ports/0/address", "192.168.1.1")),
  insider("a port of no service", ["baseline.ports"], replaced(BASELINE, "ports/0/service", "nobody")),
  insider("a baseline of another package version", ["sbom.packages"], replaced(BASELINE, "packages/0/version", "5.0-1")),
];

/** Another digest for the service wherever the baseline names it. */
function sealService(document: Mutable, digest: string): void {
  const path = "/usr/lib/secure-ai/services/policy-engine.mjs";
  set(document, "services/policy-engine/sha256", digest);
  for (const file of document.files as Mutable[]) if (file.path === path) file.sha256 = digest;
}

const STATEMENT = "statements/0";
const vexes: readonly Case[] = [
  insider(
    "a vulnerability that does not matter for no reason",
    ["vex.shape"],
    edited(VEX, (document) => {
      for (const member of ["justification", "impact_statement"]) set(document, `${STATEMENT}/${member}`, undefined);
    }),
  ),
  insider(
    "a vulnerability that matters, with nothing to do about it",
    ["vex.shape"],
    replaced(VEX, `${STATEMENT}/status`, "affected"),
  ),
  insider("a status that there is not", ["vex.shape"], replaced(VEX, `${STATEMENT}/status`, "fine")),
  insider(
    "a vulnerability twice",
    ["vex.shape"],
    edited(VEX, (document) => {
      const [first] = document.statements as readonly unknown[];
      document.statements = [first, first];
    }),
  ),
  insider(
    "a VEX statement about another product",
    ["vex.product"],
    replaced(VEX, `${STATEMENT}/products/0/@id`, "pkg:generic/other@1"),
  ),
  insider("a VEX statement about another version", ["vex.product"], made({ [VEX]: vexOf("0.0.9") })),
  insider("a VEX statement that is over", ["vex.expiry"], made({ [VEX]: vexOf("0.1.0", "2020-01-01") })),
  insider(
    "two VEX documents that contradict each other",
    ["vex.agreement"],
    replaced(VEX_CYCLONEDX, "vulnerabilities/0/analysis/state", "exploitable"),
  ),
  insider("a vulnerability that one VEX document forgets", ["vex.agreement"], replaced(VEX_CYCLONEDX, "vulnerabilities", [])),
  insider(
    "a vulnerability that one VEX document adds",
    ["vex.agreement"],
    replaced(VEX_CYCLONEDX, "vulnerabilities/1", { id: "CVE-2026-0001", analysis: { state: "resolved" } }),
  ),
  insider("a VEX document that is none", ["vex.agreement"], replaced(VEX_CYCLONEDX, "bomFormat", "SPDX")),
];

const imageOf = ({ dir }: SelfTestScene): string => read(dir, IMAGE_DIGEST_FILE).toString().trim();
const stable = (name: string, fails: readonly string[], before: Apply): Case =>
  insider(
    name,
    fails,
    async (scene) => {
      await before(scene);
      await redesignate(scene, "stable");
    },
    { args: STABLE },
  );
const CONFIGURATION = "configuration/0/annotations";

const results: readonly Case[] = [
  insider(
    "a test of another image",
    [`tests.image:${ACCEPTANCE}`],
    replaced(ACCEPTANCE, `${CONFIGURATION}/imageDigest`, OTHER_IMAGE),
  ),
  insider(
    "a test under the name of another suite",
    [`tests.shape:${ACCEPTANCE}`],
    replaced(ACCEPTANCE, `${CONFIGURATION}/suite`, "other"),
  ),
  insider("a test that passed and failed", [`tests.shape:${ACCEPTANCE}`], replaced(ACCEPTANCE, "failedTests", ["boot.attested"])),
  insider("a failure called a pass", [`tests.shape:${ACCEPTANCE}`], replaced(ACCEPTANCE, "failedTests", ["other"])),
  insider("a result of no test", [`tests.shape:${ACCEPTANCE}`], replaced(ACCEPTANCE, "passedTests", [])),
  insider(
    "a test that ended before it began",
    [`tests.shape:${ACCEPTANCE}`],
    replaced(ACCEPTANCE, `${CONFIGURATION}/finishedOn`, "2025-01-01T00:00:00Z"),
  ),
  insider(
    "a test on a machine of no kind",
    [`tests.shape:${ACCEPTANCE}`],
    replaced(ACCEPTANCE, `${CONFIGURATION}/accelerator`, "fast"),
  ),
  stable("a stable release with a failed test", [`tests.result:${ACCEPTANCE}`], async (scene) =>
    remake(scene, { [ACCEPTANCE]: testResultOf("acceptance", imageOf(scene), ["boot.attested.again"]) }),
  ),
  stable(
    "a stable release without its adversarial tests",
    ["tests.required:adversarial"],
    made({ "tests/adversarial.json": undefined }),
  ),
];

/** The OCI layout as it would be with these annotations. */
const layoutOf =
  (annotations: Readonly<Record<string, string>>): Apply =>
  async (scene) => {
    const before = namesIn(scene.dir).filter((name) => name.startsWith("oci/blobs/"));
    const files = Object.entries(ociOf(imageOf(scene), annotations)).map(([name, { content }]) => [name, content] as const);
    const kept = new Set(files.map(([name]) => name));
    const gone = before.filter((name) => !kept.has(name)).map((name) => [name, undefined] as const);
    await remake(scene, Object.fromEntries([...files, ...gone]));
  };
/** The layer of the fixture's container. */
const LAYER = `oci/blobs/sha256/${sha256("a layer")}`;

const media: readonly Case[] = [
  insider("an appliance of another image", [`medium.digest:${OVA_FILE}`], made({ [OVA_FILE]: ovaOf(OTHER_IMAGE) })),
  insider("an appliance of no image", [`medium.digest:${OVA_FILE}`], made({ [OVA_FILE]: ovaOf("", "<Envelope/>") })),
  insider("an appliance of two images", [`medium.digest:${OVA_FILE}`], (scene) => {
    const descriptor = ovfOf(imageOf(scene));
    return remake(scene, {
      [OVA_FILE]: ovaOf(
        "",
        descriptor.replace("<Property ", `<Property ovf:key="secai.image-digest" ovf:value="${OTHER_IMAGE}"/><Property `),
      ),
    });
  }),
  insider("an appliance without its descriptor first", [`medium.digest:${OVA_FILE}`], (scene) =>
    remake(scene, { [OVA_FILE]: ovaOf("", ovfOf(imageOf(scene)), "disk.vmdk") }),
  ),
  insider("an appliance that is no archive", [`medium.digest:${OVA_FILE}`], made({ [OVA_FILE]: "an appliance\n" })),
  insider("an installer of another image", [`medium.digest:${ISO}`], made({ [ISO]: isoOf(`${OTHER_IMAGE}\n`) })),
  insider("an installer that does not say what it installs", [`medium.digest:${ISO}`], made({ [ISO]: isoOf("x", "OTHER.;1") })),
  insider("an installer that is no volume", [`medium.digest:${ISO}`], made({ [ISO]: Buffer.alloc(40_000) })),
  insider("an installer cut short", [`medium.digest:${ISO}`], made({ [ISO]: isoOf("x").subarray(0, 33_000) })),
  insider("a container of another image", ["oci.image"], layoutOf({ "secai.image-digest": OTHER_IMAGE })),
  insider("a container that does not say what it holds", ["oci.image"], layoutOf({})),
  insider("a layer with other content", ["oci.layout"], (scene) => remake(scene, { [LAYER]: "another layer" })),
  insider("a layer that is gone", ["oci.layout"], (scene) => remake(scene, { [LAYER]: undefined })),
  insider("a layer that nothing names", ["oci.layout"], made({ [`oci/blobs/sha256/${sha256("x")}`]: "x" })),
  insider("an index of containers that is none", ["oci.layout"], made({ [OCI_INDEX_FILE]: "{}" })),
  insider("a layout of another version", ["oci.layout"], made({ "oci/oci-layout": '{"imageLayoutVersion":"9.0.0"}' })),
];

/** A further signature of a file, as a second signer leaves it: in no list. */
const furtherBy =
  (file: string): Apply =>
  ({ dir, stranger }) => {
    const payload = Buffer.from(`${JSON.stringify(statementIn(dir, file))}\n`);
    write(dir, `${file}.${stranger.fingerprint.slice(0, 16)}.sigstore.json`, signPayload(payload, stranger));
  };

const others: readonly Case[] = [
  insider("a second signature by a stranger", ["bundle.signer"], furtherBy(MEASUREMENTS_FILE)),
  insider("a commit that the provenance does not know", ["provenance.source"], ({ dir, key }) =>
    reseal(dir, key, { commitSha: "a".repeat(40) }),
  ),
  insider("a baseline without the statement about it", [`layout.closed-world:${BASELINE}.sigstore.json`], ({ dir, key }) => {
    remove(dir, `${BASELINE}.sigstore.json`);
    reseal(dir, key);
  }),
];

export const insiderCases: readonly Case[] = [
  ...certificates,
  ...predictions,
  ...sboms,
  ...baselines,
  ...vexes,
  ...results,
  ...media,
  ...others,
];
