import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseBundle } from "@secai/formats/bundle";
import { type Sha256, sha256 } from "@secai/formats/digest";
import { instantMs } from "@secai/formats/instant";
import { hintOf } from "@secai/formats/keys";
import { CHANNEL_FILE, DISK_FILE, MANIFEST_FILE } from "@secai/formats/release-layout";
import { releasePredicate } from "@secai/formats/release-statement";
import { buildStatement, subjectOf } from "@secai/formats/statement";
import { RELEASE_PREDICATE } from "@secai/formats/uris";
import { signStatement } from "@secai/sign/sign";
import { type Anchors, establishTrust, type TrustResult } from "@secai/verify/trust";
import { rolesOf, signersOf, thresholdRefusal } from "@secai/verify/trust-signers";
import type { Change } from "./change.ts";
import { commitChanges } from "./journal.ts";
import { type KeySet, linksForVerifier, loadChain, type ManifestLink, signersFor } from "./key-set.ts";
import { fileOf, filesOf } from "./layout.ts";
import { HISTORY } from "./places.ts";
import { planRotate } from "./plan-rotate.ts";

/** One thing that must hold before a change is made, tried with real keys and the verifier's own code. */
export interface Proof {
  readonly name: string;
  readonly holds: boolean;
  /** What the verifier answered. */
  readonly answer: string;
}

/**
 * Makes the change on a copy of the directory and asks the verifier what every user will ask it: do those who trust the old manifest follow,
 * are releases of the new keys accepted, is what should count no more refused.
 */
export async function rehearse(set: KeySet, change: Change, nowMs: number): Promise<readonly Proof[]> {
  return withCopy(set.dir, async (copy) => {
    await commitChanges(copy, await filesOf({ ...set, dir: copy }, change));
    const chain = await loadChain(copy);
    if (chain === undefined) return [{ name: "the changed directory reads back", holds: false, answer: "no key manifest" }];
    const held = new Map([...set.held, ...change.made.map((key) => [key.fingerprint, { file: "", key }] as const)]);
    const after: KeySet = { ...chain, held };
    const scene = { before: set, after, nowMs: Math.max(nowMs, instantMs(chain.manifest.issued)) };
    return [...chainProofs(scene), ...(await releaseProofs(scene))];
  });
}

/** A first manifest has nobody who trusts an older one: it is changed once, to see that it can be. */
export async function rehearseFirst(
  { dir, held }: Pick<KeySet, "dir" | "held">,
  change: Change,
  nowMs: number,
): Promise<readonly Proof[]> {
  return withCopy(dir, async (copy) => {
    await commitChanges(copy, await filesOf({ dir: copy, held }, change));
    const chain = await loadChain(copy);
    if (chain === undefined) return [{ name: "the changed directory reads back", holds: false, answer: "no key manifest" }];
    const keys = [...held.values()].map(({ file, key }) => ({ file, key }));
    const all = [...keys, ...change.made.map((key) => ({ file: fileOf(change, key), key }))];
    const set: KeySet = { ...chain, held: new Map(all.map((one) => [one.key.fingerprint, one])) };
    return rehearse(set, await planRotate(set, "release", { days: 1 }, nowMs), nowMs);
  });
}

