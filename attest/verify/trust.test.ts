import { strict as assert } from "node:assert";
import { sha256 } from "@secai/formats/digest";
import type { KeyManifest } from "@secai/formats/key-manifest";
import {
  manifestBundle,
  payloadBundle,
  rawBytes,
  type TestKey,
  type TestManifest,
  testKey,
  testManifest,
} from "@secai/formats/key-manifest.test-data";
import { buildStatement, statementBytes, subjectOf } from "@secai/formats/statement";
import { KEYS_PREDICATE } from "@secai/formats/uris";
import fc from "fast-check";
import { test } from "vitest";
import { type Anchors, establishTrust, type Link } from "./trust.ts";

const [a, b, c, d, e, stranger] = [testKey(), testKey(), testKey(), testKey(), testKey(), testKey()];
const [pqA, pqB] = [testKey("ml-dsa-65"), testKey("ml-dsa-65")];
const short = testKey("ecdsa-p256", { validUntil: "2026-02-15T00:00:00Z" });
const late = testKey("ecdsa-p256", { validFrom: "2026-02-02T00:00:00Z" });
const NOW = Date.parse("2026-06-01T00:00:00Z");

interface Made extends Link {
  readonly bytes: Buffer;
  readonly manifest: KeyManifest;
}

/** A manifest with the signatures of `signers`. */
function link(manifest: KeyManifest, signers: readonly TestKey[], name = "keys/keys.json"): Made {
  const bytes = rawBytes(manifest);
  return { name, bytes, bundles: signers.map((key) => manifestBundle(bytes, key)), manifest };
}
const inHistory = (one: Made): Made => ({ ...one, name: `keys/history/${one.manifest.version}.json` });
function successor(before: Made, made: TestManifest, over: Partial<KeyManifest> = {}): KeyManifest {
  const version = before.manifest.version + 1;
  const issued = `2026-0${version + 1}-01T00:00:00Z`;
  const predecessor = { version: before.manifest.version, sha256: sha256(before.bytes) };
  return testManifest({ ...made, over: { version, issued, predecessor, ...made.over, ...over } });
}
const fingerprints = (keys: readonly TestKey[], threshold = 1): Anchors => ({
  kind: "fingerprints",
  fingerprints: keys.map(({ fingerprint }) => fingerprint),
  threshold,
});
const whole = (bytes: Buffer): Anchors => ({ kind: "manifest", bytes });

const one = link(testManifest({ root: [a] }), [a]);
const two = link(successor(one, { root: [b] }), [b, a]);
const three = link(successor(two, { root: [c] }), [c, b]);
const chain = [inHistory(one), inHistory(two), three];
/** Two of three, then a lost key replaced. */
const many = link(testManifest({ root: [a, b, c], rootThreshold: 2 }), [a, b]);
const revokedB = { revoked: [{ fingerprint: b.fingerprint, at: "2026-03-01T00:00:00Z", reason: "stolen" }] };
const mended = link(successor(many, { root: [a, c, d], rootThreshold: 2 }, revokedB), [a, c, d]);
const hybrid = link(testManifest({ root: [a, pqA], over: { signatures: "hybrid" } }), [a, pqA]);
const about = (bytes: Buffer, predicateType: string, name = "keys/keys.json") =>
  statementBytes(buildStatement(predicateType, [subjectOf(name, sha256(bytes))], JSON.parse(bytes.toString("utf8"))));

const unsigned = (manifest: KeyManifest): Link => ({ name: "keys/keys.json", bytes: rawBytes(manifest), bundles: [] });
/** A signature by b that claims to be by a. */
const forged: Link = { ...one, bundles: [manifestBundle(one.bytes, { ...a, privateKey: b.privateKey })] };
const ofShort = link(testManifest({ root: [short] }), [short]);

