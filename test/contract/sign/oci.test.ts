import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { describeOci, OCI_TAG } from "@secai/formats/oci";
import { COSIGN_SIGNATURE_ANNOTATION } from "@secai/formats/oci-signature";
import { generateSigningKey } from "@secai/sign/generate-key";
import type { SigningKey } from "@secai/sign/key-file";
import { keySigner } from "@secai/sign/signer";
import { checkOciSignatures, type OciSignatureRules } from "@secai/verify/oci-signatures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { signOciLayout } from "../../../release/oci-sign/sign-layout.ts";
import { readFiles, reading, writeLayout } from "./oci-layout.ts";
import { type Registry, serveLayout } from "./registry.ts";
import { runBeside } from "./tool.ts";

const REFERENCE = "registry.example/owner/secai-os";
const scratch = mkdtempSync(join(tmpdir(), "secai-oci-"));
const at = (name: string) => join(scratch, name);
const key = generateSigningKey("ecdsa-p256");
const second = generateSigningKey("ecdsa-p256");
const quantum = generateSigningKey("ml-dsa-65");
const stranger = generateSigningKey("ecdsa-p256");

/** A signed layout of its own for one test. */
let layouts = 0;
async function signed(signers: readonly SigningKey[], tags: readonly string[] = ["1.0"]): Promise<string> {
  const dir = at(`layout-${layouts++}`);
  writeLayout(dir, tags);
  await signOciLayout(dir, { reference: REFERENCE, signers: signers.map(keySigner) });
  return dir;
}
const check = (dir: string, rules: Partial<OciSignatureRules> = {}) =>
  checkOciSignatures(reading(readFiles(dir)), { keys: [key], reference: REFERENCE, ...rules });
const codes = (dir: string, rules: Partial<OciSignatureRules> = {}) => check(dir, rules).faults.map(({ code }) => code);

let registry: Registry;
let served: string;
beforeAll(async () => {
  served = await signed([key], ["1.0"]);
  registry = await serveLayout(served);
});
afterAll(async () => {
  await registry.close();
  rmSync(scratch, { recursive: true });
});

test("an image is signed twice, and both signatures are found", async () => {
  const dir = at("twice");
  const images = writeLayout(dir, ["1.0", "1.1"]);
  expect(codes(dir)).toEqual(["OCI_BUNDLE_MISSING", "OCI_LEGACY_MISSING", "OCI_BUNDLE_MISSING", "OCI_LEGACY_MISSING"]);
  const { written, removed } = await signOciLayout(dir, { reference: REFERENCE, signers: [keySigner(key)] });
  expect(check(dir)).toEqual({ images, faults: [] });
  expect(removed).toEqual([]);
  expect(written).toContain("index.json");
  expect(check(dir, { reference: "registry.example/other" }).faults.map(({ code }) => code)).toContain("OCI_LEGACY_INVALID");
});

test("signing again with the same key changes nothing", async () => {
  const dir = await signed([key]);
  const before = readFiles(dir);
  expect(await signOciLayout(dir, { reference: REFERENCE, signers: [keySigner(key)] })).toEqual({
    written: ["index.json"],
    removed: [],
  });
  expect(readFiles(dir)).toEqual(before);
});

test("a second signer adds to the first, and leaves no blob that nothing names", async () => {
  const dir = await signed([key]);
  await expect(signOciLayout(dir, { reference: REFERENCE, signers: [keySigner(second)] })).rejects.toMatchObject({
    code: "OCI_SIGNATURE_UNVERIFIED",
  });
  await signOciLayout(dir, { reference: REFERENCE, signers: [keySigner(second), keySigner(quantum)], earlier: [key] });
  expect(codes(dir, { keys: [key, second, quantum], threshold: 3 })).toEqual([]);
  expect(codes(dir, { keys: [key, second], threshold: 2 })).toEqual(["OCI_BUNDLE_INVALID"]);
  const files = readFiles(dir);
  const text = [...files.values()].filter((bytes) => bytes.length < 20_000).join("\n");
  for (const name of files.keys()) if (name.startsWith("blobs/")) expect(text).toContain(`sha256:${name.slice(13)}`);
});

test("a threshold counts different keys", async () => {
  const dir = await signed([key]);
  expect(codes(dir, { keys: [key, key, second], threshold: 2 })).toEqual(["OCI_BUNDLE_MISSING", "OCI_LEGACY_MISSING"]);
});

