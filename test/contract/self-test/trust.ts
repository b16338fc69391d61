import { canonicalJson } from "@secai/formats/canonical-json";
import { sha256 } from "@secai/formats/digest";
import { keyManifestStatement } from "@secai/formats/key-manifest";
import { bundleOf, CHANNEL_FILE, furtherBundleOf, isSignedFile, KEY_MANIFEST_FILE, roleOf } from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { statementBytes } from "@secai/formats/statement";
import type { SigningKey } from "@secai/sign/key-file";
import { signBlob } from "@secai/sign/sign";
import type { PolicyFile } from "@secai/verify/policy-file";
import { type Mutable, namesIn, read, remove, set, signPayload, statementIn, write } from "../release/forge.ts";
import { type Apply, changed, edited, made, remake, replaced } from "./edits.ts";
import { policyArgs, strictPolicy } from "./policies.ts";
import { type Case, input, RELEASE_ARGS, type SelfTestScene } from "./scene.ts";

// Whose signatures count, and for how long a release may be believed to be the current one: key manifests, thresholds, channel files.

const HISTORY = "keys/history/1.json";
const CHECKSUMS = "SHA256SUMS";
const SOON = "2036-01-01T00:00:00Z";
const trustCase = (name: string, fails: readonly string[], apply: Apply, rest: Partial<Case> = {}): Case => {
  const code = codes[name];
  return { name: `trust: ${name}`, fails, apply, ...(code !== undefined && { code }), ...rest };
};

/** Why a chain of key manifests is refused, where several reasons end in the same check. */
const codes: Readonly<Record<string, string>> = {
  "a key manifest with an unknown member": "SCHEMA_MISMATCH",
  "a key manifest that a stranger signed": "TRUST_THRESHOLD",
  "a key manifest that a stranger signed too": "KEY_UNTRUSTED",
  "a second manifest that its predecessor did not sign": "TRUST_THRESHOLD",
  "a second manifest that its own root did not sign": "TRUST_THRESHOLD",
  "a second manifest of another predecessor": "TRUST_CHAIN_BROKEN",
  "a third manifest after the first": "TRUST_VERSION_GAP",
  "a second manifest issued before the first": "KEY_NOT_YET_VALID",
  "the first manifest under another name": "TRUST_LINK_NAME",
  "a chain that begins after what is trusted": "TRUST_NO_ANCHOR",
  "a revocation that was taken back": "TRUST_UNREVOKED",
  "the trusted key revoked by its successor": "KEY_REVOKED",
  "a key manifest of somebody else's, handed over": "TRUST_FORK",
  "keys that are no longer valid": "KEY_EXPIRED",
  "keys that are not valid yet": "KEY_NOT_YET_VALID",
};

/** A key as a manifest names it. */
export const entryOf = (key: SigningKey, from: string) => ({
  algorithm: key.algorithm,
  publicKey: key.publicPem,
  validFrom: from,
  validUntil: SOON,
});

/** What a key manifest says, in reach of those who change it. */
interface Manifest {
  readonly document: Mutable;
  add(key: SigningKey): void;
  role(name: string, threshold: number, ...keys: readonly SigningKey[]): void;
}

function open(dir: string): Manifest {
  const document = JSON.parse(read(dir, KEY_MANIFEST_FILE).toString()) as Mutable;
  return {
    document,
    add: (key) => set(document, `keys/${key.fingerprint}`, entryOf(key, String(document.issued))),
    role: (name, threshold, ...keys) =>
      set(document, `roles/${name}`, { threshold, keys: keys.map(({ fingerprint }) => fingerprint) }),
  };
}

/** Puts a key manifest into the release, signed by these; the channel file follows. */
async function install(scene: SelfTestScene, document: Mutable, signers: readonly SigningKey[]): Promise<void> {
  const { dir } = scene;
  const bytes = Buffer.from(`${canonicalJson(document)}\n`);
  write(dir, KEY_MANIFEST_FILE, bytes);
  const payload = statementOfManifest(bytes);
  signers.forEach((key, index) => {
    const name = index === 0 ? bundleOf(KEY_MANIFEST_FILE) : furtherBundleOf(KEY_MANIFEST_FILE, key.fingerprint.slice(0, 16));
    write(dir, name, signPayload(payload, key));
  });
  await remake(scene, {
    [CHANNEL_FILE]: changed(dir, CHANNEL_FILE, (channel) =>
      set(channel, "keys", { version: document.version, sha256: sha256(bytes) }),
    ),
  });
}

