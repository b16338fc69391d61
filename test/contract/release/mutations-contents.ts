import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { bundleOf, furtherBundleOf } from "@secai/formats/release-layout";
import { buildMeasurements, printMeasurements } from "@secai/measure/measurements";
import { signOciLayout } from "@secai/release/oci-sign/sign-layout";
import { LOCAL_IMAGE_REPOSITORY } from "@secai/release/signers";
import type { SigningKey } from "@secai/sign/key-file";
import { keySigner } from "@secai/sign/signer";
import { ENGINE, OWNER_GUID, secureBootKey, ukiOf } from "./contents.ts";
import { edit, type Mutable, read, remove, reseal, set, signPayload, statementIn, write } from "./forge.ts";
import { isoOf, ociOf, ovaOf, ovfOf } from "./media.ts";
import type { Mutation, Scene } from "./mutations.ts";

// What somebody with the key could make, and no signature would show: contents that disagree with each other or with the policy.

const BASELINE = "baseline.json";
const SBOM = "sbom/image.cdx.json";
const ENGINE_SBOM = "sbom/policy-engine.cdx.json";
const VEX = "vex/openvex.json";
const PROVENANCE = "provenance.intoto.json";
const MEASUREMENTS = "measurements.json";
const ACCEPTANCE = "tests/acceptance.json";
const ZEROS = "0".repeat(64);

/** Writes a file that its own statement says, signs that statement and reseals. */
export function rewrite(dir: string, name: string, key: SigningKey, content: string | Uint8Array): void {
  write(dir, name, content);
  const statement = statementIn(dir, name);
  statement.predicate = JSON.parse(Buffer.from(content).toString());
  resign(dir, name, key, statement);
}

function resign(dir: string, name: string, key: SigningKey, statement: Mutable): void {
  write(dir, bundleOf(name), signPayload(Buffer.from(`${canonicalJson(statement)}\n`), key));
  reseal(dir, key);
}

/** Changes the document in a file and in its statement. */
export function revise(dir: string, name: string, key: SigningKey, change: (document: Mutable) => void): void {
  const document = JSON.parse(read(dir, name).toString()) as Mutable;
  change(document);
  rewrite(dir, name, key, `${canonicalJson(document)}\n`);
}

/** Sets one value in a file and in its statement. */
const revised =
  (name: string, path: string, value: unknown): Mutation["apply"] =>
  ({ dir, key }) =>
    revise(dir, name, key, (document) => set(document, path, value));

/** Changes the provenance, which is itself the statement. */
const reproved =
  (change: (statement: Mutable) => void): Mutation["apply"] =>
  ({ dir, key }) => {
    const statement = JSON.parse(read(dir, PROVENANCE).toString()) as Mutable;
    change(statement);
    write(dir, PROVENANCE, `${canonicalJson(statement)}\n`);
    resign(dir, PROVENANCE, key, statement);
  };

/** A file that is only listed. */
const replaced =
  (name: string, content: string | Uint8Array): Mutation["apply"] =>
  ({ dir, key }) => {
    write(dir, name, content);
    reseal(dir, key);
  };

const dependencies = (statement: Mutable) =>
  (statement.predicate as { buildDefinition: { resolvedDependencies: Mutable[] } }).buildDefinition.resolvedDependencies;