test("ML-DSA alone does not serve container engines, a keyless signer serves nobody", async () => {
  const dir = at("unsuitable");
  writeLayout(dir);
  const keyless = { ...keySigner(key), publicKey: undefined };
  for (const signers of [[keySigner(quantum)], [keyless], []])
    await expect(signOciLayout(dir, { reference: REFERENCE, signers })).rejects.toMatchObject({ code: "OCI_SIGNER_UNSUITABLE" });
  for (const reference of ["", "UPPER/case", "no-host", "a/b:tag", "a/b@sha256:0", "a//b", "https://a/b"])
    await expect(signOciLayout(dir, { reference, signers: [keySigner(key)] })).rejects.toMatchObject({ code: "SCHEMA_MISMATCH" });
  expect(codes(dir)).toHaveLength(2);
});

test("a directory that is no layout is refused", async () => {
  const empty = at("empty");
  mkdirSync(empty);
  const torn = at("torn");
  writeLayout(torn);
  const [blob = ""] = [...readFiles(torn).keys()].filter((name) => readFiles(torn).get(name)?.includes('"layers":[') === true);
  rmSync(join(torn, blob));
  for (const dir of [empty, torn, at("nowhere")])
    await expect(signOciLayout(dir, { reference: REFERENCE, signers: [keySigner(key)] })).rejects.toMatchObject({
      code: "OCI_LAYOUT_UNREADABLE",
    });
  expect(checkOciSignatures(() => undefined, { keys: [key] }).faults.map(({ code }) => code)).toEqual(["OCI_UNREADABLE"]);
});

type Descriptor = { digest: string; size: number; mediaType: string; annotations?: Record<string, string> };
type Manifest = { subject?: Descriptor; layers: Descriptor[]; config: Descriptor; artifactType?: string };
type Index = { manifests: Descriptor[] };
interface Scene {
  readonly files: Map<string, Buffer>;
  readonly index: Index;
  readonly image: Descriptor;
  readonly referrer: Descriptor;
  readonly legacy: Descriptor;
}
const nameOf = ({ digest }: Descriptor) => `blobs/sha256/${digest.slice(7)}`;
const json = <T>(bytes: Buffer | undefined): T => JSON.parse(String(bytes)) as T;

function scene(dir: string): Scene {
  const files = readFiles(dir);
  const index = json<Index>(files.get("index.json"));
  const [image, referrer, legacy] = index.manifests;
  if (image === undefined || referrer === undefined || legacy === undefined) throw new Error("not three manifests");
  return { files, index, image, referrer, legacy };
}
/** Puts other content under a descriptor, with its new digest. */
function put({ files }: Scene, descriptor: Descriptor, content: Buffer): void {
  Object.assign(descriptor, { digest: `sha256:${sha256(content)}`, size: content.length });
  files.set(nameOf(descriptor), content);
}
function edit(given: Scene, descriptor: Descriptor, change: (manifest: Manifest) => void): void {
  const manifest = json<Manifest>(given.files.get(nameOf(descriptor)));
  change(manifest);
  put(given, descriptor, Buffer.from(canonicalJson(manifest)));
}
const layerOf = (manifest: Manifest): Descriptor => manifest.layers[0] ?? { digest: "", size: 0, mediaType: "" };

