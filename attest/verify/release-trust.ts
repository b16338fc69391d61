import type { Bundle } from "@secai/formats/bundle";
import type { Channel } from "@secai/formats/channel";
import { instantMs } from "@secai/formats/instant";
import { type KeyManifest, parseKeyManifest, type SignatureMode, type SigningRole } from "@secai/formats/key-manifest";
import { hintOf, type PublicKey } from "@secai/formats/keys";
import { bundleOf, KEY_MANIFEST_FILE, RELEASE_KEY_FILE, roleOf, signedFileOf } from "@secai/formats/release-layout";
import { statementOf } from "@secai/formats/release-statements";
import { derive, type Found } from "./found.ts";
import type { Inventory } from "./inventory.ts";
import { rulesOf, type VerifyPolicy } from "./release-policy.ts";
import { type Anchors, establishTrust, type Link } from "./trust.ts";
import { type NamedBundle, type RoleKeys, rolesOf, type Signers, signersOf } from "./trust-signers.ts";

/** Whose signatures count, once the anchors stand behind somebody. */
export interface ReleaseTrust {
  /** The key manifest that gives keys their roles; undefined where the policy does without one and the anchors sign everything. */
  readonly keys: { readonly manifest: KeyManifest; readonly sha256: string; readonly anchoredAt: number } | undefined;
  /** Keys of a role at the moment at which the release was issued. */
  readonly rolesOf: (role: SigningRole) => RoleKeys;
}

/**
 * Whom to believe about this release: what the caller trusts, followed through the key manifests that lie in it.
 * @param channel whose issue is the moment at which keys must have been valid; without one it is `atMs`
 * @param ownKey the release's own copy of a key, for callers who named no more than its fingerprint
 */
export function establishReleaseTrust(
  inventory: Inventory,
  policy: VerifyPolicy,
  channel: Found<Channel>,
  ownKey: Found<PublicKey>,
  atMs: number,
): Found<ReleaseTrust> {
  const { signatures, requiredStatements } = rulesOf(policy);
  const issuedMs = channel.state === "found" ? instantMs(channel.value.issued) : atMs;
  if (!inventory.files.has(KEY_MANIFEST_FILE)) {
    if (requiredStatements.includes("key-manifest"))
      return { state: "absent", code: "FILE_MISSING", detail: `no ${KEY_MANIFEST_FILE} says whose signatures count` };
    return anchorsAlone(policy, ownKey, signatures);
  }
  const trust = establishTrust(linksIn(inventory), anchorsOf(policy), atMs);
  if (trust.state === "refused")
    return {
      state: "refused",
      code: trust.code,
      expected: trust.expected,
      actual: trust.link ? `${trust.link}: ${trust.actual}` : trust.actual,
    };
  const { manifest } = trust;
  return { state: "found", value: { keys: trust, rolesOf: (role) => rolesOf(manifest, role, issuedMs, signatures) } };
}

function anchorsOf({ keyManifest, keys, fingerprints, ...rules }: VerifyPolicy): Anchors {
  if (keyManifest !== undefined) return { kind: "manifest", bytes: keyManifest };
  const all = [...keys.map(({ fingerprint }) => fingerprint), ...fingerprints];
  return { kind: "fingerprints", fingerprints: [...new Set(all)], threshold: rulesOf(rules).threshold };
}

function linksIn({ files }: Inventory): readonly Link[] {
  const manifests = [...files.keys()].filter((name) => ["key-manifest", "old-key-manifest"].includes(roleOf(name)));
  const bytes = (name: string) => files.get(name)?.bytes ?? Buffer.alloc(0);
  return manifests.map((name) => {
    const bundles = [...files.keys()].filter((one) => signedFileOf(one) === name && roleOf(one) === "bundle").sort();
    return { name, bytes: bytes(name), bundles: bundles.map(bytes) };
  });
}

