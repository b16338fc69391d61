import { canonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { fingerprintOf } from "@secai/formats/keys";
import { IMAGE_SBOM_FILE, MEASUREMENTS_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";
import { buildStatement, type Subject, statementBytes, subjectOf } from "@secai/formats/statement";
import { MEASURED_BOOT_PREDICATE } from "@secai/formats/uris";
import { vector } from "@secai/measure/fixtures/vectors";
import type { Evidence } from "@secai/verify/runtime-evidence";
import { ENGINE, keylimeOf, measurementsOf, POLICY_ENGINE, serviceSbom, testResultOf, ukiOf } from "../release/contents.ts";
import {
  type Mutable,
  namesIn,
  read,
  remove,
  reseal,
  resealChecksums,
  restate,
  set,
  signPayload,
  write,
} from "../release/forge.ts";
import { type Apply, type Contents, changed, made, redesignate, remake, replaced } from "./edits.ts";
import { NONCE, quoteOf, realEvidence, realMeasurements } from "./machine.ts";
import { answer, type Case, EVIDENCE_ARGS, input, RELEASE_ARGS, RUNTIME_ARGS, type SelfTestScene, TRUST } from "./scene.ts";

// What differs between genuine releases and genuine machines. A verifier that refused any of it would be of no use.

const BASELINE = "baseline.json";
const KEYLIME = "keylime/measured-boot.json";
const VEX = "vex/openvex.json";
const accepted = (name: string, apply?: Apply, args: readonly string[] = RELEASE_ARGS): Case => ({
  name: `harmless: ${name}`,
  fails: [],
  exit: 0,
  args,
  ...(apply !== undefined && { apply }),
});

const without = (...media: string[]): readonly string[] => [...RELEASE_ARGS, ...media.flatMap((name) => ["--without", name])];
const withdrawn =
  (...names: string[]): Apply =>
  ({ dir }) => {
    for (const name of names) remove(dir, name);
  };
/** The same document for whoever reads it: members the other way round, one a line. */
const spaced = (dir: string, name: string) => {
  const members = Object.entries(JSON.parse(read(dir, name).toString()) as Mutable).reverse();
  return `${JSON.stringify(Object.fromEntries(members), undefined, 4)}\n`;
};
const SERVICE_SBOM = "sbom/policy-engine.cdx.json";

const provenance = (name: string, change: (statement: Mutable) => void): Case =>
  accepted(name, ({ dir, key }) => restate(dir, PROVENANCE_FILE, key, change));

const releases: readonly Case[] = [
  accepted("the release as it is"),
  accepted(
    "any version",
    undefined,
    RELEASE_ARGS.filter((arg) => arg !== "--release" && arg !== "0.1.0"),
  ),
  accepted(
    "the older release, when that is asked for",
    undefined,
    RELEASE_ARGS.map((arg) => (arg === "@/release" ? "@/older" : arg === "0.1.0" ? "0.0.9" : arg)),
  ),
  accepted("one of two trusted keys", undefined, [...RELEASE_ARGS, "--key", "@/inputs/stranger.pub"]),
  accepted("more designations than needed", undefined, [...RELEASE_ARGS, "--designation", "stable"]),
  accepted("a medium that was not fetched", withdrawn("disk.qcow2"), without("disk.qcow2")),
  accepted("no disk at all fetched", withdrawn("disk.qcow2", "disk.raw.zst"), without("disk.qcow2", "disk.raw.zst")),
  accepted("a medium called optional that is there", undefined, without("disk.qcow2")),
  accepted("a medium declared absent", async (scene) => {
    await remake(scene, { "disk.qcow2": undefined });
    reseal(scene.dir, scene.key, { absent: [{ name: "disk.qcow2", reason: "not built" }] });
  }),
  accepted("signatures made anew", ({ dir, key }) => resealChecksums(dir, key)),
  accepted("another kernel image, measured and built", (scene) => remake(scene, rebuilt(scene))),
  accepted("one service more", (scene) => {
    const sbom = serviceSbom("extra", ENGINE);
    const baseline = changed(scene.dir, BASELINE, (document) => sealed(document, "extra", sha256(ENGINE)));
    return remake(scene, { "services/extra.mjs": ENGINE, "sbom/extra.cdx.json": sbom, [BASELINE]: baseline });
  }),
  accepted("an SBOM with white space and in another order of members", (scene) =>
    remake(scene, { [SERVICE_SBOM]: spaced(scene.dir, SERVICE_SBOM) }),
  ),
  accepted("an image SBOM with white space", (scene) => remake(scene, { [IMAGE_SBOM_FILE]: spaced(scene.dir, IMAGE_SBOM_FILE) })),
  accepted("an image SBOM of CycloneDX 1.5", replaced(IMAGE_SBOM_FILE, "specVersion", "1.5")),
  accepted("a larger service", (scene) => {
    const larger = "export const larger = true;\n";
    const baseline = changed(scene.dir, BASELINE, (document) => sealed(document, "policy-engine", sha256(larger)));
    return remake(scene, { [POLICY_ENGINE]: larger, [SERVICE_SBOM]: serviceSbom("policy-engine", larger), [BASELINE]: baseline });
  }),
  ...["disk.ova", "installer.iso", "sbom/image.cdx.xml", "vex/vex.cdx.json", "tests/acceptance.json"].map((name) =>
    accepted(`no ${name} at all`, made({ [name]: undefined })),
  ),
  accepted("no container at all", async (scene) => {
    const files = namesIn(scene.dir).filter((name) => name.startsWith("oci/"));
    await remake(scene, Object.fromEntries(files.map((name) => [name, undefined])));
    reseal(scene.dir, scene.key, { absent: [{ name: "oci", reason: "not built" }] });
  }),
  accepted("a failed test, said so, in a development release", (scene) =>
    remake(scene, {
      "tests/acceptance.json": testResultOf("acceptance", read(scene.dir, "IMAGE_DIGEST").toString().trim(), ["network.up"]),
    }),
  ),
  accepted("a test more", (scene) =>
    remake(scene, { "tests/extra.json": testResultOf("extra", read(scene.dir, "IMAGE_DIGEST").toString().trim()) }),
  ),
  accepted("a vulnerability that is being looked into", async (scene) => {
    const openVex = changed(scene.dir, VEX, (document) => set(document, "statements/0/status", "under_investigation"));
    const cyclonedx = changed(scene.dir, "vex/vex.cdx.json", (document) =>
      set(document, "vulnerabilities/0/analysis/state", "in_triage"),
    );
    await remake(scene, { [VEX]: openVex, "vex/vex.cdx.json": cyclonedx });
  }),
  accepted(
    "a release for everybody, with its tests passed",
    (scene) => redesignate(scene, "stable"),
    RELEASE_ARGS.map((arg) => (arg === "dev" ? "stable" : arg)),
  ),
  accepted("the commit it was built from", async ({ dir, key }) => {
    const commit = "a".repeat(40);
    await restate(dir, PROVENANCE_FILE, key, (statement) =>
      depend(statement, { name: "repository", uri: "https://example.org/secai", digest: { gitCommit: commit } }),
    );
    reseal(dir, key, { commitSha: commit });
  }),
  provenance("another invocation", (statement) => set(statement, "predicate/runDetails/metadata/invocationId", "2")),
  provenance("a later end of the build", (statement) =>
    set(statement, "predicate/runDetails/metadata/finishedOn", "2026-01-02T00:00:00Z"),
  ),
  provenance("no byproducts", (statement) => set(statement, "predicate/runDetails/byproducts", [])),
  provenance("one more dependency", (statement) =>
    depend(statement, { name: "zsh", uri: "pkg:deb/debian/zsh@5.9", digest: { sha256: sha256("zsh") } }),
  ),
  provenance("drift, said so, in a development release", (statement) =>
    set(statement, "predicate/buildDefinition/internalParameters/drift", ["bash"]),
  ),
  accepted("subjects in another order", ({ dir, key }) =>
    restate(dir, MEASUREMENTS_FILE, key, (statement) => {
      statement.subject = (statement.subject as readonly Subject[]).toReversed();
    }),
  ),
];

/** Another kernel image with what is predicted of it. */
function rebuilt({ dir }: SelfTestScene): Contents {
  const { commandLine, rootHash } = JSON.parse(read(dir, MEASUREMENTS_FILE).toString()) as {
    commandLine: string;
    rootHash: Sha256;
  };
  const uki = ukiOf(commandLine, "6.2");
  const measured = measurementsOf(uki, read(dir, "bootx64.efi"), rootHash);
  const measurements = `${canonicalJson(measured)}\n`;
  return { "uki.efi": uki, [MEASUREMENTS_FILE]: measurements, [KEYLIME]: keylimeOf(Buffer.from(measurements)) };
}

/** A service in the root of a baseline, in the order that baselines have. */
function sealed(document: Mutable, name: string, digest: string): void {
  const path = `/usr/lib/secure-ai/services/${name}.mjs`;
  const files = (document.files as { path: string }[]).filter((file) => file.path !== path);
  const file = { path, type: "file", mode: "0644", uid: 0, gid: 0, sha256: digest, size: 12 };
  document.files = [...files, file].sort((a, b) => (a.path < b.path ? -1 : 1));
  set(document, `services/${name}`, { path, sha256: digest });
}

function depend(statement: Mutable, dependency: unknown): void {
  const { buildDefinition } = statement.predicate as { buildDefinition: { resolvedDependencies: unknown[] } };
  buildDefinition.resolvedDependencies.push(dependency);
}

const says =
  (change: (scene: SelfTestScene) => Partial<Evidence>): Apply =>
  (scene) =>
    answer(scene, { ...scene.evidence, ...change(scene) });
const pcrsOf = ({ evidence }: SelfTestScene): ReadonlyMap<number, Sha256> => evidence.quote?.pcrs ?? new Map();
const machine = (name: string, apply?: Apply, args: readonly string[] = RUNTIME_ARGS): Case =>
  accepted(`machine: ${name}`, apply, args);
const PROMISED = ["runtime", "--measurements", "@/inputs/promise.json", ...EVIDENCE_ARGS, ...TRUST];

/** The evidence of a recorded boot, and a signed promise of what it measured. */
const recorded =
  (name: "plain" | "addon"): Apply =>
  (scene) => {
    answer(scene, realEvidence(name));
    const subjects = [subjectOf("uki.efi", sha256("the recorded kernel image"))];
    const promise = buildStatement(MEASURED_BOOT_PREDICATE, subjects, realMeasurements);
    write(scene.inputs, "promise.json", signPayload(statementBytes(promise), scene.key));
    write(scene.inputs, "site.json", vector("addon/policy.json"));
  };
const LONG_NONCE = "ab".repeat(32);

const machines: readonly Case[] = [
  machine("the machine as it is"),
  machine(
    "a longer challenge",
    (scene) =>
      answer(scene, {
        ...scene.evidence,
        nonce: LONG_NONCE,
        quote: quoteOf(scene.machine, { pcrs: pcrsOf(scene), nonce: LONG_NONCE }),
      }),
    RUNTIME_ARGS.map((arg) => (arg === NONCE ? LONG_NONCE : arg)),
  ),
  machine("a real machine, held to its own measurements", recorded("plain"), PROMISED),
  machine(
    "only the PCRs that matter",
    says((scene) => ({
      quote: quoteOf(scene.machine, { pcrs: new Map([...pcrsOf(scene)].filter(([index]) => [4, 7, 9, 11, 12].includes(index))) }),
    })),
  ),
  machine(
    "no service running",
    says(() => ({ services: {} })),
  ),
  machine(
    "another image name",
    says(() => ({ release: { imageId: "my-secai", imageVersion: "0.1.0" } })),
  ),
  machine(
    "an enrolled key",
    (scene) => input(scene, "site.json", { schema: 1, name: "enrolled", attestationKeys: [enrolled(scene), sha256("another")] }),
    [...RUNTIME_ARGS, "--policy", "@/inputs/site.json"],
  ),
  machine(
    "a site that expects what the release says",
    (scene) => input(scene, "site.json", { schema: 1, name: "same", pcrs: { "7": pcrsOf(scene).get(7) } }),
    [...RUNTIME_ARGS, "--policy", "@/inputs/site.json"],
  ),
  machine("a real machine with an addon that the site expects", recorded("addon"), [
    ...PROMISED,
    "--policy",
    "@/inputs/site.json",
  ]),
  machine(
    "held to signed measurements alone",
    ({ dir, inputs }) => write(inputs, "promise.json", read(dir, `${MEASUREMENTS_FILE}.sigstore.json`)),
    PROMISED,
  ),
  machine(
    "units that the release's generators make",
    says(({ evidence }) => ({ running: evidence.running && { ...evidence.running, unitFiles: [] } })),
  ),
  machine(
    "settings that this kernel does not have",
    says(({ evidence }) => ({ running: evidence.running && { ...evidence.running, sysctl: { "kernel.sysrq": null } } })),
  ),
  machine(
    "no leases asked for",
    says(({ evidence }) => ({
      running: evidence.running && {
        ...evidence.running,
        listeners: evidence.running.listeners.filter(({ port }) => port !== 68),
      },
    })),
  ),
];

/** What an operator pins: the fingerprint of the machine's attestation key. */
const enrolled = ({ machine: { publicKey } }: SelfTestScene): Sha256 => fingerprintOf(publicKey);

export const harmless: readonly Case[] = [...releases, ...machines];