interface Refusal {
  readonly name: string;
  readonly code: string;
  readonly links: readonly Link[];
  readonly anchors: Anchors;
}
const oneTwo = (second: Made) => [inHistory(one), second];
const refused: readonly Refusal[] = [
  { name: "no manifest", code: "TRUST_NO_MANIFEST", links: [], anchors: fingerprints([a]) },
  {
    name: "a manifest that a stranger made",
    code: "TRUST_NO_ANCHOR",
    links: [link(testManifest({ root: [stranger] }), [stranger])],
    anchors: fingerprints([a]),
  },
  { name: "no anchors", code: "TRUST_NO_ANCHOR", links: [one], anchors: fingerprints([]) },
  { name: "no anchors and a threshold of 0", code: "TRUST_NO_ANCHOR", links: [one], anchors: fingerprints([], 0) },
  {
    name: "an anchor that is only a release key",
    code: "TRUST_NO_ANCHOR",
    links: [link(testManifest({ root: [a], release: [b] }), [a])],
    anchors: fingerprints([b]),
  },
  {
    name: "an anchor that is root but did not sign",
    code: "TRUST_NO_ANCHOR",
    links: [link(testManifest({ root: [a, b] }), [b])],
    anchors: fingerprints([a]),
  },
  { name: "one of two anchors asked for", code: "TRUST_THRESHOLD", links: [one], anchors: fingerprints([a, stranger], 2) },
  { name: "an anchor named twice", code: "TRUST_THRESHOLD", links: [one], anchors: fingerprints([a, a], 2) },
  { name: "no signature", code: "TRUST_THRESHOLD", links: [{ ...one, bundles: [] }], anchors: fingerprints([a]) },
  { name: "one of two root signatures", code: "TRUST_THRESHOLD", links: [link(many.manifest, [a])], anchors: fingerprints([a]) },
  {
    name: "one root key that signed twice",
    code: "KEY_REPEATED",
    links: [link(many.manifest, [a, a])],
    anchors: fingerprints([a]),
  },
  {
    name: "another root key's signature under this hint",
    code: "SIGNATURE_INVALID",
    links: [forged],
    anchors: fingerprints([a]),
  },
  {
    name: "a stranger's signature beside the good one",
    code: "KEY_UNTRUSTED",
    links: [link(one.manifest, [a, stranger])],
    anchors: fingerprints([a]),
  },
  {
    name: "bytes that are no manifest",
    code: "JSON_MALFORMED",
    links: [{ ...one, bytes: Buffer.from("x") }],
    anchors: fingerprints([a]),
  },
  {
    name: "a manifest that contradicts itself",
    code: "SCHEMA_MISMATCH",
    links: [unsigned({ ...one.manifest, version: 2 })],
    anchors: fingerprints([a]),
  },
  {
    name: "a bundle that is none",
    code: "SCHEMA_MISMATCH",
    links: [{ ...one, bundles: [rawBytes({})] }],
    anchors: fingerprints([a]),
  },
  {
    name: "a signature over another manifest",
    code: "TRUST_STATEMENT",
    links: [{ ...one, bundles: link(testManifest({ root: [a], release: [b] }), [a]).bundles }],
    anchors: fingerprints([a]),
  },
  {
    name: "a signature over the manifest as something else",
    code: "TRUST_STATEMENT",
    links: [{ ...one, bundles: [payloadBundle(about(one.bytes, "urn:secai-os:predicate:channel:v1"), a)] }],
    anchors: fingerprints([a]),
  },
  {
    name: "a signature over the manifest under another name",
    code: "TRUST_STATEMENT",
    links: [{ ...one, bundles: [payloadBundle(about(one.bytes, KEYS_PREDICATE, "keys/history/1.json"), a)] }],
    anchors: fingerprints([a]),
  },
  // one after the other
  { name: "a gap", code: "TRUST_VERSION_GAP", links: [inHistory(one), three], anchors: fingerprints([a]) },
  {
    name: "a version twice",
    code: "TRUST_VERSION_GAP",
    links: [inHistory(one), inHistory(one), two],
    anchors: fingerprints([a]),
  },
  {
    name: "an old manifest as the current one",
    code: "TRUST_LINK_NAME",
    links: [one, inHistory(two)],
    anchors: fingerprints([a]),
  },
  {
    name: "a history under another number",
    code: "TRUST_LINK_NAME",
    links: [{ ...one, name: "keys/history/3.json" }, two],
    anchors: fingerprints([a]),
  },
  {
    name: "a successor that its predecessor did not sign",
    code: "TRUST_THRESHOLD",
    links: oneTwo(link(two.manifest, [b])),
    anchors: fingerprints([b]),
  },
  {
    name: "a successor that only its predecessor signed",
    code: "TRUST_THRESHOLD",
    links: oneTwo(link(two.manifest, [a])),
    anchors: fingerprints([a]),
  },
  {
    name: "a successor with too few of its predecessor",
    code: "TRUST_THRESHOLD",
    links: [inHistory(many), link(mended.manifest, [a, d])],
    anchors: fingerprints([a]),
  },
  {
    name: "a successor of other bytes",
    code: "TRUST_CHAIN_BROKEN",
    links: oneTwo(link(successor({ ...one, bytes: two.bytes }, { root: [b] }), [b, a])),
    anchors: fingerprints([a]),
  },
  {
    name: "a successor from before",
    code: "TRUST_CHAIN_BROKEN",
    links: oneTwo(link(successor(one, { root: [b] }, { issued: "2026-01-31T00:00:00Z" }), [b, a])),
    anchors: fingerprints([a]),
  },
  {
    name: "a successor that forgives a revoked key",
    code: "TRUST_UNREVOKED",
    links: [inHistory(many), inHistory(mended), link(successor(mended, { root: [a, c, d], rootThreshold: 2 }), [a, c, d])],
    anchors: fingerprints([a]),
  },
  {
    name: "a successor signed with a root key past its time",
    code: "KEY_EXPIRED",
    links: [inHistory(ofShort), link(successor(ofShort, { root: [b] }), [b, short])],
    anchors: fingerprints([b]),
  },
  {
    name: "a root key before its time",
    code: "KEY_NOT_YET_VALID",
    links: [link(testManifest({ root: [late] }), [late])],
    anchors: fingerprints([late]),
  },
  // what the anchors are worth
  { name: "an anchor that is revoked by now", code: "KEY_REVOKED", links: [inHistory(many), mended], anchors: fingerprints([b]) },
  {
    name: "an anchor past its time",
    code: "KEY_EXPIRED",
    links: [ofShort],
    anchors: fingerprints([short]),
  },
  { name: "an older manifest than the one known", code: "TRUST_ROLLBACK", links: oneTwo(two), anchors: whole(three.bytes) },
  {
    name: "another manifest of the version known",
    code: "TRUST_FORK",
    links: [link(testManifest({ root: [a], release: [b] }), [a])],
    anchors: whole(one.bytes),
  },
  {
    name: "manifests that begin too late for the one known",
    code: "TRUST_VERSION_GAP",
    links: [three],
    anchors: whole(one.bytes),
  },
  {
    name: "a successor that the known manifest's root did not sign",
    code: "TRUST_THRESHOLD",
    links: [link(two.manifest, [b])],
    anchors: whole(one.bytes),
  },
  {
    name: "a successor of another manifest than the one known",
    code: "TRUST_CHAIN_BROKEN",
    links: [link(successor(link(testManifest({ root: [a], release: [b] }), []), { root: [b] }), [b, a])],
    anchors: whole(one.bytes),
  },
  { name: "an anchor that is no manifest", code: "JSON_MALFORMED", links: [one], anchors: whole(Buffer.from("x")) },
  // two algorithms
  {
    name: "a hybrid manifest without its ML-DSA-65 signature",
    code: "TRUST_THRESHOLD",
    links: [link(hybrid.manifest, [a])],
    anchors: fingerprints([a]),
  },
  {
    name: "a hybrid manifest without its P-256 signature",
    code: "TRUST_THRESHOLD",
    links: [link(hybrid.manifest, [pqA])],
    anchors: fingerprints([pqA]),
  },
  {
    name: "a hybrid successor without the old ML-DSA-65 signature",
    code: "TRUST_THRESHOLD",
    links: [inHistory(hybrid), link(successor(hybrid, { root: [b, pqB] }, { signatures: "hybrid" }), [b, pqB, a])],
    anchors: fingerprints([a]),
  },
];
for (const { name, code, links, anchors } of refused) {
  test(`${name} is refused: ${code}`, () => {
    const result = establishTrust(links, anchors, NOW);
    assert.equal(result.state === "refused" ? result.code : result.state, code);
  });
}

