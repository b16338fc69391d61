import { parseBundle } from "@secai/formats/bundle";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { CodedError } from "@secai/formats/errors";
import { instantMs } from "@secai/formats/instant";
import { type KeyManifest, keyManifestStatement, parseKeyManifest } from "@secai/formats/key-manifest";
import { KEY_MANIFEST_FILE } from "@secai/formats/release-layout";
import { statementBytes } from "@secai/formats/statement";
import { type Refusal, refusal } from "./trust-codes.ts";
import { type NamedBundle, rolesOf, type Signers, signersOf, thresholdRefusal, windowRefusal } from "./trust-signers.ts";

/** A key manifest as it was found: its name in the release, its bytes, and the bytes of every bundle beside it. */
export interface Link {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly bundles: readonly Uint8Array[];
}

/**
 * What is trusted before anything is read. Single root keys, of which `threshold` must stand behind a manifest; or a whole key manifest that
 * was obtained outside the release, whose root role with its threshold then decides about the next.
 */
export type Anchors =
  | { readonly kind: "fingerprints"; readonly fingerprints: readonly Sha256[]; readonly threshold: number }
  | { readonly kind: "manifest"; readonly bytes: Uint8Array };

export type TrustResult =
  /** The current manifest, how it is named in channel files, and the version at which the anchors came in. */
  | { readonly state: "trusted"; readonly manifest: KeyManifest; readonly sha256: Sha256; readonly anchoredAt: number }
  /** `link`: the manifest at fault, where it is one. */
  | (Refusal & { readonly state: "refused"; readonly link?: string });

interface ReadLink {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly manifest: KeyManifest;
  readonly bundles: readonly NamedBundle[];
}

/** A refusal on its way up through this file; it never leaves it. */
class Refused extends Error {
  readonly refusal: Refusal & { readonly link?: string };
  constructor(found: Refusal, link?: string) {
    super(found.code);
    this.refusal = { ...found, ...(link !== undefined && { link }) };
  }
}

/**
 * Which key manifest to believe. The manifests form a chain without gaps in which each is signed by the threshold of its own root role and of
 * its predecessor's, as roots of The Update Framework are (https://theupdateframework.github.io/specification/latest/#update-root); some
 * manifest of the chain must satisfy the anchors. Then the last one speaks, revocations included.
 * @param links in any order
 * @param atMs the moment at which anchors are judged, in milliseconds since 1970. Manifests are judged at the moment of their issue.
 */
export function establishTrust(links: readonly Link[], anchors: Anchors, atMs: number): TrustResult {
  try {
    const chain = readChain(links);
    for (const [index, link] of chain.entries()) requireLink(link, chain[index - 1]);
    const current = chain.at(-1);
    if (current === undefined) throw new Refused(refusal("TRUST_NO_MANIFEST", "a key manifest", "none"));
    const anchoredAt = anchors.kind === "manifest" ? anchorManifest(chain, anchors.bytes) : anchorKeys(chain, anchors, atMs);
    return { state: "trusted", manifest: current.manifest, sha256: sha256(current.bytes), anchoredAt };
  } catch (error) {
    if (error instanceof Refused) return { state: "refused", ...error.refusal };
    throw error;
  }
}

function readChain(links: readonly Link[]): readonly ReadLink[] {
  const chain = links.map(readLink).sort((a, b) => a.manifest.version - b.manifest.version);
  for (const [index, { name, manifest }] of chain.entries()) {
    const expected = index === chain.length - 1 ? KEY_MANIFEST_FILE : `keys/history/${manifest.version}.json`;
    const previous = chain[index - 1]?.manifest.version ?? manifest.version - 1;
    if (manifest.version !== previous + 1)
      throw new Refused(refusal("TRUST_VERSION_GAP", `version ${previous + 1}`, `version ${manifest.version}`), name);
    if (name !== expected)
      throw new Refused(refusal("TRUST_LINK_NAME", `version ${manifest.version} as ${expected}`, name), name);
  }
  return chain;
}

function readLink({ name, bytes, bundles }: Link): ReadLink {
  return read(name, () => ({
    name,
    bytes,
    manifest: parseKeyManifest(bytes),
    bundles: bundles.map((bundle, index) => ({ name: `${name}, bundle ${index + 1}`, bundle: parseBundle(bundle) })),
  }));
}

/** An error of a parser is a refusal of what it read. */
function read<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw new Refused({ code: error.code, expected: error.expected ?? "-", actual: error.actual ?? "-" }, name);
  }
}

function requireLink(link: ReadLink, previous: ReadLink | undefined): void {
  const statement = statementBytes(keyManifestStatement(link.bytes));
  const judges = previous === undefined ? [link] : [link, previous];
  const found = judges.map((judge) => requireRoot(link, judge, statement));
  if (previous !== undefined) requireSuccession(link, previous.bytes, previous.manifest);
  // Whose signatures a first link of a later version also has, only its predecessor could say.
  if (previous !== undefined || link.manifest.version === 1) requireAllCounted(link, found);
}