/** On the same disk and as private as the keys themselves; gone afterwards. */
export async function withCopy<T>(dir: string, use: (copy: string) => Promise<T>): Promise<T> {
  const copy = await mkdtemp(join(dir, ".rehearsal-"));
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    for (const entry of entries.filter((one) => !one.name.startsWith(".") && (one.isFile() || one.name === HISTORY)))
      await cp(join(dir, entry.name), join(copy, entry.name), { recursive: true });
    return await use(copy);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

interface Scene {
  readonly before: KeySet;
  readonly after: KeySet;
  readonly nowMs: number;
}

const answerOf = (result: TrustResult): string =>
  result.state === "trusted"
    ? `trusted, version ${result.manifest.version}`
    : `${result.code}: expected ${result.expected}, got ${result.actual}`;

function chainProofs({ before, after, nowMs }: Scene): readonly Proof[] {
  const ask = (links: readonly ManifestLink[], anchors: Anchors) => establishTrust(linksForVerifier(links), anchors, nowMs);
  const [old, next] = [lastOf(before), lastOf(after)];
  const trustsOld: Anchors = { kind: "manifest", bytes: old.bytes };
  const expectCode = (name: string, result: TrustResult, ...codes: string[]): Proof => ({
    name,
    holds: result.state === "refused" && codes.includes(result.code),
    answer: answerOf(result),
  });
  const followed = ask(after.links, trustsOld);
  const version = `version ${before.manifest.version}`;
  return [
    {
      name: `who trusts ${version} follows to version ${after.manifest.version}`,
      holds: followed.state === "trusted" && followed.sha256 === after.sha256,
      answer: answerOf(followed),
    },
    ...rootKeyProofs(before, after, (anchors) => ask(after.links, anchors)),
    expectCode(
      `one signature too few of the root of ${version} is refused`,
      ask([...after.links.slice(0, -1), short(next, before)], trustsOld),
      "TRUST_THRESHOLD",
      "KEY_REVOKED",
    ),
    expectCode(
      `who trusts version ${after.manifest.version} is not led back to ${version}`,
      ask(before.links, { kind: "manifest", bytes: next.bytes }),
      "TRUST_ROLLBACK",
    ),
  ];
}

const lastOf = ({ links }: Pick<KeySet, "links">): ManifestLink => links.at(-1) ?? links[0];

/** Each root key of the old manifest, trusted alone: it leads to the new one, unless it is revoked there. */
function rootKeyProofs(before: KeySet, after: KeySet, ask: (anchors: Anchors) => TrustResult): readonly Proof[] {
  const revoked = new Set(after.manifest.revoked.map(({ fingerprint }) => fingerprint));
  const signed = new Set(lastOf(before).bundles.map(({ bytes }) => parseBundle(bytes).keyHint));
  const keys = before.manifest.roles.root.keys.filter((fingerprint) =>
    signed.has(hintOf({ fingerprint: fingerprint as Sha256 })),
  );
  return keys.map((fingerprint) => {
    const result = ask({ kind: "fingerprints", fingerprints: [fingerprint as Sha256], threshold: 1 });
    const gone = revoked.has(fingerprint);
    return {
      name: `root key ${fingerprint.slice(0, 16)} alone ${gone ? "is revoked and leads nowhere" : "leads to the new version"}`,
      holds: gone ? result.state === "refused" && result.code === "KEY_REVOKED" : result.state === "trusted",
      answer: answerOf(result),
    };
  });
}

/** The new manifest with one signature less of the old root than needed. */
function short(next: ManifestLink, { manifest }: KeySet): ManifestLink {
  const { threshold, keys } = manifest.roles.root;
  const root = new Map(keys.map((fingerprint) => [hintOf({ fingerprint: fingerprint as Sha256 }), fingerprint]));
  let left = threshold - 1;
  const bundles = next.bundles.filter(({ bytes }) => {
    if (!root.has(parseBundle(bytes).keyHint)) return true;
    left -= 1;
    return left >= 0;
  });
  return { ...next, bundles };
}

/** A release of a few bytes, signed once with the keys before the change and once with those after it. */
async function releaseProofs(scene: Scene): Promise<readonly Proof[]> {
  const { before, after, nowMs } = scene;
  const proofs: Proof[] = [];
  for (const role of ["release", "channel"] as const) {
    const counted = async (signedBy: KeySet, judge: KeySet, atMs: number) => {
      const bundles = await signTiny(signedBy, role, nowMs);
      const keys = rolesOf(judge.manifest, role, atMs);
      const signers = signersOf(bundles, keys);
      return { signers, short: thresholdRefusal(signers, keys) };
    };
    const fresh = await counted(after, after, nowMs);
    proofs.push({
      name: `what the new ${role} keys sign is accepted`,
      holds: fresh.short === undefined,
      answer:
        fresh.short === undefined
          ? `${fresh.signers.counted.length} signatures count`
          : `${fresh.short.code}: ${fresh.short.actual}`,
    });
    const late = Math.max(...after.manifest.roles[role].keys.map((one) => instantMs(after.manifest.keys[one]?.validUntil ?? "")));
    proofs.push(
      refusedProof(`what they sign after their time is refused`, role, await counted(after, after, late + 1000), ["KEY_EXPIRED"]),
    );
    const dropped = before.manifest.roles[role].keys.filter((one) => !after.manifest.roles[role].keys.includes(one));
    if (dropped.length === before.manifest.roles[role].keys.length)
      proofs.push(
        refusedProof("what the old keys sign from now on is refused", role, await counted(before, after, nowMs), [
          "KEY_REVOKED",
          "KEY_UNTRUSTED",
          "KEY_ROLE",
        ]),
      );
  }
  return proofs;
}

interface Counted {
  readonly signers: ReturnType<typeof signersOf>;
  readonly short: ReturnType<typeof thresholdRefusal>;
}

function refusedProof(name: string, role: string, { signers, short: tooFew }: Counted, codes: readonly string[]): Proof {
  const found = [...new Set(signers.uncounted.map(({ code }) => code))];
  return {
    name: `${role}: ${name}`,
    holds: tooFew !== undefined && found.length > 0 && found.every((code) => codes.includes(code)),
    answer: found.join(", ") || "accepted",
  };
}

async function signTiny(set: KeySet, role: "release" | "channel", nowMs: number) {
  const subjects = [
    subjectOf(DISK_FILE, sha256("a rehearsal")),
    subjectOf(role === "release" ? MANIFEST_FILE : CHANNEL_FILE, sha256("")),
  ];
  const statement = buildStatement(RELEASE_PREDICATE, subjects, releasePredicate("rehearsal", "0"));
  const bundles = [];
  for (const key of signersFor(set, role, nowMs))
    bundles.push({ name: key.fingerprint as string, bundle: parseBundle(await signStatement(statement, key)) });
  return bundles;
}
