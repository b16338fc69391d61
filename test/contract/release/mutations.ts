import { linkSync, mkdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type Sha256, sha256 } from "@secai/formats/digest";
import type { Statement } from "@secai/formats/statement";
import { initrdPcr } from "@secai/measure/initrd";
import type { SigningKey } from "@secai/sign/key-file";
import { signBlob, signStatement } from "@secai/sign/sign";
import type { VerifyPolicy } from "@secai/verify/release-policy";
import { edit, type Mutable, namesIn, read, remove, reseal, resealChecksums, restate, set, setIn, write } from "./forge.ts";

export interface Scene {
  /** The release to spoil: a fresh copy for each mutation. */
  readonly dir: string;
  /** Another genuine release of the same key, with another version. */
  readonly older: string;
  /** The key that the verifier trusts, in the hands of somebody who errs. */
  readonly key: SigningKey;
  /** The key of somebody else. */
  readonly stranger: SigningKey;
}

export interface Mutation {
  readonly name: string;
  /** Checks (with their subject, where one is meant) that must be among those that fail. */
  readonly fails: readonly string[];
  /** The code that the first of them must give. */
  readonly code?: string;
  /** What the verifier expects beside the fixture's policy. */
  readonly policy?: Partial<VerifyPolicy>;
  /** Whose key the verifier trusts instead of the release's own. */
  readonly trust?: "stranger";
  readonly apply: (scene: Scene) => void | Promise<void>;
}

const SUMS = "SHA256SUMS";
const SUMS_BUNDLE = "SHA256SUMS.sigstore.json";
const MANIFEST = "RELEASE_MANIFEST.json";
const PROVENANCE = "provenance.intoto.json";
const PROVENANCE_BUNDLE = `${PROVENANCE}.sigstore.json`;
const MEASUREMENTS = "measurements.json";
const MEASUREMENTS_BUNDLE = `${MEASUREMENTS}.sigstore.json`;
const SBOM = "sbom/image.cdx.json";
const SBOM_BUNDLE = `${SBOM}.sigstore.json`;

const lines = (text: string) => text.trimEnd().split("\n");
const joined = (all: readonly string[]) => `${all.join("\n")}\n`;

/** What lies in the directory. */
const layout: readonly Mutation[] = [
  { name: "an unknown file", fails: ["layout.closed-world:extra.txt"], apply: ({ dir }) => write(dir, "extra.txt", "x") },
  {
    name: "an unlisted service",
    fails: ["layout.closed-world:services/x.mjs", "manifest.files:services/x.mjs"],
    apply: ({ dir }) => write(dir, "services/x.mjs", "x"),
  },
  {
    name: "an unlisted service SBOM",
    fails: ["layout.closed-world:sbom/x.cdx.json", "sbom.shape:sbom/x.cdx.json"],
    apply: ({ dir }) => write(dir, "sbom/x.cdx.json", "{}"),
  },
  { name: "a hidden file", fails: ["layout.closed-world:.hidden"], apply: ({ dir }) => write(dir, ".hidden", "x") },
  { name: "a name that looks like an option", fails: ["layout.closed-world:-rf"], apply: ({ dir }) => write(dir, "-rf", "x") },
  { name: "a name with a newline", fails: ["layout.closed-world:a\nb"], apply: ({ dir }) => write(dir, "a\nb", "x") },
  {
    name: "a name with a Cyrillic look-alike",
    fails: ["layout.closed-world:uki.еfi"],
    apply: ({ dir }) => write(dir, "uki.еfi", "x"),
  },
  {
    name: "a name that differs in letter case",
    fails: ["layout.closed-world:UKI.efi", "layout.closed-world:uki.efi"],
    apply: ({ dir }) => write(dir, "UKI.efi", "x"),
  },
  { name: "an empty directory", fails: ["layout.closed-world:empty/"], apply: ({ dir }) => mkdirSync(join(dir, "empty")) },
  {
    name: "a directory too deep",
    fails: ["layout.closed-world:a/b/c/d"],
    apply: ({ dir }) => mkdirSync(join(dir, "a/b/c/d/e"), { recursive: true }),
  },
  {
    name: "a directory in place of a file",
    fails: ["layout.closed-world:uki.efi"],
    apply: ({ dir }) => {
      remove(dir, "uki.efi");
      mkdirSync(join(dir, "uki.efi"));
    },
  },
  {
    name: "a symbolic link to the same content",
    fails: ["layout.closed-world:uki.efi", "files.digest:uki.efi"],
    apply: ({ dir, older }) => {
      remove(dir, "uki.efi");
      symlinkSync(join(older, "uki.efi"), join(dir, "uki.efi"));
    },
  },
  {
    name: "a symbolic link in place of a directory",
    fails: ["layout.closed-world:services"],
    apply: ({ dir, older }) => {
      renameSync(join(dir, "services"), join(dir, "..", "gone"));
      symlinkSync(join(older, "services"), join(dir, "services"));
    },
  },
  {
    name: "two names of one file",
    fails: ["layout.closed-world:uki.efi", "files.digest:services/policy-engine.mjs"],
    apply: ({ dir }) => {
      remove(dir, "services/policy-engine.mjs");
      linkSync(join(dir, "uki.efi"), join(dir, "services/policy-engine.mjs"));
    },
  },
  {
    name: "an oversized SHA256SUMS",
    fails: ["layout.closed-world:SHA256SUMS"],
    apply: ({ dir }) => write(dir, SUMS, Buffer.alloc((1 << 20) + 1)),
  },
  {
    name: "an oversized public key",
    fails: ["layout.closed-world:keys/release.pub"],
    apply: ({ dir }) => write(dir, "keys/release.pub", Buffer.alloc(5000)),
  },
];