/** The statement about a manifest, also one that no reader takes. */
function statementOfManifest(bytes: Buffer): Buffer {
  const template = { ...keyManifestStatement(readable), predicate: JSON.parse(bytes.toString()) as unknown };
  return statementBytes({ ...template, subject: [{ name: KEY_MANIFEST_FILE, digest: { sha256: sha256(bytes) } }] });
}
let readable: Buffer = Buffer.alloc(0);

/** The same manifest with something changed, as if it had always been so. */
const first =
  (
    change: (manifest: Manifest, scene: SelfTestScene) => void,
    signers: (scene: SelfTestScene) => readonly SigningKey[] = ({ key }) => [key],
  ): Apply =>
  async (scene) => {
    readable = read(scene.dir, KEY_MANIFEST_FILE);
    const manifest = open(scene.dir);
    change(manifest, scene);
    await install(scene, manifest.document, signers(scene));
  };

/** A second manifest after the first, which goes to the history. */
const second =
  (
    change: (manifest: Manifest, scene: SelfTestScene) => void,
    signers: (scene: SelfTestScene) => readonly SigningKey[] = ({ key }) => [key],
  ): Apply =>
  async (scene) => {
    const { dir } = scene;
    const before = read(dir, KEY_MANIFEST_FILE);
    readable = before;
    const bundle = read(dir, bundleOf(KEY_MANIFEST_FILE));
    const manifest = open(dir);
    set(manifest.document, "version", 2);
    set(manifest.document, "predecessor", { version: 1, sha256: sha256(before) });
    change(manifest, scene);
    await remake(scene, { [HISTORY]: before });
    write(dir, bundleOf(HISTORY), bundle);
    await install(scene, manifest.document, signers(scene));
  };

/** Each signed file of these roles once more, by another key. */
function cosign({ dir }: SelfTestScene, signer: SigningKey, roles: readonly string[]): void {
  const tag = signer.fingerprint.slice(0, 16);
  for (const file of namesIn(dir).filter((name) => isSignedFile(name) && roles.includes(statementOf(name)?.signer ?? ""))) {
    const payload = Buffer.from(`${canonicalJson(statementIn(dir, file))}\n`);
    write(dir, furtherBundleOf(file, tag), signPayload(payload, signer));
  }
  if (roles.includes("release")) write(dir, furtherBundleOf(CHECKSUMS, tag), signBlob(read(dir, CHECKSUMS), signer));
}

