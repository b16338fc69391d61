import { type Channel, channelBytes, parseChannel } from "@secai/formats/channel";
import { sha256 } from "@secai/formats/digest";
import { instantMs, instantOf } from "@secai/formats/instant";
import { type KeyManifest, keyManifestBytes, type ManifestKey } from "@secai/formats/key-manifest";
import { furtherBundleOf } from "@secai/formats/release-layout";
import { signManifest } from "@secai/release/keys/sign-manifest";
import type { SigningKey } from "@secai/sign/key-file";
import { signBlob } from "@secai/sign/sign";
import { read, remove, reseal, write } from "./forge.ts";
import type { Mutation, Scene } from "./mutations.ts";
import { rewrite } from "./mutations-contents.ts";

// Releases whose keys or channel are not what they should be, made by somebody who holds the keys.

const KEYS = "keys/keys.json";
const CHANNEL = "channel.json";
const DAY = 86_400_000;

const manifestIn = (dir: string) => JSON.parse(read(dir, KEYS).toString()) as KeyManifest;
const channelIn = (dir: string) => parseChannel(read(dir, CHANNEL));

/** Puts a key manifest of `signers` in the place of the release's, names it in the channel file, and reseals with `key`. */
async function rekey({ dir, key }: Scene, manifest: KeyManifest, signers: readonly SigningKey[] = [key]): Promise<void> {
  const { bytes, bundles } = await signManifest(keyManifestBytes(manifest), signers);
  write(dir, KEYS, bytes);
  for (const [name, bundle] of bundles) write(dir, `keys/${name}`, bundle);
  rechannel({ dir, key }, { keys: { version: manifest.version, sha256: sha256(bytes) } });
}

function rechannel({ dir, key }: Pick<Scene, "dir" | "key">, change: Partial<Channel>): void {
  rewrite(dir, CHANNEL, key, channelBytes({ ...channelIn(dir), ...change }));
}

/** The manifest with the stranger's key among those of a role. */
function withStranger(manifest: KeyManifest, stranger: SigningKey, threshold: number): KeyManifest {
  const [own] = manifest.roles.release.keys;
  const like = manifest.keys[own ?? ""] as ManifestKey;
  return {
    ...manifest,
    keys: { ...manifest.keys, [stranger.fingerprint]: { ...like, publicKey: stranger.publicPem } },
    roles: { ...manifest.roles, release: { threshold, keys: [own ?? "", stranger.fingerprint] } },
  };
}

const keys: readonly Mutation[] = [
  {
    name: "a key manifest signed by a stranger",
    fails: ["keys.chain"],
    code: "TRUST_THRESHOLD",
    apply: (scene) => rekey(scene, manifestIn(scene.dir), [scene.stranger]),
  },
  {
    name: "a key manifest whose root is a stranger",
    fails: ["keys.chain"],
    code: "TRUST_NO_ANCHOR",
    apply: (scene) => {
      const manifest = manifestIn(scene.dir);
      const { publicPem, fingerprint } = scene.stranger;
      const like = manifest.keys[manifest.roles.root.keys[0] ?? ""] as ManifestKey;
      const root = { threshold: 1, keys: [fingerprint] };
      const known = { ...manifest.keys, [fingerprint]: { ...like, publicKey: publicPem } };
      return rekey(scene, { ...manifest, keys: known, roles: { ...manifest.roles, root } }, [scene.stranger]);
    },
  },
  {
    name: "a key manifest of version 2 without version 1",
    fails: ["keys.chain"],
    apply: (scene) => rekey(scene, { ...manifestIn(scene.dir), version: 2, predecessor: { version: 1, sha256: "0".repeat(64) } }),
    policy: { threshold: 2 },
  },
  {
    name: "an older key manifest that is the current one",
    fails: ["keys.chain"],
    code: "TRUST_VERSION_GAP",
    apply: ({ dir, key }) => {
      write(dir, "keys/history/1.json", read(dir, KEYS));
      write(dir, "keys/history/1.json.sigstore.json", read(dir, `${KEYS}.sigstore.json`));
      reseal(dir, key);
    },
  },
  {
    name: "no key manifest",
    fails: ["statements.required:key-manifest"],
    code: "STATEMENT_REQUIRED",
    apply: ({ dir, key }) => {
      remove(dir, KEYS);
      remove(dir, `${KEYS}.sigstore.json`);
      reseal(dir, key);
    },
  },
  {
    name: "one signature where the role needs two",
    fails: ["keys.threshold:SHA256SUMS"],
    code: "THRESHOLD_SHORT",
    apply: (scene) => rekey(scene, withStranger(manifestIn(scene.dir), scene.stranger, 2)),
  },
  {
    name: "classical signatures where the policy wants both kinds",
    fails: ["keys.threshold:channel.json"],
    code: "THRESHOLD_SHORT",
    policy: { signatures: "hybrid" },
    apply: () => {},
  },
  {
    name: "a signature of a revoked key beside a good one",
    fails: ["keys.revocation"],
    code: "KEY_REVOKED",
    apply: async (scene) => {
      const manifest = manifestIn(scene.dir);
      const revoked = [{ fingerprint: scene.stranger.fingerprint, at: manifest.issued, reason: "stolen" }];
      await rekey(scene, { ...manifest, revoked });
      const sums = read(scene.dir, "SHA256SUMS");
      write(scene.dir, furtherBundleOf("SHA256SUMS", scene.stranger.fingerprint.slice(0, 16)), signBlob(sums, scene.stranger));
    },
  },
  {
    name: "everything signed by a revoked key",
    fails: ["checksums.signature", "keys.revocation"],
    code: "KEY_REVOKED",
    apply: (scene) => {
      const { key, stranger } = scene;
      const manifest = withStranger(manifestIn(scene.dir), stranger, 1);
      const signing = { threshold: 1, keys: [stranger.fingerprint] };
      const roles = { ...manifest.roles, root: signing, release: signing, image: signing, channel: signing };
      const { [key.fingerprint]: gone, ...others } = manifest.keys;
      const revoked = gone === undefined ? [] : [{ fingerprint: key.fingerprint, at: manifest.issued, reason: "stolen" }];
      return rekey(scene, { ...manifest, keys: others, roles, revoked }, [stranger]);
    },
    trust: "stranger",
  },
  ...(
    [
      ["a key that had ended when the release was issued", "KEY_EXPIRED", -2, -1],
      ["a key that began after the release was issued", "KEY_NOT_YET_VALID", 1, 2],
    ] as const
  ).map(
    ([name, code, fromDays, untilDays]): Mutation => ({
      name,
      fails: ["checksums.signature"],
      code,
      apply: async (scene) => {
        const { dir, stranger } = scene;
        const issued = instantMs(channelIn(dir).issued);
        const manifest = withStranger(manifestIn(dir), stranger, 1);
        const window = { validFrom: instantOf(issued + fromDays * DAY), validUntil: instantOf(issued + untilDays * DAY) };
        const known = manifest.keys[stranger.fingerprint] as ManifestKey;
        const roles = { ...manifest.roles, release: { threshold: 1, keys: [stranger.fingerprint] } };
        await rekey(scene, { ...manifest, keys: { ...manifest.keys, [stranger.fingerprint]: { ...known, ...window } }, roles });
        reseal(dir, stranger);
      },
    }),
  ),
  {
    name: "a release signed by a key of another role",
    fails: ["checksums.signature"],
    code: "KEY_ROLE",
    apply: (scene) => {
      const manifest = withStranger(manifestIn(scene.dir), scene.stranger, 1);
      const roles = { ...manifest.roles, release: { threshold: 1, keys: [scene.stranger.fingerprint] } };
      return rekey(scene, { ...manifest, roles });
    },
  },
];