const provenance: readonly Mutation[] = [
  {
    name: "an output among the inputs",
    fails: ["provenance.dependencies"],
    code: "DEPENDENCY_IS_OUTPUT",
    apply: reproved((statement) => {
      const output = (statement.subject as { digest: unknown }[])[0];
      dependencies(statement).push({ name: "zz", digest: output?.digest });
    }),
  },
  {
    name: "a package of the image that the provenance does not name",
    fails: ["provenance.dependencies"],
    code: "DEPENDENCY_MISSING",
    apply: reproved((statement) => {
      const bash = dependencies(statement).find(({ name }) => name === "bash");
      set(bash, "digest/sha256", ZEROS);
    }),
  },
  {
    name: "a recipe the policy does not expect",
    fails: ["provenance.source"],
    code: "SOURCE_UNTRUSTED",
    policy: { sources: { recipe: "silverblue-42" } },
    apply: () => {},
  },
  {
    name: "a commit the policy does not expect",
    fails: ["provenance.source"],
    code: "SOURCE_UNTRUSTED",
    policy: { sources: { commits: ["a".repeat(40)] } },
    apply: () => {},
  },
  {
    name: "a repository the policy does not expect",
    fails: ["provenance.source"],
    code: "SOURCE_UNTRUSTED",
    policy: { sources: { repository: "https://example.org/ours" } },
    apply: () => {},
  },
  {
    name: "a commit in the manifest that the provenance does not name",
    fails: ["provenance.source"],
    code: "SOURCE_UNTRUSTED",
    apply: ({ dir, key }) => reseal(dir, key, { commitSha: "b".repeat(40) }),
  },
  {
    name: "no workflow where the policy expects one",
    fails: ["provenance.workflow"],
    code: "WORKFLOW_UNTRUSTED",
    policy: { workflow: "release.yml" },
    apply: () => {},
  },
  {
    name: "another workflow than the policy expects",
    fails: ["provenance.workflow"],
    code: "WORKFLOW_UNTRUSTED",
    policy: { workflow: "release.yml" },
    apply: reproved((statement) => set(statement, "predicate/runDetails/builder/version/workflow", "release.yml.evil")),
  },
];

/** Measurements predicted of other boot files, by somebody who can predict. */
function remeasured({ dir, key }: Scene, change: (measurements: Mutable) => void): void {
  revise(dir, MEASUREMENTS, key, change);
}

const boot: readonly Mutation[] = [
  ...[
    ["PCR 4", "pcrs/sha256/4"],
    ["PCR 7", "pcrs/sha256/7"],
    ["PCR 12", "pcrs/sha256/12"],
    ["the kernel image's Authenticode digest", "uki/authenticode"],
    ["the boot loader's Authenticode digest", "bootloader/authenticode"],
    ["the owner of the certificates", "secureBoot/ownerGuid"],
  ].map(
    ([what = "", path = ""]): Mutation => ({
      name: `another value for ${what}`,
      fails: ["measurements.repredicted"],
      code: "PREDICTION_MISMATCH",
      apply: (scene) =>
        remeasured(scene, (document) =>
          set(document, path, path.endsWith("Guid") ? "11111111-2222-3333-4444-555555555556" : sha256(path)),
        ),
    }),
  ),
  {
    name: "measurements of another certificate",
    fails: ["measurements.certificates:keys/KEK.crt"],
    code: "CERTIFICATE_MISMATCH",
    apply: (scene) => remeasured(scene, (document) => set(document, "secureBoot/KEK", ZEROS)),
  },
  {
    name: "another Secure Boot certificate",
    fails: ["measurements.certificates:keys/KEK.crt"],
    code: "CERTIFICATE_MISMATCH",
    apply: replaced("keys/KEK.crt", secureBootKey("PK")),
  },
  {
    name: "a certificate that is none",
    fails: ["measurements.certificates:keys/db.crt"],
    code: "CERTIFICATE_MALFORMED",
    apply: replaced("keys/db.crt", "public half of db.key\n"),
  },
  {
    name: "a kernel image of another command line, measured and signed",
    fails: ["baseline.root-hash"],
    code: "VALUE_MISMATCH",
    apply: ({ dir, key }) => {
      const rootHash = sha256("root");
      const uki = ukiOf(`roothash=${rootHash} quiet init=/bin/sh`);
      const [PK, KEK, db] = [secureBootKey("PK"), secureBootKey("KEK"), secureBootKey("db")];
      const bootloader = read(dir, "bootx64.efi");
      write(dir, "uki.efi", uki);
      const facts = { uki, bootloader, PK, KEK, db: [db], ownerGuid: OWNER_GUID, designation: "dev", rootHash };
      rewrite(dir, MEASUREMENTS, key, printMeasurements(buildMeasurements(facts)));
    },
  },
  {
    name: "a Keylime state that promises something else",
    fails: ["keylime.agreement"],
    code: "KEYLIME_DIFFERS",
    apply: ({ dir, key }) => {
      edit(dir, "keylime/measured-boot.json", (text) => text.replace(/"0x[0-9a-f]{64}"/, `"0x${ZEROS}"`));
      reseal(dir, key);
    },
  },
  {
    name: "a Keylime state with a newline more",
    fails: ["keylime.agreement"],
    code: "KEYLIME_DIFFERS",
    apply: ({ dir, key }) => {
      edit(dir, "keylime/measured-boot.json", (text) => `${text}\n`);
      reseal(dir, key);
    },
  },
];