const chain: readonly Case[] = [
  trustCase(
    "a key manifest with an unknown member",
    ["keys.chain"],
    first(({ document }) => set(document, "note", "x")),
  ),
  trustCase(
    "a key under another fingerprint",
    ["keys.chain"],
    first(({ document }, { stranger }) => set(document, `keys/${"0".repeat(64)}`, entryOf(stranger, String(document.issued)))),
  ),
  trustCase(
    "a role of a key that is not there",
    ["keys.chain"],
    first(({ document }) => set(document, "roles/image/keys", ["0".repeat(64)])),
  ),
  trustCase(
    "a role that needs nobody",
    ["keys.chain"],
    first(({ document }) => set(document, "roles/release/threshold", 0)),
  ),
  trustCase(
    "a role that needs more than it has",
    ["keys.chain"],
    first(({ document }) => set(document, "roles/release/threshold", 2)),
  ),
  trustCase(
    "an RSA key to sign files",
    ["keys.chain"],
    first(({ document }) =>
      set(document, "roles/release/keys", (document.roles as Mutable & { pcr: { keys: unknown } }).pcr.keys),
    ),
  ),
  trustCase(
    "a key manifest that a stranger signed",
    ["keys.chain"],
    first(
      () => {},
      ({ stranger }) => [stranger],
    ),
  ),
  trustCase(
    "a key manifest that a stranger signed too",
    ["keys.chain"],
    first(
      () => {},
      ({ key, stranger }) => [key, stranger],
    ),
  ),
  trustCase(
    "a root role that a stranger joined",
    ["keys.chain"],
    first((manifest, { key, stranger }) => {
      manifest.add(stranger);
      manifest.role("root", 2, key, stranger);
    }),
  ),
  trustCase(
    "a second manifest that its predecessor did not sign",
    ["keys.chain"],
    second(
      (manifest, { stranger }) => {
        manifest.add(stranger);
        manifest.role("root", 1, stranger);
      },
      ({ stranger }) => [stranger],
    ),
  ),
  trustCase(
    "a second manifest that its own root did not sign",
    ["keys.chain"],
    second((manifest, { stranger }) => {
      manifest.add(stranger);
      manifest.role("root", 1, stranger);
    }),
  ),
  trustCase(
    "a second manifest of another predecessor",
    ["keys.chain"],
    second(({ document }) => set(document, "predecessor/sha256", "0".repeat(64))),
  ),
  trustCase(
    "a third manifest after the first",
    ["keys.chain"],
    second(({ document }) => {
      set(document, "version", 3);
      set(document, "predecessor/version", 2);
    }),
  ),
  trustCase(
    "a second manifest issued before the first",
    ["keys.chain"],
    second(({ document }) => set(document, "issued", "2020-01-01T00:00:00Z")),
  ),
  trustCase("the first manifest under another name", ["keys.chain"], async (scene) => {
    await second(() => {})(scene);
    const { dir } = scene;
    const files = { [HISTORY]: undefined, "keys/history/7.json": read(dir, HISTORY) };
    const bundle = read(dir, bundleOf(HISTORY));
    await remake(scene, files);
    write(dir, bundleOf("keys/history/7.json"), bundle);
    await remake(scene, {});
  }),
  trustCase("a chain that begins after what is trusted", ["keys.chain"], async (scene) => {
    await second(
      (manifest, { key, stranger }) => {
        manifest.add(stranger);
        manifest.role("root", 1, stranger);
        manifest.role("release", 1, key);
      },
      ({ key, stranger }) => [stranger, key],
    )(scene);
    remove(scene.dir, bundleOf(HISTORY));
    await remake(scene, { [HISTORY]: undefined });
  }),
  trustCase("a revocation that was taken back", ["keys.chain"], async (scene) => {
    await first(({ document }, { stranger }) =>
      set(document, "revoked", [{ fingerprint: stranger.fingerprint, at: document.issued, reason: "lost" }]),
    )(scene);
    await second(({ document }) => set(document, "revoked", []))(scene);
  }),
  trustCase(
    "the trusted key revoked by its successor",
    ["keys.chain"],
    second(
      (manifest, { key, stranger }) => {
        manifest.add(stranger);
        for (const role of ["root", "release", "image", "channel"]) manifest.role(role, 1, stranger);
        set(manifest.document, `keys/${key.fingerprint}`, undefined);
        set(manifest.document, "revoked", [{ fingerprint: key.fingerprint, at: manifest.document.issued, reason: "lost" }]);
      },
      ({ key, stranger }) => [stranger, key],
    ),
  ),
  trustCase(
    "a key manifest of somebody else's, handed over",
    ["keys.chain"],
    ({ dir, inputs }) =>
      write(
        inputs,
        "keys.json",
        changed(dir, KEY_MANIFEST_FILE, (document) =>
          set(document, "revoked", [{ fingerprint: "0".repeat(64), at: document.issued, reason: "x" }]),
        ),
      ),
    { args: ["release", "@/release", "--at", "{at}", "--key-manifest", "@/inputs/keys.json", "--designation", "dev"] },
  ),
  trustCase(
    "keys that are no longer valid",
    ["keys.chain"],
    first(({ document }, { key }) => {
      set(document, `keys/${key.fingerprint}/validFrom`, "2020-01-01T00:00:00Z");
      set(document, `keys/${key.fingerprint}/validUntil`, "2021-01-01T00:00:00Z");
    }),
  ),
  trustCase(
    "keys that are not valid yet",
    ["keys.chain"],
    first(({ document }, { key }) => set(document, `keys/${key.fingerprint}/validFrom`, "2035-01-01T00:00:00Z")),
  ),
];