/** Any file that goes is missed, and by name. */
const removals = (names: readonly string[]): readonly Mutation[] =>
  names.map((name) => ({ name: `no ${name}`, fails: [`layout.closed-world:${name}`], apply: ({ dir }) => remove(dir, name) }));

const checksums: readonly Mutation[] = [
  {
    name: "checksums without their last line",
    fails: ["checksums.signature"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => joined(lines(text).slice(0, -1))),
  },
  { name: "empty checksums", fails: ["checksums.signature", "checksums.format"], apply: ({ dir }) => write(dir, SUMS, "") },
  {
    name: "checksums cut in the middle of a line",
    fails: ["checksums.signature", "checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => text.slice(0, -10)),
  },
  {
    name: "checksums in another order",
    fails: ["checksums.signature", "checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => joined(lines(text).reverse())),
  },
  {
    name: "checksums with a line twice",
    fails: ["checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => joined([lines(text)[0] ?? "", ...lines(text)])),
  },
  {
    name: "checksums with Windows line ends",
    fails: ["checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => text.replaceAll("\n", "\r\n")),
  },
  {
    name: "checksums in binary mode",
    fails: ["checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => text.replaceAll("  ", " *")),
  },
  {
    name: "a comment in the checksums",
    fails: ["checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => `# fine\n${text}`),
  },
  {
    name: "a path out of the directory",
    fails: ["checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => text.replace("uki.efi", "../uki.efi")),
  },
  {
    name: "an absolute path",
    fails: ["checksums.format"],
    apply: ({ dir }) => edit(dir, SUMS, (text) => text.replace("uki.efi", "/etc/passwd")),
  },
  {
    name: "an entry for the list itself",
    fails: ["checksums.format"],
    apply: ({ dir, key }) => {
      edit(dir, SUMS, (text) =>
        joined([...lines(text), `${"0".repeat(64)}  ${SUMS}`].sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1))),
      );
      write(dir, SUMS_BUNDLE, signBlob(read(dir, SUMS), key));
    },
  },
  {
    name: "a signed entry for a file that is not there",
    fails: ["layout.closed-world:services/ghost.mjs", "files.digest:services/ghost.mjs"],
    apply: ({ dir, key }) => {
      write(dir, "services/ghost.mjs", "x");
      resealChecksums(dir, key);
      remove(dir, "services/ghost.mjs");
    },
  },
  {
    name: "checksums resealed by a stranger",
    fails: ["checksums.signature"],
    apply: ({ dir, stranger }) => resealChecksums(dir, stranger),
  },
  {
    name: "a stranger's whole release",
    fails: ["keys.release", "checksums.signature", "provenance.signature", "measurements.signature", "sbom.signature"],
    apply: async ({ dir, stranger }) => {
      write(dir, "keys/release.pub", stranger.publicPem);
      for (const file of [PROVENANCE, MEASUREMENTS, SBOM]) await restate(dir, file, stranger, () => {});
      reseal(dir, stranger, { keyFingerprint: stranger.fingerprint });
    },
  },
  {
    name: "a stranger's key beside genuine signatures",
    fails: ["keys.release", "files.digest:keys/release.pub"],
    apply: ({ dir, stranger }) => write(dir, "keys/release.pub", stranger.publicPem),
  },
  {
    name: "text before the public key",
    fails: ["keys.release"],
    apply: ({ dir }) => edit(dir, "keys/release.pub", (pem) => `trust me\n${pem}`),
  },
  {
    name: "another fingerprint in the manifest",
    fails: ["keys.release"],
    apply: ({ dir, key, stranger }) => reseal(dir, key, { keyFingerprint: stranger.fingerprint }),
  },
];

const bundles: readonly Mutation[] = [
  {
    name: "a bundle with spare white space",
    fails: [`bundle.canonical:${SUMS_BUNDLE}`],
    apply: ({ dir }) => edit(dir, SUMS_BUNDLE, (text) => `${text}\n`),
  },
  {
    name: "a bundle without its newline",
    fails: [`bundle.canonical:${SUMS_BUNDLE}`],
    apply: ({ dir }) => edit(dir, SUMS_BUNDLE, (text) => text.trimEnd()),
  },
  {
    name: "a bundle with an unknown member",
    fails: [`bundle.canonical:${SUMS_BUNDLE}`],
    apply: ({ dir }) => setIn(dir, SUMS_BUNDLE, "x", 1),
  },
  {
    name: "a bundle of version 0.2",
    fails: [`bundle.canonical:${SUMS_BUNDLE}`],
    apply: ({ dir }) => setIn(dir, SUMS_BUNDLE, "mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.2"),
  },
  {
    name: "a bundle with a log entry nobody checks",
    fails: [`bundle.canonical:${SUMS_BUNDLE}`],
    apply: ({ dir }) => setIn(dir, SUMS_BUNDLE, "verificationMaterial/tlogEntries", [{ logIndex: "1" }]),
  },
  {
    name: "a bundle with a certificate in place of a key",
    fails: [`bundle.canonical:${SUMS_BUNDLE}`],
    apply: ({ dir }) => setIn(dir, SUMS_BUNDLE, "verificationMaterial", { certificate: { rawBytes: "AAAA" } }),
  },
  {
    name: "a hint of another key",
    fails: ["checksums.signature"],
    apply: ({ dir, stranger }) =>
      setIn(dir, SUMS_BUNDLE, "verificationMaterial/publicKey/hint", Buffer.from(stranger.fingerprint, "hex").toString("base64")),
  },
  {
    name: "an empty signature",
    fails: ["checksums.signature"],
    apply: ({ dir }) => setIn(dir, SUMS_BUNDLE, "messageSignature/signature", ""),
  },
  {
    name: "a signature with bits after its end",
    fails: [`bundle.canonical:${SUMS_BUNDLE}`],
    apply: ({ dir }) => edit(dir, SUMS_BUNDLE, (text) => text.replace(/=="}/, 'A="}').replace(/([A-Za-z0-9+/])="}/, '$1"}')),
  },
  {
    name: "the digest of another file in the bundle",
    fails: ["checksums.signature"],
    apply: ({ dir }) =>
      setIn(dir, SUMS_BUNDLE, "messageSignature/messageDigest/digest", Buffer.from(sha256("x"), "hex").toString("base64")),
  },
  {
    name: "a statement where a file's signature belongs",
    fails: ["checksums.signature"],
    apply: ({ dir }) => write(dir, SUMS_BUNDLE, read(dir, SBOM_BUNDLE)),
  },
  {
    name: "a file's signature where a statement belongs",
    fails: ["provenance.signature"],
    apply: ({ dir, key }) => {
      write(dir, PROVENANCE_BUNDLE, signBlob(read(dir, PROVENANCE), key));
      reseal(dir, key);
    },
  },
  {
    name: "a key id in the envelope",
    fails: [`bundle.canonical:${PROVENANCE_BUNDLE}`],
    apply: ({ dir, key }) => {
      const bundle = JSON.parse(read(dir, PROVENANCE_BUNDLE).toString()) as Mutable;
      set(bundle, "dsseEnvelope/signatures/0/keyid", "me");
      setIn(dir, PROVENANCE_BUNDLE, "dsseEnvelope", bundle.dsseEnvelope);
      reseal(dir, key);
    },
  },
  {
    name: "two signatures in the envelope",
    fails: [`bundle.canonical:${PROVENANCE_BUNDLE}`],
    apply: ({ dir, key }) => {
      const { dsseEnvelope } = JSON.parse(read(dir, PROVENANCE_BUNDLE).toString()) as { dsseEnvelope: { signatures: unknown[] } };
      setIn(dir, PROVENANCE_BUNDLE, "dsseEnvelope/signatures", [...dsseEnvelope.signatures, ...dsseEnvelope.signatures]);
      reseal(dir, key);
    },
  },
  {
    name: "another payload type",
    fails: ["provenance.signature"],
    apply: ({ dir, key }) => {
      setIn(dir, PROVENANCE_BUNDLE, "dsseEnvelope/payloadType", "application/json");
      reseal(dir, key);
    },
  },
  {
    name: "provenance and SBOM bundles exchanged",
    fails: ["provenance.statement", `sbom.subject:${SBOM}`],
    apply: ({ dir, key }) => {
      const [one, two] = [read(dir, PROVENANCE_BUNDLE), read(dir, SBOM_BUNDLE)];
      write(dir, PROVENANCE_BUNDLE, two);
      write(dir, SBOM_BUNDLE, one);
      reseal(dir, key);
    },
  },
  {
    name: "provenance and measurements bundles exchanged",
    fails: ["provenance.statement", `measurements.subject:${MEASUREMENTS}`],
    apply: ({ dir, key }) => {
      const [one, two] = [read(dir, PROVENANCE_BUNDLE), read(dir, MEASUREMENTS_BUNDLE)];
      write(dir, PROVENANCE_BUNDLE, two);
      write(dir, MEASUREMENTS_BUNDLE, one);
      reseal(dir, key);
    },
  },
  ...[
    { file: PROVENANCE, check: "provenance.signature" },
    { file: MEASUREMENTS, check: "measurements.signature" },
    { file: SBOM, check: "sbom.signature" },
  ].map(
    ({ file, check }): Mutation => ({
      name: `${file} signed by a stranger, the rest genuine`,
      fails: [check],
      apply: async ({ dir, key, stranger }) => {
        await restate(dir, file, stranger, () => {});
        reseal(dir, key);
      },
    }),
  ),
];

const replays: readonly Mutation[] = [
  ...[SUMS, SUMS_BUNDLE, MANIFEST, PROVENANCE, PROVENANCE_BUNDLE, MEASUREMENTS, MEASUREMENTS_BUNDLE].map(
    (name): Mutation => ({
      name: `${name} of an older release`,
      fails: [name === SUMS || name === SUMS_BUNDLE ? "checksums.signature" : `files.digest:${name}`],
      apply: ({ dir, older }) => write(dir, name, read(older, name)),
    }),
  ),
  {
    name: "checksums and their signature of an older release",
    fails: [`files.digest:${MANIFEST}`],
    apply: ({ dir, older }) => {
      for (const name of [SUMS, SUMS_BUNDLE]) write(dir, name, read(older, name));
    },
  },
  {
    name: "a whole older release",
    fails: ["release.identity"],
    apply: ({ dir, older }) => {
      for (const name of namesIn(older)) write(dir, name, read(older, name));
    },
  },
];

/** Signed by the trusted key, and still wrong: contents are read, not only signatures. */
const insiders: readonly Mutation[] = [
  {
    name: "a manifest of schema 2",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "schema_version", 2),
  },
  {
    name: "a manifest whose schema is a string",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "schema_version", "3"),
  },
  {
    name: "a manifest with an unknown member",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "note", "x"),
  },
  {
    name: "a manifest without designation",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "designation", undefined),
  },
  {
    name: "a manifest with another image digest",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "image/digest", `sha256:${"0".repeat(64)}`),
  },
  {
    name: "a manifest that hides a service",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "binaries", []),
  },
  {
    name: "a manifest with another size",
    fails: ["manifest.files:IMAGE_DIGEST"],
    apply: ({ dir, key }) => remanifest(dir, key, "files/0/size", 1),
  },
  {
    name: "a manifest with another role",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "files/0/role", "service"),
  },
  {
    name: "a manifest that calls the disk absent",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "absent", [{ name: "disk.raw.zst", reason: "too big" }]),
  },
  {
    name: "a manifest that calls the kernel image absent",
    fails: ["layout.closed-world:uki.efi"],
    apply: ({ dir, key }) => {
      remove(dir, "uki.efi");
      reseal(dir, key, { absent: [{ name: "uki.efi", reason: "too big" }] });
    },
  },
  {
    name: "a manifest with a date that is none",
    fails: ["manifest.shape"],
    apply: ({ dir, key }) => remanifest(dir, key, "build/timestamp", "2026-02-31T00:00:00Z"),
  },
  ...(
    [
      ["an untrusted builder", "provenance.builder", "predicate/runDetails/builder/id", "urn:somebody:else"],
      ["another build type", "provenance.statement", "predicate/buildDefinition/buildType", "urn:other"],
      ["an unknown member in the provenance", "provenance.statement", "predicate/x", 1],
      ["provenance without dependencies", "provenance.statement", "predicate/buildDefinition/resolvedDependencies", []],
      ["provenance of another recipe", "release.identity", "predicate/buildDefinition/externalParameters/recipe/name", "other"],
      ["provenance of another version", "release.identity", "predicate/buildDefinition/externalParameters/version", "9.9.9"],
      [
        "provenance of another designation",
        "release.designation",
        "predicate/buildDefinition/externalParameters/designation",
        "stable",
      ],
      ["provenance of another predicate type", "provenance.statement", "predicateType", "https://slsa.dev/provenance/v0.2"],
      [
        "a recipe that is not among the dependencies",
        "provenance.dependencies",
        "predicate/buildDefinition/externalParameters/recipe/sha256",
        "0".repeat(64),
      ],
      [
        "an output among the dependencies",
        "provenance.dependencies",
        "predicate/buildDefinition/resolvedDependencies/0/digest/sha256",
        sha256("a boot loader\n"),
      ],
      [
        "a build that ends before it starts",
        "provenance.statement",
        "predicate/runDetails/metadata/finishedOn",
        "2025-01-01T00:00:00Z",
      ],
      ["another digest for a subject", "provenance.subject:IMAGE", "subject/0/digest/sha256", "0".repeat(64)],
      ["a subject that is no file", "provenance.subject:ghost", "subject/0/name", "ghost"],
    ] as const
  ).map(
    ([name, check, path, value]): Mutation => ({
      name,
      fails: [check === "provenance.subject:IMAGE" ? "provenance.subject:ROOT_HASH" : check],
      apply: ({ dir, key }) => restate(dir, PROVENANCE, key, (statement) => set(statement, path, value)),
    }),
  ),
  {
    name: "a built file that the provenance forgets",
    fails: ["provenance.subject:uki.efi"],
    apply: ({ dir, key }) =>
      restate(dir, PROVENANCE, key, (statement) => {
        statement.subject = (statement.subject as { name: string }[]).filter(({ name }) => name !== "uki.efi");
      }),
  },
  {
    name: "signed provenance that is not the one in the release",
    fails: ["provenance.statement"],
    apply: async ({ dir, key }) => {
      const statement = JSON.parse(read(dir, PROVENANCE).toString()) as Statement;
      set(statement, "predicate/runDetails/metadata/invocationId", "2");
      write(dir, PROVENANCE_BUNDLE, await signStatement(statement, key));
      reseal(dir, key);
    },
  },
  {
    name: "a stable release built with drift",
    fails: ["release.designation"],
    code: "DRIFT_REFUSED",
    policy: { designations: ["stable"] },
    apply: async ({ dir, key }) => {
      await restate(dir, PROVENANCE, key, (statement) =>
        set(statement, "predicate/buildDefinition/internalParameters/drift", ["bash"]),
      );
      await redesignate(dir, key, "stable");
    },
  },
  {
    name: "measurements of another root",
    fails: ["image.root-hash"],
    apply: ({ dir, key }) =>
      remeasure(dir, key, (document) => {
        const other = sha256("other");
        document.commandLine = String(document.commandLine).replace(String(document.rootHash), other);
        document.rootHash = other;
        set(document, "pcrs/sha256/9", initrdPcr(String(document.commandLine), document.initrd as Sha256));
      }),
  },
  {
    name: "measurements of another kernel image",
    fails: ["measurements.files"],
    apply: ({ dir, key }) => remeasure(dir, key, (document) => set(document, "uki/sha256", sha256("other"))),
  },
  {
    name: "measurements with an unknown member",
    fails: ["measurements.files"],
    apply: ({ dir, key }) => remeasure(dir, key, (document) => set(document, "note", "x")),
  },
  {
    name: "measurements of another designation",
    fails: ["release.designation"],
    apply: ({ dir, key }) => remeasure(dir, key, (document) => set(document, "designation", "stable")),
  },
  {
    name: "signed measurements that are not the ones in the release",
    fails: [`measurements.subject:${MEASUREMENTS}`],
    apply: ({ dir, key }) =>
      restate(dir, MEASUREMENTS, key, (statement) => set(statement, "predicate/pcrs/sha256/4", "0".repeat(64))),
  },
  {
    name: "measurements about another disk",
    fails: ["measurements.subject:disk.raw.zst"],
    apply: ({ dir, key }) =>
      restate(dir, MEASUREMENTS, key, (statement) => set(statement, "subject/0/digest/sha256", "0".repeat(64))),
  },
  {
    name: "measurements under another predicate type",
    fails: [`measurements.subject:${MEASUREMENTS}`],
    apply: ({ dir, key }) => restate(dir, MEASUREMENTS, key, (statement) => set(statement, "predicateType", "urn:other")),
  },
  {
    name: "a signed SBOM that is not the one in the release",
    fails: [`sbom.subject:${SBOM}`],
    apply: ({ dir, key }) => restate(dir, SBOM, key, (statement) => set(statement, "predicate/components", [])),
  },
  {
    name: "an SBOM about another disk",
    fails: ["sbom.subject:disk.raw.zst"],
    apply: ({ dir, key }) => restate(dir, SBOM, key, (statement) => set(statement, "subject/0/digest/sha256", "0".repeat(64))),
  },
  {
    name: "an SBOM that is none",
    fails: ["sbom.shape:sbom/policy-engine.cdx.json"],
    apply: ({ dir, key }) => {
      write(dir, "sbom/policy-engine.cdx.json", '{"spdxVersion":"SPDX-2.3"}');
      reseal(dir, key);
    },
  },
  {
    name: "a service without SBOM",
    fails: ["sbom.shape:services/policy-engine.mjs"],
    apply: ({ dir, key }) => {
      remove(dir, "sbom/policy-engine.cdx.json");
      reseal(dir, key);
    },
  },
  {
    name: "an image digest of something else",
    fails: ["image.digest"],
    apply: ({ dir, key }) => {
      write(dir, "IMAGE_DIGEST", `sha256:${"0".repeat(64)}\n`);
      reseal(dir, key);
    },
  },
  {
    name: "a root hash without its newline",
    fails: ["image.root-hash"],
    apply: ({ dir, key }) => {
      edit(dir, "ROOT_HASH", (text) => text.trimEnd());
      reseal(dir, key);
    },
  },
  {
    name: "another root hash",
    fails: ["image.root-hash"],
    apply: ({ dir, key }) => {
      write(dir, "ROOT_HASH", `${"0".repeat(64)}\n`);
      reseal(dir, key);
    },
  },
  {
    name: "a designation the policy does not allow",
    fails: ["release.designation"],
    apply: ({ dir, key }) => redesignate(dir, key, "candidate"),
  },
];

function remanifest(dir: string, key: SigningKey, path: string, value: unknown): void {
  setIn(dir, MANIFEST, path, value);
  resealChecksums(dir, key);
}

async function remeasure(dir: string, key: SigningKey, change: (document: Mutable) => void): Promise<void> {
  await restate(dir, MEASUREMENTS, key, (statement) => {
    change(statement.predicate as Mutable);
  });
  const document = JSON.parse(read(dir, MEASUREMENTS).toString()) as Mutable;
  change(document);
  for (const [member, value] of Object.entries(document)) setIn(dir, MEASUREMENTS, member, value);
  reseal(dir, key);
}

async function redesignate(dir: string, key: SigningKey, designation: "candidate" | "stable"): Promise<void> {
  await restate(dir, PROVENANCE, key, (statement) =>
    set(statement, "predicate/buildDefinition/externalParameters/designation", designation),
  );
  await remeasure(dir, key, (document) => set(document, "designation", designation));
  reseal(dir, key, { designation });
}

export const mutationsOf = (names: readonly string[]): readonly Mutation[] => [
  ...layout,
  ...removals(names),
  ...checksums,
  ...bundles,
  ...replays,
  ...insiders,
];