const evil = { service: "evil", address: "127.0.0.1", port: 1 };
const baseline: readonly Mutation[] = [
  {
    name: "a baseline of another root",
    fails: ["baseline.root-hash"],
    code: "VALUE_MISMATCH",
    apply: ({ dir, key }) =>
      revise(dir, BASELINE, key, (document) => {
        document.rootHash = ZEROS;
        document.commandLine = String(document.commandLine).replace(/roothash=\S+/, `roothash=${ZEROS}`);
      }),
  },
  {
    name: "a baseline with a kernel argument more",
    fails: ["baseline.root-hash"],
    code: "VALUE_MISMATCH",
    apply: ({ dir, key }) =>
      revise(dir, BASELINE, key, (document) => {
        document.kernelArguments = [...(document.kernelArguments as readonly unknown[]), "debug"];
        document.commandLine = `${document.commandLine} debug`;
      }),
  },
  {
    name: "a baseline with an unknown member",
    fails: ["baseline.shape"],
    code: "SCHEMA_MISMATCH",
    apply: revised(BASELINE, "note", "x"),
  },
  {
    name: "a baseline that does not parse",
    fails: ["baseline.shape"],
    code: "JSON_MALFORMED",
    apply: replaced(BASELINE, "{"),
  },
  {
    name: "a signed baseline that is not the one in the release",
    fails: [`baseline.subject:${BASELINE}`],
    code: "PREDICATE_MISMATCH",
    apply: ({ dir, key }) => {
      const statement = statementIn(dir, BASELINE);
      set(statement, "predicate/sysctl", {});
      resign(dir, BASELINE, key, statement);
    },
  },
  {
    name: "a baseline about another disk",
    fails: ["baseline.subject:disk.raw.zst"],
    code: "SUBJECT_MISMATCH",
    apply: ({ dir, key }) => {
      const statement = statementIn(dir, BASELINE);
      set(statement, "subject/0/digest/sha256", ZEROS);
      resign(dir, BASELINE, key, statement);
    },
  },
  {
    name: "a service in the root that is not the released one",
    fails: ["baseline.consistency:policy-engine"],
    code: "SERVICE_MISMATCH",
    apply: ({ dir, key }) =>
      revise(dir, BASELINE, key, (document) => {
        const text = JSON.stringify(document).replaceAll(sha256(ENGINE), ZEROS);
        Object.assign(document, JSON.parse(text));
      }),
  },
  {
    name: "a program of the release that is not in the root",
    fails: ["baseline.consistency:secai-extra"],
    code: "SERVICE_MISMATCH",
    apply: ({ dir, key }) => {
      write(dir, "services/secai-extra.mjs", "export {};\n");
      reseal(dir, key);
    },
  },
  {
    name: "a service that listens to everybody",
    fails: ["baseline.ports"],
    code: "PORT_EXPOSED",
    apply: revised(BASELINE, "ports/0/address", "0.0.0.0"),
  },
  {
    name: "a service that listens where the policy expects another port",
    fails: ["baseline.ports"],
    code: "PORT_EXPOSED",
    policy: { exposedPorts: [{ address: "0.0.0.0", port: 8501 }] },
    apply: revised(BASELINE, "ports/0/address", "0.0.0.0"),
  },
  {
    name: "a port of a service that is none",
    fails: ["baseline.ports"],
    code: "SERVICE_MISMATCH",
    apply: revised(BASELINE, "ports", [evil]),
  },
  {
    name: "no baseline, and nobody says so",
    fails: ["statements.required:baseline"],
    code: "STATEMENT_REQUIRED",
    apply: ({ dir, key }) => {
      remove(dir, BASELINE);
      remove(dir, bundleOf(BASELINE));
      reseal(dir, key);
    },
  },
];