/** The root role of `judge` stands behind `link`. */
function requireRoot({ name, manifest, bundles }: ReadLink, judge: Pick<ReadLink, "manifest">, statement: Buffer): Signers {
  const keys = rolesOf(judge.manifest, "root", instantMs(manifest.issued));
  const signers = signersOf(bundles, keys);
  const short = thresholdRefusal(signers, keys);
  if (short !== undefined) throw new Refused(whyShort(short, signers, `version ${judge.manifest.version}`), name);
  if (signers.payload?.equals(statement) !== true)
    throw new Refused(refusal("TRUST_STATEMENT", `a statement about ${name}`, "another statement"), name);
  return signers;
}

/** A key that is known and does not count explains more than the number that is missing. */
function whyShort(short: Refusal, { uncounted }: Signers, judge: string): Refusal {
  const known = uncounted.find(({ code }) => code !== "KEY_UNTRUSTED" && code !== "KEY_ROLE");
  if (known !== undefined) return { code: known.code, expected: known.expected, actual: known.actual };
  return refusal("TRUST_THRESHOLD", `${short.expected} in ${judge}`, short.actual);
}

function requireSuccession({ name, manifest }: ReadLink, previousBytes: Uint8Array, previous: KeyManifest): void {
  const digest = sha256(previousBytes);
  if (manifest.predecessor?.sha256 !== digest)
    throw new Refused(refusal("TRUST_CHAIN_BROKEN", `predecessor ${digest}`, `${manifest.predecessor?.sha256}`), name);
  if (instantMs(manifest.issued) < instantMs(previous.issued))
    throw new Refused(refusal("TRUST_CHAIN_BROKEN", `an issue after ${previous.issued}`, manifest.issued), name);
  const still = new Set(manifest.revoked.map(({ fingerprint }) => fingerprint));
  const lost = previous.revoked.find(({ fingerprint }) => !still.has(fingerprint));
  if (lost !== undefined) throw new Refused(refusal("TRUST_UNREVOKED", `${lost.fingerprint} still revoked`, "not revoked"), name);
}

/** A bundle that neither root role counts was put there by somebody else. */
function requireAllCounted({ name, bundles }: ReadLink, found: readonly Signers[]): void {
  for (const bundle of bundles) {
    if (found.some(({ counted }) => counted.some((signer) => signer.bundle === bundle.name))) continue;
    const why = found.flatMap(({ uncounted }) => uncounted).find((one) => one.bundle === bundle.name);
    const { code, expected, actual } = why ?? refusal("KEY_UNTRUSTED", "a root key", bundle.bundle.keyHint);
    throw new Refused({ code, expected, actual }, name);
  }
}

/** The first version that enough of the trusted keys signed as its root. */
function anchorKeys(chain: readonly ReadLink[], anchors: Anchors & { readonly kind: "fingerprints" }, atMs: number): number {
  const threshold = Math.max(1, anchors.threshold);
  const trusted = new Set<string>(anchors.fingerprints);
  const revoked = new Map((chain.at(-1)?.manifest.revoked ?? []).map((one) => [one.fingerprint, one]));
  let why: Refusal | undefined;
  for (const { manifest, bundles } of chain) {
    const root = rolesOf(manifest, "root", instantMs(manifest.issued));
    const signed = signersOf(bundles, root).counted.filter(({ key }) => trusted.has(key.fingerprint));
    const refusals = signed.map(({ key: { fingerprint } }) => {
      const gone = revoked.get(fingerprint);
      if (gone === undefined) return windowRefusal(manifest, fingerprint, atMs);
      return refusal("KEY_REVOKED", "a key to trust that is not revoked", `${fingerprint}, revoked ${gone.at}: ${gone.reason}`);
    });
    const good = refusals.filter((one) => one === undefined).length;
    if (good >= threshold) return manifest.version;
    why ??= refusals.find((one) => one !== undefined);
    if (good > 0) why ??= refusal("TRUST_THRESHOLD", `${threshold} trusted keys as root`, `${good}`);
  }
  throw new Refused(why ?? refusal("TRUST_NO_ANCHOR", "a root key that is trusted", rootsOf(chain)));
}

function rootsOf(chain: readonly ReadLink[]): string {
  const all = new Set(chain.flatMap(({ manifest }) => manifest.roles.root.keys));
  return `${[...all].slice(0, 4).join(", ")}${all.size > 4 ? ", …" : ""}`;
}

/** The chain holds the trusted manifest itself, or begins with its successor. */
function anchorManifest(chain: readonly ReadLink[], bytes: Uint8Array): number {
  const anchor = read("the trusted key manifest", () => parseKeyManifest(bytes));
  const { version } = anchor;
  const [first, current] = [chain[0], chain.at(-1)];
  if (first === undefined || current === undefined || current.manifest.version < version)
    throw new Refused(refusal("TRUST_ROLLBACK", `version ${version} or newer`, `version ${current?.manifest.version ?? "none"}`));
  if (first.manifest.version > version + 1)
    throw new Refused(refusal("TRUST_VERSION_GAP", `version ${version + 1}`, `version ${first.manifest.version}`), first.name);
  const same = chain.find(({ manifest }) => manifest.version === version);
  if (same === undefined) {
    requireRoot(first, { manifest: anchor }, statementBytes(keyManifestStatement(first.bytes)));
    requireSuccession(first, bytes, anchor);
  } else if (!Buffer.from(same.bytes).equals(bytes)) {
    throw new Refused(refusal("TRUST_FORK", sha256(bytes), sha256(same.bytes)), same.name);
  }
  return version;
}
