import { canonicalJson } from "@secai/formats/canonical-json";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { fingerprintOf } from "@secai/formats/keys";
import { bundleOf, IMAGE_SBOM_FILE, MEASUREMENTS_FILE, PROVENANCE_FILE } from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { buildStatement, type Subject, statementBytes, subjectOf } from "@secai/formats/statement";
import { vector } from "@secai/measure/fixtures/vectors";
import type { Evidence } from "@secai/verify/runtime-evidence";
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
import { NONCE, quoteOf, realEvidence } from "./machine.ts";
import { answer, type Case, EVIDENCE_ARGS, input, RELEASE_ARGS, RUNTIME_ARGS, type SelfTestScene } from "./scene.ts";

// What differs between genuine releases and genuine machines. A verifier that refused any of it would be of no use.

type Apply = NonNullable<Case["apply"]>;
const accepted = (name: string, apply?: Apply, args: readonly string[] = RELEASE_ARGS): Case => ({
  name: `harmless: ${name}`,
  fails: [],
  exit: 0,
  args,
  ...(apply !== undefined && { apply }),
});

/** The release as it would be had the build made these files; `undefined` for one that it did not make. */
const built =
  (files: Readonly<Record<string, string | undefined>>): Apply =>
  async ({ dir, key }) => {
    for (const [name, content] of Object.entries(files)) {
      if (content === undefined) remove(dir, name);
      else write(dir, name, content);
    }
    await restate(dir, PROVENANCE_FILE, key, (statement) => {
      const before = (statement.subject as readonly Subject[]).map(({ name }) => name);
      const names = [...new Set([...before, ...Object.keys(files)])].filter((name) => namesIn(dir).includes(name)).sort();
      statement.subject = names.map((name) => ({ name, digest: { sha256: sha256(read(dir, name)) } }));
    });
  };

/** Signs the statement that a file's content calls for. */
function state({ dir, key }: SelfTestScene, file: string): void {
  const { predicateType = "", subjects = [] } = statementOf(file) ?? {};
  const about = subjects.map((name) => subjectOf(name, sha256(read(dir, name))));
  const statement = buildStatement(predicateType, about, JSON.parse(read(dir, file).toString()));
  write(dir, bundleOf(file), signPayload(statementBytes(statement), key));
}

const without = (...media: string[]): readonly string[] => [...RELEASE_ARGS, ...media.flatMap((name) => ["--without", name])];
const withdrawn =
  (...names: string[]): Apply =>
  ({ dir }) => {
    for (const name of names) remove(dir, name);
  };
const sbomOf = (name: string) =>
  `${canonicalJson({ bomFormat: "CycloneDX", specVersion: "1.6", version: 1, metadata: { component: { type: "application", name } }, components: [] })}\n`;
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
    await built({ "disk.qcow2": undefined })(scene);
    reseal(scene.dir, scene.key, { absent: [{ name: "disk.qcow2", reason: "not built" }] });
  }),
  accepted("signatures made anew", ({ dir, key }) => resealChecksums(dir, key)),
  accepted("another kernel image, measured and built", async (scene) => {
    await remeasured(scene, "uki.efi", "another unified kernel image\n");
  }),
  accepted("one service more", async (scene) => {
    const files = { "services/extra.mjs": "export {};\n", "sbom/extra.cdx.json": sbomOf("extra") };
    for (const [name, content] of Object.entries(files)) write(scene.dir, name, content);
    state(scene, "sbom/extra.cdx.json");
    await built(files)(scene);
  }),
  accepted("an SBOM with white space and in another order of members", (scene) =>
    built({ [SERVICE_SBOM]: spaced(scene.dir, SERVICE_SBOM) })(scene),
  ),
  accepted("an image SBOM with white space", (scene) => built({ [IMAGE_SBOM_FILE]: spaced(scene.dir, IMAGE_SBOM_FILE) })(scene)),
  accepted("an image SBOM of CycloneDX 1.5", async (scene) => {
    const older = read(scene.dir, IMAGE_SBOM_FILE).toString().replace('"1.6"', '"1.5"');
    write(scene.dir, IMAGE_SBOM_FILE, older);
    state(scene, IMAGE_SBOM_FILE);
    await built({ [IMAGE_SBOM_FILE]: older })(scene);
  }),
  accepted("a larger service", built({ "services/policy-engine.mjs": "export const larger = true;\n" })),
  accepted("the commit it was built from", ({ dir, key }) => reseal(dir, key, { commitSha: "a".repeat(40) })),
  provenance("another invocation", (statement) => set(statement, "predicate/runDetails/metadata/invocationId", "2")),
  provenance("a later end of the build", (statement) =>
    set(statement, "predicate/runDetails/metadata/finishedOn", "2026-01-02T00:00:00Z"),
  ),
  provenance("no byproducts", (statement) => set(statement, "predicate/runDetails/byproducts", [])),
  provenance("one more dependency", (statement) => {
    const list = (statement.predicate as { buildDefinition: { resolvedDependencies: unknown[] } }).buildDefinition
      .resolvedDependencies;
    list.push({ name: "zsh", uri: "pkg:deb/debian/zsh@5.9", digest: { sha256: sha256("zsh") } });
  }),
  provenance("drift, said so, in a development release", (statement) =>
    set(statement, "predicate/buildDefinition/internalParameters/drift", ["bash"]),
  ),
  accepted("subjects in another order", ({ dir, key }) =>
    restate(dir, MEASUREMENTS_FILE, key, (statement) => {
      statement.subject = (statement.subject as readonly Subject[]).toReversed();
    }),
  ),
];