const trusted: readonly {
  readonly name: string;
  readonly links: readonly Made[];
  readonly anchors: Anchors;
  readonly at: number;
}[] = [
  { name: "one manifest by its root key", links: [one], anchors: fingerprints([a]), at: 1 },
  { name: "the last of three by the first root key", links: chain, anchors: fingerprints([a]), at: 1 },
  { name: "the last of three by a root key of the second", links: chain, anchors: fingerprints([b]), at: 2 },
  { name: "the last of three by its own root key", links: chain, anchors: fingerprints([c]), at: 3 },
  { name: "links in any order", links: chain.toReversed(), anchors: fingerprints([a]), at: 1 },
  { name: "an anchor among strangers", links: chain, anchors: fingerprints([stranger, a]), at: 1 },
  { name: "two anchors of a threshold of two", links: [many], anchors: fingerprints([a, b], 2), at: 1 },
  { name: "a whole manifest, itself", links: [one], anchors: whole(one.bytes), at: 1 },
  { name: "a whole manifest in the middle", links: chain, anchors: whole(two.bytes), at: 2 },
  { name: "a whole manifest before the first that is there", links: [inHistory(two), three], anchors: whole(one.bytes), at: 1 },
  { name: "a history that begins later, by a key of its own", links: [inHistory(two), three], anchors: fingerprints([b]), at: 2 },
  { name: "an anchor that stays after another was revoked", links: [inHistory(many), mended], anchors: fingerprints([a]), at: 1 },
  { name: "a revoked anchor beside a good one", links: [inHistory(many), mended], anchors: fingerprints([b, a]), at: 1 },
  {
    name: "a revoked key as the anchor of a whole manifest",
    links: [inHistory(many), mended],
    anchors: whole(many.bytes),
    at: 1,
  },
  { name: "a hybrid manifest with both", links: [hybrid], anchors: fingerprints([a]), at: 1 },
  {
    name: "a hybrid successor of a classical one",
    links: oneTwo(link(successor(one, { root: [b, pqB] }, { signatures: "hybrid" }), [b, pqB, a])),
    anchors: fingerprints([a]),
    at: 1,
  },
  {
    name: "any of the two algorithms where any will do",
    links: [link(testManifest({ root: [a, pqA], over: { signatures: "any" } }), [pqA])],
    anchors: fingerprints([pqA]),
    at: 1,
  },
];
for (const { name, links, anchors, at } of trusted) {
  test(`${name} is trusted`, () => {
    const result = establishTrust(links, anchors, NOW);
    assert.equal(result.state, "trusted", JSON.stringify(result));
    assert.ok(result.state === "trusted");
    const last = links.find(({ name: where }) => where === "keys/keys.json");
    assert.deepEqual([result.manifest, result.sha256, result.anchoredAt], [last?.manifest, sha256(last?.bytes ?? ""), at]);
  });
}