const sboms: readonly Mutation[] = [
  {
    name: "an SBOM without a package of the baseline",
    fails: ["sbom.packages"],
    code: "SBOM_PACKAGES_DIFFER",
    apply: revised(SBOM, "components", []),
  },
  {
    name: "a baseline without a package of the SBOM",
    fails: ["sbom.packages"],
    code: "SBOM_PACKAGES_DIFFER",
    apply: revised(BASELINE, "packages", []),
  },
  {
    name: "a package of another version in the SBOM",
    fails: ["sbom.packages"],
    code: "SBOM_PACKAGES_DIFFER",
    apply: revised(SBOM, "components/0/purl", "pkg:deb/debian/bash@5.1?arch=amd64"),
  },
  {
    name: "a package of another architecture in the SBOM",
    fails: ["sbom.packages"],
    code: "SBOM_PACKAGES_DIFFER",
    apply: revised(SBOM, "components/0/purl", "pkg:deb/debian/bash@5.2.37-2?arch=arm64"),
  },
  {
    name: "an SBOM of another service",
    fails: [`sbom.service:${ENGINE_SBOM}`],
    code: "SBOM_SUBJECT_MISMATCH",
    apply: revised(ENGINE_SBOM, "metadata/component/name", "policy-engines"),
  },
  {
    name: "an SBOM of another build of the service",
    fails: [`sbom.service:${ENGINE_SBOM}`],
    code: "SBOM_SUBJECT_MISMATCH",
    apply: revised(ENGINE_SBOM, "metadata/component/hashes/0/content", ZEROS),
  },
  {
    name: "a service's SBOM signed about another file",
    fails: ["sbom.subject:services/policy-engine.mjs"],
    code: "SUBJECT_MISSING",
    apply: ({ dir, key }) => {
      const statement = statementIn(dir, ENGINE_SBOM);
      statement.subject = [{ name: "uki.efi", digest: { sha256: sha256(read(dir, "uki.efi")) } }];
      resign(dir, ENGINE_SBOM, key, statement);
    },
  },
  {
    name: "XML of the SBOM with a component less",
    fails: ["sbom.xml"],
    code: "SBOM_XML_DIFFERS",
    apply: ({ dir, key }) => {
      edit(dir, "sbom/image.cdx.xml", (xml) => xml.replace(/<component type="library"><name>example.*?<\/component>/, ""));
      reseal(dir, key);
    },
  },
  {
    name: "XML of the SBOM with another digest",
    fails: ["sbom.xml"],
    code: "SBOM_XML_DIFFERS",
    apply: ({ dir, key }) => {
      edit(dir, "sbom/image.cdx.xml", (xml) => xml.replace(sha256("bash"), ZEROS));
      reseal(dir, key);
    },
  },
  ...[
    ["a document type", (xml: string) => xml.replace("<bom", "<!DOCTYPE bom SYSTEM 'file:///etc/passwd'><bom")],
    ["an entity of its own", (xml: string) => xml.replace(">example<", ">&example;<")],
    ["an element that never closes", (xml: string) => xml.replace("</components>\n</bom>", "</components>")],
    ["elements that overlap", (xml: string) => xml.replace("<name>example</name>", "<name>example</version>")],
    ["an attribute twice", (xml: string) => xml.replace('type="operating-system"', 'type="a" type="b"')],
  ].map(
    ([what, change]): Mutation => ({
      name: `XML of the SBOM with ${what as string}`,
      fails: ["sbom.xml"],
      code: "XML_MALFORMED",
      apply: ({ dir, key }) => {
        edit(dir, "sbom/image.cdx.xml", change as (xml: string) => string);
        reseal(dir, key);
      },
    }),
  ),
];