/** A kernel image that the measurements and their statement know. */
async function remeasured(scene: SelfTestScene, name: string, content: string): Promise<void> {
  const { dir, key } = scene;
  write(dir, name, content);
  await restate(dir, MEASUREMENTS_FILE, key, (statement) => {
    set(statement, "predicate/uki/sha256", sha256(content));
    for (const subject of statement.subject as { name: string; digest: { sha256: string } }[]) {
      if (subject.name === name) subject.digest.sha256 = sha256(content);
    }
    write(dir, MEASUREMENTS_FILE, `${canonicalJson(statement.predicate)}\n`);
  });
  await built({ [name]: content, [MEASUREMENTS_FILE]: read(dir, MEASUREMENTS_FILE).toString() })(scene);
}

const says =
  (change: (scene: SelfTestScene) => Partial<Evidence>): Apply =>
  (scene) =>
    answer(scene, { ...scene.evidence, ...change(scene) });
const pcrsOf = ({ evidence }: SelfTestScene): ReadonlyMap<number, Sha256> => evidence.quote?.pcrs ?? new Map();
const machine = (name: string, apply?: Apply, args: readonly string[] = RUNTIME_ARGS): Case =>
  accepted(`machine: ${name}`, apply, args);
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
  machine(
    "the quote of a real TPM",
    says(() => ({ quote: realEvidence("plain").quote })),
  ),
  machine(
    "only the PCRs that matter",
    says((scene) => ({
      quote: quoteOf(scene.machine, { pcrs: new Map([...pcrsOf(scene)].filter(([index]) => [4, 7, 11, 12].includes(index))) }),
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
  machine(
    "an addon that the site expects",
    (scene) => {
      const { release, services } = scene.evidence;
      answer(scene, { ...realEvidence("addon"), release, services });
      write(scene.inputs, "site.json", vector("addon/policy.json"));
    },
    [...RUNTIME_ARGS, "--policy", "@/inputs/site.json"],
  ),
  machine(
    "held to signed measurements alone",
    ({ dir, inputs }) => write(inputs, "promise.json", read(dir, `${MEASUREMENTS_FILE}.sigstore.json`)),
    ["runtime", "--measurements", "@/inputs/promise.json", ...EVIDENCE_ARGS, ...RUNTIME_ARGS.slice(-4)],
  ),
];

/** What an operator pins: the fingerprint of the machine's attestation key. */
const enrolled = ({ machine: { publicKey } }: SelfTestScene): Sha256 => fingerprintOf(publicKey);

export const harmless: readonly Case[] = [...releases, ...machines];