const attacks: Readonly<Record<string, readonly [codes: readonly string[], attack: (given: Scene, other: Scene) => void]>> = {
  "the bundle is taken away": [["OCI_BUNDLE_MISSING"], ({ index }) => index.manifests.splice(1, 1)],
  "the attachment is taken away": [["OCI_LEGACY_MISSING"], ({ index }) => index.manifests.splice(2, 1)],
  "a blob is taken away": [["OCI_UNREADABLE"], ({ files, referrer }) => files.delete(nameOf(referrer))],
  "a manifest is changed in place": [["OCI_UNREADABLE"], ({ files, legacy }) => files.set(nameOf(legacy), Buffer.from("{}"))],
  "another image takes the place of the signed one": [
    ["OCI_BUNDLE_MISSING", "OCI_LEGACY_MISSING", "OCI_ATTACHMENT_STRAY", "OCI_ATTACHMENT_STRAY"],
    (given) => edit(given, given.image, (manifest) => Object.assign(manifest, { annotations: { evil: "yes" } })),
  ],
  "an unsigned image is added": [
    ["OCI_BUNDLE_MISSING", "OCI_LEGACY_MISSING"],
    (given) => {
      const added = { ...given.image };
      edit(given, added, (manifest) => Object.assign(manifest, { annotations: { evil: "yes" } }));
      given.index.manifests.push(added);
    },
  ],
  "an unsigned image is added as if it were a signature": [
    ["OCI_ATTACHMENT_STRAY"],
    (given) => {
      const added = { ...given.image };
      edit(given, added, (manifest) => Object.assign(manifest, { annotations: { evil: "yes" } }));
      given.index.manifests.push({ ...added, annotations: { [OCI_TAG]: `sha256-${"0".repeat(64)}.sig` } });
    },
  ],
  "the attachments are of another image": [
    ["OCI_BUNDLE_INVALID", "OCI_BUNDLE_MISSING", "OCI_LEGACY_INVALID", "OCI_LEGACY_MISSING"],
    (given) => {
      edit(given, given.image, (manifest) => Object.assign(manifest, { annotations: { evil: "yes" } }));
      const { digest, size, mediaType } = given.image;
      edit(given, given.referrer, (manifest) => Object.assign(manifest, { subject: { digest, size, mediaType } }));
      Object.assign(given.legacy, { annotations: { [OCI_TAG]: `sha256-${digest.slice(7)}.sig` } });
    },
  ],
  "the bundle is a stranger's": [
    ["OCI_BUNDLE_INVALID", "OCI_BUNDLE_MISSING"],
    (given, other) => {
      const foreign = json<Manifest>(other.files.get(nameOf(other.referrer)));
      const bundle = other.files.get(nameOf(layerOf(foreign))) ?? Buffer.of();
      edit(given, given.referrer, (manifest) => put(given, layerOf(manifest), bundle));
    },
  ],
  "a stranger's bundle is added": [
    ["OCI_BUNDLE_INVALID"],
    (given, other) => {
      for (const [name, bytes] of other.files) if (name.startsWith("blobs/")) given.files.set(name, bytes);
      given.index.manifests.push(other.referrer);
    },
  ],
  "the attachment is a stranger's": [
    ["OCI_LEGACY_INVALID", "OCI_LEGACY_MISSING"],
    (given, other) => {
      for (const [name, bytes] of other.files) if (name.startsWith("blobs/")) given.files.set(name, bytes);
      given.index.manifests[2] = other.legacy;
    },
  ],
  "the attachment is tagged twice": [
    ["OCI_LEGACY_INVALID"],
    ({ index, legacy }) => index.manifests.push({ ...legacy, annotations: { ...legacy.annotations } }),
  ],
  "the attachment holds nothing": [
    ["OCI_LEGACY_INVALID", "OCI_LEGACY_MISSING"],
    (given) => edit(given, given.legacy, (manifest) => manifest.layers.splice(0)),
  ],
  "the attachment's signature is changed": [
    ["OCI_LEGACY_INVALID", "OCI_LEGACY_MISSING"],
    (given) =>
      edit(given, given.legacy, (manifest) =>
        Object.assign(layerOf(manifest), { annotations: { [COSIGN_SIGNATURE_ANNOTATION]: Buffer.from("x").toString("base64") } }),
      ),
  ],
  "the attachment's payload is changed": [
    ["OCI_LEGACY_INVALID", "OCI_LEGACY_MISSING"],
    (given) =>
      edit(given, given.legacy, (manifest) => {
        const payload = String(given.files.get(nameOf(layerOf(manifest)))).replace("registry", "Registry");
        put(given, layerOf(manifest), Buffer.from(payload));
      }),
  ],
  "the attachment's layer is of another type": [
    ["OCI_LEGACY_INVALID", "OCI_LEGACY_MISSING"],
    (given) => edit(given, given.legacy, (manifest) => Object.assign(layerOf(manifest), { mediaType: "application/json" })),
  ],
  "the bundle's layer is of another type": [
    ["OCI_BUNDLE_INVALID", "OCI_BUNDLE_MISSING"],
    (given) => edit(given, given.referrer, (manifest) => Object.assign(layerOf(manifest), { mediaType: "application/json" })),
  ],
  "the referrer is of another type": [
    ["OCI_BUNDLE_INVALID", "OCI_BUNDLE_MISSING"],
    (given) => edit(given, given.referrer, (manifest) => Object.assign(manifest, { artifactType: "application/json" })),
  ],
  "the referrer holds two bundles": [
    ["OCI_BUNDLE_INVALID", "OCI_BUNDLE_MISSING"],
    (given) => edit(given, given.referrer, (manifest) => manifest.layers.push(layerOf(manifest))),
  ],
  "the referrer refers to something else": [
    ["OCI_BUNDLE_MISSING", "OCI_ATTACHMENT_STRAY"],
    (given) =>
      edit(given, given.referrer, (manifest) => Object.assign(manifest.subject ?? {}, { digest: `sha256:${"0".repeat(64)}` })),
  ],
};
for (const [name, [expected, attack]] of Object.entries(attacks)) {
  test(`${name}: ${expected.join(", ")}`, async () => {
    const given = scene(await signed([key]));
    attack(given, scene(await signed([stranger])));
    given.files.set("index.json", Buffer.from(canonicalJson(given.index)));
    const { faults } = checkOciSignatures(reading(given.files), { keys: [key], reference: REFERENCE });
    expect(faults.map(({ code }) => code)).toEqual(expected);
  });
}