const vex: readonly Mutation[] = [
  {
    name: "a VEX document that gives no reason",
    fails: ["vex.shape"],
    code: "SCHEMA_MISMATCH",
    apply: ({ dir, key }) =>
      revise(dir, VEX, key, (document) => {
        set(document, "statements/0/justification", undefined);
        set(document, "statements/0/impact_statement", undefined);
      }),
  },
  {
    name: "VEX of another version",
    fails: ["vex.product"],
    code: "VEX_OF_OTHER_PRODUCT",
    apply: revised(VEX, "statements/0/products/0/@id", "pkg:generic/secai-os-debian-13@0.1.1"),
  },
  {
    name: "a VEX statement past its day",
    fails: ["vex.expiry"],
    code: "VEX_EXPIRED",
    apply: revised(VEX, "statements/0/status_notes", "reviewed by the maintainers; valid until 2020-01-01"),
  },
  {
    name: "VEX documents with different states",
    fails: ["vex.agreement"],
    code: "VEX_DIFFERS",
    apply: ({ dir, key }) => {
      edit(dir, "vex/vex.cdx.json", (text) => text.replace('"not_affected"', '"exploitable"'));
      reseal(dir, key);
    },
  },
  {
    name: "CycloneDX VEX with a vulnerability more",
    fails: ["vex.agreement"],
    code: "VEX_DIFFERS",
    apply: ({ dir, key }) => {
      edit(dir, "vex/vex.cdx.json", (text) =>
        text.replace('"vulnerabilities":[', '"vulnerabilities":[{"id":"CVE-2020-1","analysis":{"state":"not_affected"}},'),
      );
      reseal(dir, key);
    },
  },
  {
    name: "CycloneDX VEX that is no CycloneDX",
    fails: ["vex.agreement"],
    code: "SCHEMA_MISMATCH",
    apply: replaced("vex/vex.cdx.json", "{}"),
  },
];

const tests: readonly Mutation[] = [
  {
    name: "a test result of another image",
    fails: [`tests.image:${ACCEPTANCE}`],
    code: "TEST_OF_OTHER_IMAGE",
    apply: revised(ACCEPTANCE, "configuration/0/annotations/imageDigest", `sha256:${ZEROS}`),
  },
  {
    name: "a test result under another suite's name",
    fails: [`tests.shape:${ACCEPTANCE}`],
    code: "SUITE_MISMATCH",
    apply: revised(ACCEPTANCE, "configuration/0/annotations/suite", "adversarial"),
  },
  {
    name: "a pass with a failed test in it",
    fails: [`tests.shape:${ACCEPTANCE}`],
    code: "SCHEMA_MISMATCH",
    apply: revised(ACCEPTANCE, "failedTests", ["boot.verity"]),
  },
  {
    name: "a failure of a suite that the policy requires",
    fails: [`tests.result:${ACCEPTANCE}`],
    code: "TEST_FAILED",
    policy: { requiredTests: [{ suite: "acceptance" }] },
    apply: ({ dir, key }) =>
      revise(dir, ACCEPTANCE, key, (document) => {
        document.result = "FAILED";
        document.failedTests = ["boot.verity"];
      }),
  },
  {
    name: "a warning of a suite that the policy requires",
    fails: [`tests.result:${ACCEPTANCE}`],
    code: "TEST_FAILED",
    policy: { requiredTests: [{ suite: "acceptance" }] },
    apply: ({ dir, key }) =>
      revise(dir, ACCEPTANCE, key, (document) => {
        document.result = "WARNED";
        document.warnedTests = ["boot.tpm"];
      }),
  },
  {
    name: "a suite that the policy requires and nobody ran",
    fails: ["tests.required:media"],
    code: "TEST_MISSING",
    policy: { requiredTests: [{ suite: "media" }] },
    apply: () => {},
  },
  {
    name: "a suite under an accelerator that the policy does not accept",
    fails: ["tests.required:acceptance"],
    code: "ACCELERATOR_REFUSED",
    policy: { requiredTests: [{ suite: "acceptance", accelerators: ["kvm"] }] },
    apply: () => {},
  },
  {
    name: "a test result signed by a stranger",
    fails: [`tests.signature:${ACCEPTANCE}`],
    code: "KEY_UNTRUSTED",
    apply: ({ dir, key, stranger }) => {
      write(dir, bundleOf(ACCEPTANCE), signPayload(Buffer.from(`${canonicalJson(statementIn(dir, ACCEPTANCE))}\n`), stranger));
      reseal(dir, key);
    },
  },
];