const roles: readonly Case[] = [
  trustCase(
    "one signature where two are needed",
    ["keys.threshold"],
    first((manifest, { key, stranger }) => {
      manifest.add(stranger);
      manifest.role("release", 2, key, stranger);
    }),
  ),
  trustCase("one key's signature twice where two are needed", ["keys.threshold"], async (scene) => {
    await first((manifest, { key, stranger }) => {
      manifest.add(stranger);
      manifest.role("release", 2, key, stranger);
    })(scene);
    cosign(scene, scene.key, ["release"]);
  }),
  trustCase(
    "a channel file by a key of another role",
    [`channel.signature:${CHANNEL_FILE}`],
    first((manifest, { stranger }) => {
      manifest.add(stranger);
      manifest.role("channel", 1, stranger);
    }),
  ),
  trustCase(
    "statements by a key of another role",
    ["checksums.signature", "provenance.signature", "measurements.signature"],
    first((manifest, { stranger }) => {
      manifest.add(stranger);
      manifest.role("release", 1, stranger);
    }),
  ),
  trustCase("a signature by a revoked key", ["keys.revocation", "bundle.signer"], async (scene) => {
    await first(({ document }, { stranger }) =>
      set(document, "revoked", [{ fingerprint: stranger.fingerprint, at: document.issued, reason: "lost" }]),
    )(scene);
    cosign(scene, scene.stranger, ["release"]);
  }),
  trustCase("a second signature by nobody in particular", ["bundle.signer"], (scene) =>
    cosign(scene, scene.stranger, ["release"]),
  ),
  trustCase(
    "one algorithm where both are asked for",
    ["keys.threshold"],
    (scene) => input(scene, "policy.json", { ...strictPolicy(scene), signatures: "hybrid" }),
    { args: policyArgs },
  ),
  trustCase("one algorithm where the key manifest wants both", ["keys.threshold"], async (scene) => {
    await first(
      (manifest, { key, quantum }) => {
        manifest.add(quantum);
        set(manifest.document, "signatures", "hybrid");
        for (const role of ["root", "release", "image", "channel"]) manifest.role(role, 1, key, quantum);
      },
      ({ key, quantum }) => [key, quantum],
    )(scene);
    cosign(scene, scene.quantum, ["channel"]);
  }),
];

const OTHER = sha256("other");
const channels: readonly Case[] = [
  trustCase("a channel file with an unknown member", ["channel.shape"], replaced(CHANNEL_FILE, "note", "x")),
  trustCase(
    "a channel file that expires before it begins",
    ["channel.shape"],
    replaced(CHANNEL_FILE, "expires", "2020-01-01T00:00:00Z"),
  ),
  trustCase("a channel file that refuses its own version", ["channel.shape"], replaced(CHANNEL_FILE, "minimumVersion", "9")),
  trustCase(
    "a channel file with a day that there is not",
    ["channel.shape"],
    replaced(CHANNEL_FILE, "expires", "2035-02-30T00:00:00Z"),
  ),
  ...(
    [
      ["recipe", "silverblue-42"],
      ["version", "0.2.0"],
      ["imageDigest", `sha256:${OTHER}`],
      ["rootHash", OTHER],
      ["channel", "stable"],
    ] as const
  ).map(([member, value]) =>
    trustCase(`a channel file of another ${member}`, ["channel.release"], replaced(CHANNEL_FILE, member, value)),
  ),
  trustCase("a channel file of other keys", ["channel.keys"], replaced(CHANNEL_FILE, "keys/sha256", OTHER)),
  trustCase(
    "a channel file of a later key manifest",
    ["channel.keys"],
    edited(CHANNEL_FILE, (document) => {
      set(document, "keys/version", 2);
      set(document, "nextKeys", null);
    }),
  ),
  trustCase("a channel file that is over", ["channel.freshness"], () => {}, {
    args: RELEASE_ARGS.map((arg) => (arg === "{at}" ? "2030-01-01T00:00:00Z" : arg)),
  }),
  trustCase("a channel file from the future", ["channel.freshness"], () => {}, {
    args: RELEASE_ARGS.map((arg) => (arg === "{at}" ? "2020-01-01T00:00:00Z" : arg)),
  }),
  trustCase(
    "a sequence that has been passed",
    ["channel.rollback"],
    (scene) => input(scene, "policy.json", { ...strictPolicy(scene), minimumSequence: 99 }),
    { args: policyArgs },
  ),
  trustCase(
    "a version that has been passed",
    ["channel.rollback"],
    (scene) => input(scene, "policy.json", { ...strictPolicy(scene), minimumVersion: "0.2.0" }),
    { args: policyArgs },
  ),
  trustCase("the channel file of an older release", ["channel.release"], ({ dir, older }) => {
    write(dir, CHANNEL_FILE, read(older, CHANNEL_FILE));
    write(dir, bundleOf(CHANNEL_FILE), read(older, bundleOf(CHANNEL_FILE)));
  }),
];