/** A policy that does without key manifests has one set of keys for everything, and no roles, windows or revocations. */
function anchorsAlone(policy: VerifyPolicy, ownKey: Found<PublicKey>, signatures: SignatureMode): Found<ReleaseTrust> {
  const own = ownKey.state === "found" && policy.fingerprints.includes(ownKey.value.fingerprint) ? [ownKey.value] : [];
  const standing = new Map([...policy.keys, ...own].map((key) => [hintOf(key), key] as const));
  if (standing.size === 0)
    return { state: "absent", code: "KEY_UNAVAILABLE", detail: `no key with a trusted fingerprint in ${RELEASE_KEY_FILE}` };
  const { threshold } = rulesOf(policy);
  return { state: "found", value: { keys: undefined, rolesOf: (role) => ({ role, threshold, signatures, standing }) } };
}

/** The keys that the caller trusts, by a key manifest or one by one, for something that is looked at without its release. */
export function trustedKeys(policy: VerifyPolicy, role: SigningRole, atMs: number): Found<RoleKeys> {
  const { signatures, threshold } = rulesOf(policy);
  const { keyManifest } = policy;
  if (keyManifest !== undefined)
    return derive({ state: "found", value: keyManifest }, (bytes) => rolesOf(parseKeyManifest(bytes), role, atMs, signatures));
  if (policy.keys.length === 0)
    return {
      state: "absent",
      code: "KEY_UNAVAILABLE",
      detail: "a fingerprint alone has no key in it: pass --key or --key-manifest",
    };
  return {
    state: "found",
    value: { role, threshold, signatures, standing: new Map(policy.keys.map((key) => [hintOf(key), key] as const)) },
  };
}

/** A signed file, its bundles, and who of those that may sign it did. */
export interface SignedFile {
  readonly role: SigningRole;
  /** Every bundle beside it, the first signer's first; absent ones too. */
  readonly bundles: readonly { readonly name: string; readonly bundle: Found<Bundle> }[];
  readonly signers: Found<Signers>;
}

/** @param message the bytes of a file whose bundles sign it as it is; undefined where they carry statements */
export function readSigned(
  file: string,
  parsed: ReadonlyMap<string, Found<Bundle>>,
  trust: Found<ReleaseTrust>,
  message: Uint8Array | undefined,
): SignedFile {
  const role = statementOf(file)?.signer ?? "release";
  const names = [...parsed.keys()].filter((name) => signedFileOf(name) === file);
  const ordered = names.sort((a, b) => Number(b === bundleOf(file)) - Number(a === bundleOf(file)) || (a < b ? -1 : 1));
  const bundles = ordered.flatMap((name) => {
    const bundle = parsed.get(name);
    return bundle === undefined ? [] : [{ name, bundle }];
  });
  const readable = bundles.flatMap(({ name, bundle }): readonly NamedBundle[] =>
    bundle.state === "found" ? [{ name, bundle: bundle.value }] : [],
  );
  const signers: Found<Signers> =
    trust.state === "found" ? { state: "found", value: signersOf(readable, trust.value.rolesOf(role), message) } : trust;
  return { role, bundles, signers };
}

/** What those who may sign a file have signed, or why nothing of it counts. */
export function payloadOf({ bundles, signers }: SignedFile): Found<Buffer> {
  const [first] = bundles;
  if (first === undefined || first.bundle.state === "absent")
    return { state: "absent", code: "BUNDLE_MISSING", detail: first?.name ?? "no bundle" };
  if (signers.state !== "found") return { state: "absent", code: "EVIDENCE_UNUSABLE", detail: "nobody is trusted to sign" };
  const { payload, uncounted } = signers.value;
  if (payload !== undefined) return { state: "found", value: payload };
  if (first.bundle.state === "refused") return first.bundle;
  const [why] = uncounted;
  return { state: "refused", code: why?.code ?? "SIGNATURE_INVALID", expected: why?.expected ?? "-", actual: why?.actual ?? "-" };
}