const disk = (dir: string) => read(dir, "IMAGE_DIGEST").toString().trim();
const OTHER = `sha256:${ZEROS}`;

/** Puts another OCI layout in the place of the release's. */
function relaid({ dir, key }: Scene, files: ReturnType<typeof ociOf>, change: (dir: string) => void = () => {}): void {
  remove(dir, "oci");
  for (const [name, { content }] of Object.entries(files)) write(dir, name, content);
  change(dir);
  reseal(dir, key);
}

const blobOf = (dir: string, kind: "layers" | "config") => {
  const [manifest] = (JSON.parse(read(dir, "oci/index.json").toString()) as { manifests: { digest: string }[] }).manifests;
  const name = (digest = "") => `oci/blobs/sha256/${digest.slice("sha256:".length)}`;
  const document = JSON.parse(read(dir, name(manifest?.digest)).toString()) as Record<
    string,
    { digest: string }[] & { digest: string }
  >;
  return name(kind === "layers" ? document.layers?.[0]?.digest : document.config?.digest);
};

const media: readonly Mutation[] = [
  {
    name: "an OVA of another image",
    fails: ["medium.digest:disk.ova"],
    code: "MEDIUM_MISMATCH",
    apply: replaced("disk.ova", ovaOf(OTHER)),
  },
  {
    name: "an installer of another image",
    fails: ["medium.digest:installer.iso"],
    code: "MEDIUM_MISMATCH",
    apply: replaced("installer.iso", isoOf(`${OTHER}\n`)),
  },
  ...(
    [
      ["an OVA without descriptor", "disk.ova", () => ovaOf(OTHER, "x", "disk.vmdk")],
      ["an OVA whose descriptor names no digest", "disk.ova", () => ovaOf(OTHER, "<Envelope/>")],
      ["an OVA whose descriptor names two digests", "disk.ova", () => ovaOf(OTHER, ovfOf(OTHER).replace(/<Property.*>/, "$&$&"))],
      ["an OVA whose descriptor has a document type", "disk.ova", () => ovaOf(OTHER, `<!DOCTYPE x>${ovfOf(OTHER)}`)],
      ["an OVA that is empty", "disk.ova", () => Buffer.alloc(0)],
      ["an ISO without the file", "installer.iso", () => isoOf(`${OTHER}\n`, "OTHER.;1")],
      ["an ISO whose file is no digest", "installer.iso", () => isoOf("none\n")],
      ["an ISO that is none", "installer.iso", () => Buffer.alloc(64 << 10)],
      ["an ISO that is cut short", "installer.iso", () => isoOf(`${OTHER}\n`).subarray(0, 36_000)],
    ] as const
  ).map(
    ([what, name, content]): Mutation => ({
      name: what,
      fails: [`medium.digest:${name}`],
      apply: replaced(name, content()),
    }),
  ),
  {
    name: "an OCI image of another disk",
    fails: ["oci.image"],
    code: "MEDIUM_MISMATCH",
    apply: (scene) => relaid(scene, ociOf(OTHER)),
  },
  {
    name: "an OCI image that names no disk",
    fails: ["oci.image"],
    code: "OCI_MALFORMED",
    apply: (scene) => relaid(scene, ociOf(OTHER, {})),
  },
  {
    name: "an OCI index that is none",
    fails: ["oci.layout"],
    code: "OCI_MALFORMED",
    apply: replaced("oci/index.json", "{}"),
  },
  {
    name: "an OCI layout of a version to come",
    fails: ["oci.layout"],
    code: "OCI_MALFORMED",
    apply: replaced("oci/oci-layout", '{"imageLayoutVersion":"2.0.0"}'),
  },
  {
    name: "an OCI layout without a layer",
    fails: ["oci.layout"],
    code: "OCI_BLOB_MISSING",
    apply: (scene) => relaid(scene, ociOf(disk(scene.dir)), (dir) => remove(dir, blobOf(dir, "layers"))),
  },
  {
    name: "a layer with other bytes",
    fails: ["oci.layout"],
    code: "OCI_BLOB_MISMATCH",
    apply: (scene) => relaid(scene, ociOf(disk(scene.dir)), (dir) => write(dir, blobOf(dir, "layers"), "b layer")),
  },
  {
    name: "an OCI image signed by a stranger",
    fails: ["oci.signatures"],
    code: "OCI_BUNDLE_INVALID",
    apply: async ({ dir, key, stranger }) => {
      await signOciLayout(join(dir, "oci"), {
        reference: LOCAL_IMAGE_REPOSITORY,
        signers: [keySigner(stranger)],
        earlier: [key],
      });
      reseal(dir, key);
    },
  },
  {
    name: "a blob that nothing names",
    fails: ["oci.layout"],
    code: "OCI_BLOB_UNUSED",
    apply: ({ dir, key }) => {
      write(dir, `oci/blobs/sha256/${sha256("x")}`, "x");
      reseal(dir, key);
    },
  },
];