test("a document of a mebibyte and more is refused", async () => {
  const given = scene(await signed([key]));
  const big = Buffer.from(canonicalJson({ ...given.index, annotations: { a: "x".repeat(1 << 20) } }));
  given.files.set("index.json", big);
  expect(checkOciSignatures(reading(given.files), { keys: [key] }).faults[0]?.code).toBe("OCI_UNREADABLE");
  expect(describeOci("x", big).size).toBeGreaterThan(1 << 20);
});

// The peers, through a registry on loopback and from the directory itself.
const run = (script: string) => runBeside(scratch, script);

/** What a container engine of Fedora or Debian is told: accept this repository only with a signature by this key. */
function writePolicy(name: string, publicPem: string, signedIdentity: object): string {
  writeFileSync(at(`${name}.pub`), publicPem);
  const requirement = { type: "sigstoreSigned", keyPath: at(`${name}.pub`), signedIdentity };
  const transports = { docker: { [`${registry.host}/owner/secai-os`]: [requirement] } };
  writeFileSync(at(`${name}.json`), JSON.stringify({ default: [{ type: "reject" }], transports }));
  mkdirSync(at("registries.d"), { recursive: true });
  writeFileSync(at("registries.d/all.yaml"), `docker:\n  ${registry.host}:\n    use-sigstore-attachments: true\n`);
  return `--policy ${at(`${name}.json`)} --registries.d ${at("registries.d")}`;
}
const exact = { type: "exactRepository", dockerRepository: REFERENCE };
const copy = (options: string, tag = "1.0") =>
  run(`rm -rf copied; skopeo ${options} copy --src-tls-verify=false docker://${registry.host}/owner/secai-os:${tag} dir:copied`);

test("a container engine with a sigstoreSigned policy accepts the image, with our key and name only", async () => {
  await copy(writePolicy("own", key.publicPem, exact));
  expect(readFileSync(at("copied/manifest.json")).length).toBeGreaterThan(100);
  await expect(copy(writePolicy("stranger", stranger.publicPem, exact))).rejects.toThrow(/signature/i);
  const other = { ...exact, dockerRepository: "registry.example/owner/other" };
  await expect(copy(writePolicy("other", key.publicPem, other))).rejects.toThrow(/not accepted|match/i);
});

test("a container engine refuses the image without the attachment", async () => {
  const bare = at("bare");
  cpSync(served, bare, { recursive: true });
  const index = json<Index>(readFileSync(join(bare, "index.json")));
  index.manifests.splice(2, 1);
  writeFileSync(join(bare, "index.json"), canonicalJson(index));
  const unsigned = await serveLayout(bare);
  try {
    const options = writePolicy("own", key.publicPem, exact).replaceAll(registry.host, unsigned.host);
    const policy = readFileSync(at("own.json"), "utf8").replaceAll(registry.host, unsigned.host);
    writeFileSync(at("own.json"), policy);
    writeFileSync(at("registries.d/all.yaml"), `docker:\n  ${unsigned.host}:\n    use-sigstore-attachments: true\n`);
    const attempt = run(
      `skopeo ${options} copy --src-tls-verify=false docker://${unsigned.host}/owner/secai-os:1.0 dir:unsigned`,
    );
    await expect(attempt).rejects.toThrow(/no signature exists|signature was required/i);
  } finally {
    await unsigned.close();
  }
});

test("cosign accepts the attachment, in a registry and in the directory, and the bundle that refers to the image", async () => {
  writeFileSync(at("key.pub"), key.publicPem);
  writeFileSync(at("stranger.pub"), stranger.publicPem);
  const mediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
  const empty = { mediaType, tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] };
  writeFileSync(at("root.json"), JSON.stringify(empty));
  const options = "--insecure-ignore-tlog --allow-http-registry --allow-insecure-registry";
  const verify = (pub: string, rest: string) => run(`cosign verify --key ${pub} ${options} ${rest}`);
  const image = `${registry.host}/owner/secai-os:1.0`;
  await verify("key.pub", image);
  await verify("key.pub", `--local-image ${served}`);
  await verify("key.pub", `--new-bundle-format --trusted-root root.json ${image}`);
  for (const rest of [image, `--local-image ${served}`, `--new-bundle-format --trusted-root root.json ${image}`])
    await expect(verify("stranger.pub", rest)).rejects.toThrow(/signature/i);
});