/** Files whose statements the strict default wants. */
const required: readonly Case[] = ["baseline.json", "vex/openvex.json", CHANNEL_FILE, KEY_MANIFEST_FILE].map((file) =>
  trustCase(
    `no ${file}`,
    [`statements.required:${roleOf(file)}`],
    made({ [file]: undefined, ...(file === "vex/openvex.json" && { "vex/vex.cdx.json": undefined }) }),
  ),
);

const harmless: readonly Case[] = [
  trustCase(
    "a second key of the release role",
    [],
    first((manifest, { key, stranger }) => {
      manifest.add(stranger);
      manifest.role("release", 1, key, stranger);
    }),
    { exit: 0 },
  ),
  trustCase(
    "two signers, both needed",
    [],
    async (scene) => {
      await first((manifest, { key, stranger }) => {
        manifest.add(stranger);
        manifest.role("release", 2, key, stranger);
      })(scene);
      cosign(scene, scene.stranger, ["release"]);
    },
    { exit: 0 },
  ),
  trustCase(
    "both algorithms, both needed",
    [],
    async (scene) => {
      await first(
        (manifest, { key, quantum }) => {
          manifest.add(quantum);
          set(manifest.document, "signatures", "hybrid");
          for (const role of ["root", "release", "image", "channel"]) manifest.role(role, 1, key, quantum);
        },
        ({ key, quantum }) => [key, quantum],
      )(scene);
      cosign(scene, scene.quantum, ["release", "channel"]);
    },
    { exit: 0 },
  ),
  trustCase(
    "a second key manifest",
    [],
    second(() => {}),
    { exit: 0 },
  ),
  trustCase(
    "a root role handed over",
    [],
    second(
      (manifest, { stranger }) => {
        manifest.add(stranger);
        manifest.role("root", 1, stranger);
      },
      ({ key, stranger }) => [key, stranger],
    ),
    { exit: 0 },
  ),
  trustCase(
    "a key that was revoked and signed nothing here",
    [],
    first(({ document }, { stranger }) =>
      set(document, "revoked", [{ fingerprint: stranger.fingerprint, at: document.issued, reason: "lost" }]),
    ),
    { exit: 0 },
  ),
  trustCase(
    "a whole key manifest handed over",
    [],
    ({ dir, inputs }) => write(inputs, "keys.json", read(dir, KEY_MANIFEST_FILE)),
    { exit: 0, args: ["release", "@/release", "--at", "{at}", "--key-manifest", "@/inputs/keys.json", "--designation", "dev"] },
  ),
  trustCase(
    "a channel file that is over, for those who only report it",
    [],
    (scene) => input(scene, "policy.json", { ...strictPolicy(scene), freshness: { expiry: "report" } } satisfies PolicyFile),
    { exit: 0, args: policyArgs.map((arg) => (arg === "{at}" ? "2030-01-01T00:00:00Z" : arg)) },
  ),
  trustCase("the next key manifest announced", [], replaced(CHANNEL_FILE, "nextKeys", { version: 2, sha256: OTHER }), {
    exit: 0,
  }),
  trustCase(
    "statements that the policy does without",
    [],
    async (scene) => {
      input(scene, "policy.json", { ...strictPolicy(scene), requiredStatements: ["provenance"] });
      await remake(scene, { "vex/openvex.json": undefined, "vex/vex.cdx.json": undefined });
    },
    { exit: 0, args: policyArgs },
  ),
];

export const trustCases: readonly Case[] = [...chain, ...roles, ...channels, ...required, ...harmless];