const signers: readonly Mutation[] = [
  ...[
    ["vex", VEX],
    ["tests", ACCEPTANCE],
    ["channel", "channel.json"],
  ].map(
    ([area, file = ""]): Mutation => ({
      name: `${file} signed about another disk`,
      fails: [`${area}.subject:disk.raw.zst`],
      code: "SUBJECT_MISMATCH",
      apply: ({ dir, key }) => {
        const statement = statementIn(dir, file);
        set(statement, "subject/0/digest/sha256", ZEROS);
        resign(dir, file, key, statement);
      },
    }),
  ),
  {
    name: "a stranger's signature beside a genuine one",
    fails: [`bundle.signer:${furtherBundleOf("SHA256SUMS", "0123456789abcdef")}`],
    code: "SIGNATURE_UNCOUNTED",
    apply: async ({ dir, stranger }) => {
      const { signBlob } = await import("@secai/sign/sign");
      write(dir, furtherBundleOf("SHA256SUMS", "0123456789abcdef"), signBlob(read(dir, "SHA256SUMS"), stranger));
    },
  },
  {
    name: "the same signature twice",
    fails: [`bundle.signer:${furtherBundleOf(BASELINE, "0123456789abcdef")}`],
    code: "SIGNATURE_UNCOUNTED",
    apply: ({ dir }) => write(dir, furtherBundleOf(BASELINE, "0123456789abcdef"), read(dir, bundleOf(BASELINE))),
  },
  {
    name: "a release statement about another version",
    fails: ["manifest.subject:RELEASE_MANIFEST.json"],
    code: "PREDICATE_MISMATCH",
    apply: ({ dir, key }) => {
      const statement = statementIn(dir, "RELEASE_MANIFEST.json");
      set(statement, "predicate/releaseId", "debian-13 9.9.9");
      write(dir, bundleOf("RELEASE_MANIFEST.json"), signPayload(Buffer.from(`${canonicalJson(statement)}\n`), key));
    },
  },
  {
    name: "a release statement of another type",
    fails: ["manifest.subject:RELEASE_MANIFEST.json"],
    code: "PREDICATE_MISMATCH",
    apply: ({ dir, key }) => {
      const statement = statementIn(dir, "RELEASE_MANIFEST.json");
      statement.predicateType = "https://slsa.dev/provenance/v1";
      write(dir, bundleOf("RELEASE_MANIFEST.json"), signPayload(Buffer.from(`${canonicalJson(statement)}\n`), key));
    },
  },
];

export const contentMutations: readonly Mutation[] = [
  ...provenance,
  ...boot,
  ...baseline,
  ...sboms,
  ...vex,
  ...tests,
  ...media,
  ...signers,
];