test("a root key that is about to be revoked can still sign its own end", () => {
  const revoked = [{ fingerprint: a.fingerprint, at: "2026-03-01T00:00:00Z", reason: "replaced" }];
  const last = link(successor(one, { root: [e] }, { revoked }), [e, a]);
  assert.equal(establishTrust([inHistory(one), last], whole(one.bytes), NOW).state, "trusted");
});

test("no part of the links, once changed, is trusted", () => {
  const bytesOf = (index: number, part: number) => {
    const { bytes, bundles } = chain[index] ?? one;
    return part === 0 ? bytes : (bundles[part - 1] ?? bytes);
  };
  fc.assert(
    fc.property(fc.nat(2), fc.nat(1), fc.nat(), fc.integer({ min: 1, max: 255 }), (index, part, position, mask) => {
      const changed = Buffer.from(bytesOf(index, part));
      const offset = position % changed.length;
      changed.writeUInt8(changed.readUInt8(offset) ^ mask, offset);
      const links = chain.map((made, at) => {
        if (at !== index) return made;
        return part === 0 ? { ...made, bytes: changed } : { ...made, bundles: made.bundles.with(part - 1, changed) };
      });
      assert.equal(establishTrust(links, fingerprints([a]), NOW).state, "refused");
    }),
    { numRuns: 300 },
  );
});