/** A moment long after the release, as far as the fixture's channel file says. */
const LATER = Date.parse("2090-01-01T00:00:00Z");

const channel: readonly Mutation[] = [
  {
    name: "a channel file of another channel",
    fails: ["channel.release"],
    code: "CHANNEL_OTHER",
    apply: (scene) => rechannel(scene, { channel: "candidate" }),
  },
  {
    name: "a channel file of another recipe",
    fails: ["channel.release"],
    code: "CHANNEL_OTHER_RELEASE",
    apply: (scene) => rechannel(scene, { recipe: "silverblue-42" }),
  },
  {
    name: "a channel file of another image",
    fails: ["channel.release"],
    code: "CHANNEL_OTHER_RELEASE",
    apply: (scene) => rechannel(scene, { imageDigest: `sha256:${"0".repeat(64)}` }),
  },
  {
    name: "a channel file under other keys",
    fails: ["channel.keys"],
    code: "CHANNEL_KEYS_OTHER",
    apply: (scene) => rechannel(scene, { keys: { version: 1, sha256: "0".repeat(64) } }),
  },
  {
    name: "a channel file past its day",
    fails: ["channel.freshness"],
    code: "CHANNEL_EXPIRED",
    policy: { atMs: LATER },
    apply: () => {},
  },
  {
    name: "a channel file from the future",
    fails: ["channel.freshness"],
    code: "CHANNEL_FROM_FUTURE",
    apply: (scene) => rechannel(scene, { issued: instantOf(Date.now() + DAY), expires: instantOf(Date.now() + 2 * DAY) }),
  },
  {
    name: "a channel file older than one that was seen",
    fails: ["channel.rollback"],
    code: "CHANNEL_SEQUENCE_OLD",
    policy: { minimumSequence: 1_000_000 },
    apply: () => {},
  },
  {
    name: "no channel file where one was seen before",
    fails: ["channel.rollback", "statements.required:channel"],
    code: "CHANNEL_SEQUENCE_OLD",
    policy: { minimumSequence: 1 },
    apply: ({ dir, key }) => {
      remove(dir, CHANNEL);
      remove(dir, `${CHANNEL}.sigstore.json`);
      reseal(dir, key);
    },
  },
  {
    name: "a version below the policy's minimum",
    fails: ["channel.rollback", "release.identity"],
    code: "CHANNEL_VERSION_OLD",
    policy: { minimumVersion: "0.1.1" },
    apply: () => {},
  },
  {
    name: "a channel file with an unknown member",
    fails: ["channel.shape"],
    code: "SCHEMA_MISMATCH",
    apply: ({ dir, key }) => rewrite(dir, CHANNEL, key, read(dir, CHANNEL).toString().replace("{", '{"a":1,')),
  },
  {
    name: "a channel file signed by a stranger",
    fails: ["channel.signature"],
    code: "KEY_UNTRUSTED",
    apply: ({ dir, key, stranger }) => {
      rewrite(dir, CHANNEL, stranger, read(dir, CHANNEL));
      reseal(dir, key);
    },
  },
];

export const trustMutations: readonly Mutation[] = [...keys, ...channel];
